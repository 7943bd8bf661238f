// Package auth verifies and makes the tokens that say who a client is and what
// it may subscribe to: JSON Web Tokens (RFC 7519) signed with HMAC SHA-256, with
// the claims of Centrifugo's tokens, so that what issues those keeps working.
//
// It owns the claims and their limits and hides the JWT library. It must not
// know sessions, protocols or channels' options: a token becomes a
// channel.Identity or a channel.SubscriptionGrant, and others decide what that
// allows.
//
// Start reading at Verifier.
package auth

// Package jwks keeps the public keys that an identity provider publishes as a
// JSON Web Key Set (RFC 7517), for internal/auth.
//
// It owns when they are fetched: at the start, at an interval, and when a token
// names a key that is not known, but then no more often than MinInterval. It
// hides that a fetch takes time: whoever asks gets what is there, or is told to
// come back. It must not know tokens.
//
// Start reading at Set.
package jwks

// Package acme is a certificate authority that speaks ACME (RFC 8555), as far as a
// client needs it that proves its hosts by TLS-ALPN-01 (RFC 8737): nonces,
// accounts, orders, one challenge, and certificates. It checks signatures, nonces
// and proofs as an authority does, keeps everything in memory, and is for tests.
//
// Start reading at Server.
package acme

// Package certs decides what certificate a TLS handshake is answered with, and
// whose certificates are taken from clients.
//
// It owns the files of certificates and keys, when they are read again, and how
// certificates are got by ACME. It hides where a certificate comes from and how often it changes. It must not know
// who listens, or what is served.
//
// Start reading at Files, then ACME.
package certs

// Package session holds one suite for every way to listen to the server: each
// transport with each protocol and encoding that it carries, against the built
// binary.
//
// It owns the matrix of what must be there: a cell without a client, or a case
// that a client does not run without saying why, fails. It must know of the
// server only what the documentation says. Start reading at matrix_test.go.
package session

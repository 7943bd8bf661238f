// Package sdk holds the server to a client that others wrote: the published Go
// SDK of the Centrifuge protocol, in both of its encodings, against the built
// binary. It is a module of its own, so that what the SDK needs is nothing that
// the server depends on.
//
// It must not know the server's code beyond test/server, which runs the binary.
// Start reading at sdk_test.go.
package sdk

// Package engine tests the connection engine in the built server: storms of
// connects, clients that do not read, connections that break, descriptors that run
// out, and that nothing is left of all of them.
//
// It owns lean clients that say exactly what a test wants. It must not import the
// server's own packages. Start reading at harness_test.go.
package engine

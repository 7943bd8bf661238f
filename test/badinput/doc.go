// Package badinput gives the built server what it should refuse — frames,
// handshakes, requests, settings, data directories — and checks that each is
// refused in the terms of its protocol, and that a session beside it notices
// nothing.
//
// It holds tests only. It must not know the server's code. Start reading at
// badinput_test.go.
package badinput

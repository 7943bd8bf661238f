// Package centrifuge speaks the Centrifuge client protocol: it turns the frames
// of a client into operations of a hub.Session, and what comes of them, and what
// happens on channels, into frames for the client. It has two encodings, JSON and
// Protobuf, and a unidirectional form for clients that only listen.
//
// It owns the module github.com/centrifugal/protocol and hides the shape of
// commands, replies and pushes and the numbers of errors. It must not know
// transports, engines, other protocols, or how a session does what it is asked.
//
// Start reading at protocol.go, the protocol on one page, then client.go, then
// codec.go.
// docs/codes.md is generated from here: go test ./internal/protocol/centrifuge -update.
package centrifuge

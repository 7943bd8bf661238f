// Package pusher speaks the Pusher Channels protocol, version 7: it turns the
// messages of a client into operations of a hub.Session, and what comes of them,
// and what happens on channels, into events for the client.
//
// It hides the shape of events, socket ids, signatures and the numbers of errors.
// It must not know transports, engines, other protocols, or how a session does
// what it is asked. What its HTTP API has in common with it is exported: names,
// socket ids, data, signatures.
//
// Start reading at protocol.go, the protocol on one page, then client.go.
package pusher

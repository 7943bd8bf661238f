// Package plain speaks to clients that have no SDK: a bare EventSource, and long
// polling with nothing but an HTTP client. A request says everything in its
// query; what comes back is Server-Sent Events, or one JSON object.
//
// It hides the shape of requests, events and replies, and of positions. It must
// not know transports, engines, other protocols, or how a session does what it is
// asked.
//
// Start reading at protocol.go, the protocol on one page, then stream.go and
// poll.go.
package plain

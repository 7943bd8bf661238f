// Package direct answers the requests of busy backends on a shard's loop.
//
// A backend keeps an HTTP/1.1 connection open and publishes on it, one request
// after the other. Through net/http each of them costs several times what the
// publication itself does: goroutines that wake each other, timers, a context,
// maps of header fields. A connection that sends one publish after the other is
// therefore moved to a shard's loop, which reads, publishes and answers in one go.
//
// Only what cannot be misunderstood is answered here: one path, POST, a
// Content-Length, the header fields that backends send. With whatever else comes
// first on a connection, a wrong key or a malformed body included, the connection
// and all its unread bytes go back to net/http, so that there is one place which
// knows HTTP (RFC 9112) and one that words errors.
package direct

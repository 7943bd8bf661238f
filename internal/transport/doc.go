// Package transport moves the bytes of connections: it reads and writes them on
// the loops that run the hub's shards, so that whatever happens to a connection
// happens on one goroutine and needs no lock.
//
// It owns descriptors, event loops and what the kernel or a peer does to them.
// It hides whether a connection is a descriptor in an epoll set or a pair of
// goroutines. It must not know WebSocket, HTTP, protocols or channels: packages
// below it give the bytes their framing.
//
// Start reading at Stream and Receiver, then Engine. The portable engine is in
// goroutine.go, Linux's in loop_linux.go.
package transport

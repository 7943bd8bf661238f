// Package node is a node's place in NATS: a server of its own that forms a
// cluster with those of the other core nodes, or a connection to servers that
// somebody else runs.
//
// It owns the server's options, the lock on its directory, and what can be said
// of its health. It hides which of both ways it is. It must not know channels or
// what is in the log.
//
// Start reading at Start.
package node

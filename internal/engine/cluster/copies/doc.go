// Package copies hands the index of a log from a node that has one to a node that
// cannot make its own: a new one, or one that was away for longer than the log
// reaches back.
//
// It owns how a copy is asked for, offered and sent (protocol.go). Flow control
// is that the receiver asks for every chunk. It hides who sends. It must not know
// what is in a copy: internal/store makes it, checks it, and makes a store of it.
//
// Start reading at protocol.go, then Server and Fetch.
package copies

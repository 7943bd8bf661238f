// Package journal is the replicated log: streams of NATS JetStream, each of which
// orders messages that hold entries.
//
// It owns the form of a message (message.go), how one is appended and what is
// known when that fails (append.go), and how the log is followed through the
// loss of any node (tail.go). It hides JetStream. It must not know what entries
// do.
//
// # Incarnation
//
// The first message of a log is its genesis: it holds a random incarnation,
// which every later message repeats. A log that was lost and made anew has
// another one, so nobody mistakes its positions for those of the first.
//
// Start reading at Journal.
package journal

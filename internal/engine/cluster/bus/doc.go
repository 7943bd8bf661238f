// Package bus is what flows between nodes besides the log: publications without
// history, presence, operations on sessions, beats and counts, all at most once,
// over core NATS.
//
// It owns the merged view of who is present, and which nodes are alive. It hides
// NATS: subjects, interest, lost messages. It must not know what is stored, nor
// sessions. A message that is lost is noticed by its number, counted, and what it
// would have changed is asked for anew.
//
// Start reading at protocol.go, then Bus in bus.go, publish.go for the way out,
// receive.go for the way in, interest.go for what a node listens to.
//
// # Locks
//
// A stream's mutex guards what a node sees of its channels, and is held while the
// Follower is told of them. Inside it only the outbound queue's, the counts', and a
// query's are taken. What is known of other nodes belongs to the goroutine of
// receive.go; others see the immutable list that it leaves behind.
package bus

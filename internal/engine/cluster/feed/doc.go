// Package feed brings edge nodes what core nodes have applied.
//
// It owns what an edge node and its feeder, one core node, say to each other: calls
// that the core answers out of its own engine, and a feed of what was published with
// history. It hides lost messages, feeders that go, and how an edge finds out what it
// missed: whoever follows a channel on an edge is told every publication once, in
// order. It must not know how a core node stores and orders, nor sessions.
//
// Start reading at protocol.go, then feeder.go for the core's side and client.go for
// the edge's: calls.go sends and answers, choose.go finds a feeder, lane.go keeps a
// channel whole.
//
// # Locks
//
// Client.wishing is taken before all others. A shard's mutex guards which channels are followed; Client.mu guards the calls and
// is taken inside it. What is known of a channel belongs to the client's goroutine,
// which tells the Follower and answers calls without a lock. A Feeder's shard has a
// mutex, inside which only the line's is taken.
package feed

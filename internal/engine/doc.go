// Package engine is the contract between the hub and whatever orders and stores
// publications and connects nodes: order, storage, other nodes.
//
// It hides where history lives and how nodes talk. It must not know sessions,
// protocols or transports. engine/local and engine/cluster fulfil it;
// engine/enginetest is the contract as a suite of tests and has the last word.
//
// # Rules for every method with a done function
//
// done is called exactly once, on any goroutine, possibly before the method
// returns; it must not block. The method itself never blocks on disk or
// network. Slices handed in belong to the engine afterwards; slices handed out
// are shared and must not be changed.
//
// # Order
//
// Publications of a channel with history reach Follower.Publication in the
// order of their offsets, without gaps, and only once they are as durable as
// the channel's retention says; a publication can be read by History before it
// is handed to the Follower. done of a Publish is called after its hand-over.
package engine

// Package index is what the entries of one log have made of its channels: on
// disk through internal/store, with what was used of late in RAM.
//
// It owns the way of an entry from its turn in the log to the Follower: apply,
// write, wait until it is durable, make readable, tell, answer (commit.go,
// finish.go), and the way of a history read (history.go). It hides the caches
// and what is readable when: nothing above a channel's durable top leaves it, by
// no way. It must not know where entries come from, nor who connects nodes:
// engine/local feeds it what its publishers queue, engine/cluster what the
// replicated log holds.
//
// # Goroutines
//
// One goroutine, the caller's, fills flights and launches them; the finisher
// lands them in the same order; readers answer what is not in RAM.
//
// # Locks
//
// A lane's mutex guards what is in RAM about the channels that hash to it. The
// Follower is told, and done functions run, without any.
//
// Start reading at Index, then commit.go, then finish.go.
package index

// Package local is the engine of a single node: it orders publications, keeps
// history on disk through internal/store or in RAM, and tells one Follower.
//
// It hides the committer and its pipeline, the caches and what is readable when.
// It must not know sessions, protocols, or how things lie on disk. Nothing above
// a channel's durable top leaves it, by no way.
//
// # The ways of a publication
//
// Without history: under the lock of its lane straight to the Follower
// (publish.go). History in RAM: the same, with an offset (memory.go). History on
// disk: queue → committer → finisher (commit.go, finish.go). The committer
// applies entries and writes batches without waiting; the finisher waits for
// each batch's sync and then, entry by entry, raises the durable top, fills the
// ring, tells the Follower and answers.
//
// # Locks
//
// A lane's mutex guards everything in RAM about the channels that hash to it,
// and is held while the Follower is told, so that it is told one thing at a time
// per channel. The Follower must therefore not call the engine from inside a
// call. No other lock is taken under a lane's but the queue's; done functions
// run without any.
//
// Start reading at Engine, then publish.go, then commit.go.
package local

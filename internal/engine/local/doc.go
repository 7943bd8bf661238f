// Package local is the engine of a single node: it orders publications, keeps
// history on disk through internal/engine/index or in RAM, and tells one Follower.
//
// It hides the committer's queue, what is kept in RAM only, and presence. It must
// not know sessions, protocols, or how things lie on disk.
//
// # The ways of a publication
//
// Without history: under the lock of its lane straight to the Follower
// (publish.go). History in RAM: the same, with an offset (memory.go). History on
// disk: queue → committer → index (commit.go). The committer applies entries and
// launches batches without waiting; the index tells what has become durable.
//
// # Locks
//
// A lane's mutex guards everything in RAM about the channels that hash to it,
// and is held while the Follower is told, so that it is told one thing at a time
// per channel. The Follower must therefore not call the engine from inside a
// call. No other lock is taken under a lane's; done functions run without any.
//
// Start reading at Engine, then publish.go, then commit.go.
package local

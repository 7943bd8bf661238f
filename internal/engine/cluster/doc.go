// Package cluster is the engine of several nodes that act as one, on NATS.
//
// It owns what a publication goes through between a publisher on one node and
// the Followers of all: channels with history are divided over a few replicated
// logs, and every node applies every log, in its order, to an index of its own,
// so that history and recovery are read here. It hides the logs, who leads them,
// and what happens when nodes come, go, or fall behind. It must not know
// sessions, protocols, or how things lie on disk.
//
// # Rooms
//
//	node      the server in this process, or the way to servers elsewhere
//	journal   one replicated log: append, follow
//	copies    an index handed to a node that cannot have it from the log
//	feed      what edge nodes ask core nodes, and what they are fed with
//	bus       publications without history, presence, control
//
// # The way of a publication with history
//
// Publish queues it with its log (publish.go). The writer of the log packs what
// is queued into one message and appends it; until it knows the outcome it sends
// that message again and nothing else (write.go). Every node follows the log and
// applies each message once (apply.go), through internal/engine/index, which
// makes it readable, tells the Follower and answers whoever waits on this node.
//
// Engine is a node that applies the logs; Edge is one that keeps nothing and asks. What
// both do without a log is in beside.go.
//
// # Locks
//
// partition.mu guards what writer and applier share. A seat of serial is held
// while the Follower is told. Neither is held while the other is taken.
//
// Start reading at Engine, then partition.go. DESIGN.md says why it is not done
// the obvious way.
package cluster

package bus

import "sync/atomic"

// Counters is a snapshot of what a Bus counted since New, and of what it holds.
type Counters struct {
	Sent      uint64 // messages given to NATS
	Received  uint64 // messages from other nodes
	Missed    uint64 // messages of other nodes that never came
	Late      uint64 // messages that came after those behind them, and were dropped
	Dropped   uint64 // messages that NATS dropped, since too many waited to be looked at
	Unsent    uint64 // messages that NATS did not take
	QueueFull uint64 // publications and controls refused, since too much waits to be sent
	Unshared  uint64 // joins, leaves and counts that others were not told, for the same reason or another limit
	Malformed uint64 // messages that could not be read
	Strangers uint64 // messages of nodes beyond MaxNodes
	Synced    uint64 // states taken from other nodes
	Deaths    uint64 // nodes that were declared dead
	Unreached uint64 // follows that did not wait for every node

	Others        int // nodes that are alive, besides this one
	Streams       int // listened to
	QueueMessages int
	QueueBytes    int
	Inbound       int // messages that wait to be looked at
	SharedKeys    int // counts of this node that others are told
}

type counters struct {
	sent, received, missed, late, dropped, unsent, queueFull, unshared, malformed, strangers, synced, deaths, unreached atomic.Uint64

	streams atomic.Int64
}

// Counters is what was counted up to now.
func (b *Bus) Counters() Counters {
	c := &b.count
	s := Counters{
		Sent: c.sent.Load(), Received: c.received.Load(), Missed: c.missed.Load(), Late: c.late.Load(),
		Dropped: c.dropped.Load(), Unsent: c.unsent.Load(), QueueFull: c.queueFull.Load(), Unshared: c.unshared.Load(),
		Malformed: c.malformed.Load(), Strangers: c.strangers.Load(), Synced: c.synced.Load(), Deaths: c.deaths.Load(), Unreached: c.unreached.Load(),
		Others: len(*b.others.Load()), Streams: int(c.streams.Load()), Inbound: len(b.inbound), SharedKeys: b.counts.keys(),
	}
	s.QueueMessages, s.QueueBytes = b.out.size()
	return s
}

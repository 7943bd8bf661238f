package cluster

import (
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
	"github.com/fanfare-push/fanfare/internal/engine/index"
)

// Counters is what the engine has counted, all logs together.
type Counters struct {
	index.Counters

	QueueFull uint64 // publishes refused: too many waited for a log
}

// Counters is a snapshot. What is on a disk is that of this node's.
func (e *Engine) Counters() Counters {
	var sum Counters
	for _, p := range e.partitions() {
		x := p.index.Load()
		if x == nil {
			continue
		}
		c := x.Counters()
		sum.Batches += c.Batches
		sum.Committed += c.Committed
		sum.SyncTime += c.SyncTime
		sum.Duplicates += c.Duplicates
		sum.ReaderQueueFull += c.ReaderQueueFull
		sum.CacheHits += c.CacheHits
		sum.CacheMisses += c.CacheMisses
		sum.Expired += c.Expired
		sum.CacheBytes += c.CacheBytes
		sum.HotChannels += c.HotChannels
		sum.UsedBytes += c.UsedBytes
		sum.ReadOnly = sum.ReadOnly || c.ReadOnly && !p.memory
		if !p.memory {
			sum.FreeBytes = c.FreeBytes // of the one disk that they lie on
		}
	}
	return sum
}

// Log is how one log stands on this node, for people.
type Log struct {
	Name    string
	Applied uint64 // number of the last message that was applied here
	Reason  string // why this node is not ready for it; "": it is
}

// Logs are all logs as they stand on this node.
func (e *Engine) Logs() []Log {
	var list []Log
	for _, p := range e.partitions() {
		list = append(list, Log{Name: p.name, Applied: p.applied.Load(), Reason: p.unready()})
	}
	return list
}

// Nodes are all that are alive, this one included.
func (e *Engine) Nodes() []bus.NodeInfo { return e.bus.Nodes() }

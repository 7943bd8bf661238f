package cluster

import (
	"slices"

	"github.com/fanfare-push/fanfare/internal/engine"
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

// Logs are all logs as they stand on this node, without errors of before.
func (e *Engine) Logs() []engine.LogOverview {
	var list []engine.LogOverview
	for _, p := range e.partitions() {
		l := engine.LogOverview{Name: p.name, Applied: p.applied.Load(), Reason: p.unready()}
		if b := p.seen.Load(); b != nil {
			l.Leader, l.Last = b.Leader, max(b.Last, l.Applied)
		}
		list = append(list, l)
	}
	return list
}

// Absent are the servers that a log should have a replica on and that its leader
// does not hear of, by name.
func (e *Engine) Absent() []string {
	var names []string
	for _, p := range e.partitions() {
		names = append(names, p.journal.Absent()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Bus is what the bus counted.
func (e *Engine) Bus() bus.Counters { return e.bus.Counters() }

// Nodes are all that are alive, this one included.
func (e *Engine) Nodes() []bus.NodeInfo { return e.bus.Nodes() }

// Owner is the node that does what one of all has to do about a key, see bus.Owner.
func (e *Engine) Owner(key string) (node string, mine bool) { return e.bus.Owner(key) }

// Count adds to what this node has of a key, and Others is what all other nodes
// have, see bus.Count.
func (e *Engine) Count(key string, by int) { e.bus.Count(key, by) }

// Others is what all other nodes have of a key.
func (e *Engine) Others(key string) int { return e.bus.Others(key) }

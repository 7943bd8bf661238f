package cluster

import (
	"slices"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
)

// Logs are all logs as they stand on this node, without errors of before.
func (e *Engine) Logs() []engine.LogOverview {
	var list []engine.LogOverview
	for _, p := range e.partitions() {
		info := engine.LogOverview{Name: p.name, Reason: p.unready(), Applied: p.applied.Load()}
		p.mu.Lock()
		info.Leader, info.Last = p.health.leader, max(p.health.last, info.Applied)
		p.mu.Unlock()
		list = append(list, info)
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

// Counters is what the engine counted since it opened, and what it holds now.
type Counters struct {
	index.Counters // of all logs; FreeBytes are those of the disk, ReadOnly is true if any on it is

	QueueFull     uint64 // publishes refused: the queue of their log was full
	Overdue       uint64 // publishes refused: their log took nothing in time
	Resent        uint64 // messages that were sent again
	KeysForgotten uint64 // idempotency keys dropped for MemoryKeys
	QueueEntries  int
}

// Counters is a snapshot.
func (e *Engine) Counters() Counters {
	s := Counters{KeysForgotten: e.keys.Forgotten()}
	s.Duplicates = e.repeats.Load()
	for _, p := range e.partitions() {
		s.QueueFull += p.count.queueFull.Load()
		s.Overdue += p.count.overdue.Load()
		s.Resent += p.count.resent.Load()
		s.QueueEntries += p.queue.Len()
		if x := p.index.Load(); x != nil {
			s.add(x.Counters(), p.memory)
		}
	}
	return s
}

// Taken is how many bytes of history on disk an App has, by what this node has applied.
// What of its logs is not joined yet is missing.
func (e *Engine) Taken(app string) (bytes int64) {
	for _, p := range e.disk {
		if x := p.index.Load(); x != nil {
			bytes += x.Taken(app)
		}
	}
	return bytes
}

// add adds what the index of one log counted. What it counted before it was
// last opened is not in it.
func (s *Counters) add(c index.Counters, memory bool) {
	s.Batches += c.Batches
	s.Committed += c.Committed
	s.SyncTime += c.SyncTime
	s.Duplicates += c.Duplicates
	s.ReaderQueueFull += c.ReaderQueueFull
	s.CacheHits += c.CacheHits
	s.CacheMisses += c.CacheMisses
	s.Expired += c.Expired
	s.CacheBytes += c.CacheBytes
	s.HotChannels += c.HotChannels
	s.ReadOnly = s.ReadOnly || c.ReadOnly && !memory // of what lies on a disk
	if !memory {
		s.UsedBytes += c.UsedBytes
		s.FreeBytes = c.FreeBytes
	}
}

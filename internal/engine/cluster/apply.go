package cluster

import (
	"github.com/fanfare-push/fanfare/internal/engine/cluster/journal"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// maxExpire is how many flights of expired channels follow one tick.
const maxExpire = 16

// take applies messages of the log, in their order.
func (p *partition) take(list []journal.Message) error {
	x := p.index.Load()
	f := x.Begin()
	tick := false
	for i := range list {
		tick = p.apply(f, &list[i]) || tick
	}
	f.Launch()
	p.applied.Store(list[len(list)-1].Seq)
	// Only a tick lets channels expire, so that they do at the same place of the
	// log everywhere. What it finds is not part of its message: a node that dies
	// here does it at the next tick, and nobody reads what is too old meanwhile.
	for n := 0; tick && n < maxExpire; n++ {
		f := x.Begin()
		tick = f.Expire()
		f.Launch()
	}
	return nil
}

// apply applies the entries of a message unless it was seen before, and reports
// whether one of them is a tick.
func (p *partition) apply(f *index.Flight, m *journal.Message) (tick bool) {
	if b := f.Batch(); b != nil && (!b.Message(m.Mark) || m.Incarnation != p.incarnation) {
		return false
	}
	var waiting *message
	if m.Writer == p.e.cfg.Node {
		waiting = p.remove(m.Count)
	}
	for i := range m.Entries {
		r := index.Request{Entry: m.Entries[i]}
		if waiting != nil && i < len(waiting.requests) {
			r.Done = waiting.requests[i].Done
		}
		tick = tick || r.Entry.Kind == store.Tick
		f.Apply(&r)
	}
	return tick
}

package local

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// commitLoop takes what publishers queued, and applies and writes it, batch by
// batch.
func (e *Engine) commitLoop() {
	var buf []index.Request
	for {
		batch, tick, open := e.queue.Take(buf[:0])
		if !open {
			return
		}
		if tick && e.expire() {
			e.queue.Wake() // more is due, but publishers come first
		}
		if len(batch) > 0 {
			e.commit(batch)
			clear(batch)
		}
		buf = batch
	}
}

// commit applies requests in their order and writes one batch.
func (e *Engine) commit(requests []index.Request) {
	f := e.index.Begin()
	for i := range requests {
		r := &requests[i]
		r.Entry.Time = e.now()
		if r.Skip && !e.index.Failed() {
			r.Repeat = e.once(r)
		}
		f.Apply(r)
	}
	f.Launch()
}

// once asks the keys in RAM whether a publication that is not stored was
// published before.
func (e *Engine) once(r *index.Request) (repeat bool) {
	if r.Entry.Key == "" {
		return false
	}
	l := e.lanes.of(r.Entry.Channel)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, dup := e.repeat(r.Entry.Channel, r.Entry.Key, r.Entry.Time)
	if !dup {
		e.keys.Remember(r.Entry.Channel, r.Entry.Key, engine.Position{}, r.Entry.Time)
	}
	return dup
}

// repeat finds what a key was answered with before.
func (e *Engine) repeat(ch channel.ID, key string, now int64) (engine.PublishResult, bool) {
	pos, dup := e.keys.Seen(ch, key, now)
	if dup {
		e.count.duplicates.Add(1)
	}
	return engine.PublishResult{Position: pos, Duplicate: dup}, dup
}

// expire looks at some of the channels that something may have expired of, and
// reports whether there may be more to look at now.
func (e *Engine) expire() (more bool) {
	now := e.now()
	if e.index.Failed() || !e.index.Due(now) {
		return false
	}
	f := e.index.Begin()
	f.Apply(&index.Request{Entry: store.Entry{Version: store.EntryVersion, Kind: store.Tick, Time: now}})
	more = f.Expire()
	f.Launch()
	return more
}

// tell hands what the index has made readable to the Follower.
func (e *Engine) tell(ch channel.ID, epoch string, pub *engine.Publication) {
	l := e.lanes.of(ch)
	l.mu.Lock()
	defer l.mu.Unlock()
	e.follower.Publication(ch, epoch, pub)
}

// create queues an entry that gives a channel a position.
func (e *Engine) create(req *engine.HistoryRequest, done func(engine.PublishResult, error)) error {
	return e.queue.Put(index.Request{
		Entry: store.Entry{Version: store.EntryVersion, Kind: store.Create, Channel: req.Channel, Retention: req.Retention}, Done: done,
	})
}

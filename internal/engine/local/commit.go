package local

import (
	"fmt"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// flight is a batch on its way to the disk, and what follows once it is there.
type flight struct {
	batch *store.Batch // nil: nothing has to be stored
	begun int64        // when it was written; monotonic
	time  int64        // log time after it
	acts  []act
}

// act is what follows from one entry.
type act struct {
	hot  *hot // pinned; nil: nothing of the channel changes
	rec  store.Record
	ch   channel.ID
	pub  *engine.Publication // to be told, nil: none
	res  engine.PublishResult
	err  error
	done func(engine.PublishResult, error) // nil: nobody waits
}

// commitLoop takes what publishers queued, applies it and writes it to the log,
// batch by batch, without waiting for syncs: the finisher does.
func (e *Engine) commitLoop() {
	defer close(e.flights)
	var buf []request
	for {
		batch, tick, open := e.queue.take(buf[:0])
		if !open {
			return
		}
		if tick && e.expire() {
			e.queue.wakeForTick() // more is due, but publishers come first
		}
		if len(batch) > 0 {
			e.commit(batch)
			clear(batch)
		}
		buf = batch
	}
}

// commit applies requests in their order and writes one batch.
func (e *Engine) commit(requests []request) {
	b := e.newBatch()
	f := &flight{acts: make([]act, 0, len(requests))}
	for i := range requests {
		f.acts = append(f.acts, e.apply(b, &requests[i]))
	}
	e.launch(b, f)
}

// newBatch is nil once the engine has failed.
func (e *Engine) newBatch() *store.Batch {
	if e.health.failed.Load() {
		return nil
	}
	return e.store.NewBatch()
}

// apply makes of a request what will follow from it.
func (e *Engine) apply(b *store.Batch, r *request) act {
	a := act{ch: r.ch, done: r.done}
	switch {
	case b == nil:
		a.err = errFailed
		return a
	case r.skip:
		a.pub = r.pub
		a.pub.Time = max(b.Time(), e.now())
		if a.res = e.once(r); a.res.Duplicate {
			a.pub = nil
		}
		return a
	}
	h, err := e.hotForCommit(r.ch)
	if err != nil {
		a.err = err
		return a
	}
	entry := store.Entry{
		Version: store.EntryVersion, Kind: r.kind, Time: e.now(), Channel: r.ch, Retention: r.ret, Key: r.key, Pub: r.pub,
	}
	out, err := b.Apply(&entry, &h.applied)
	if err != nil {
		e.unpin(h)
		a.err = err
		return a
	}
	a.hot, a.rec = h, h.applied
	a.res = engine.PublishResult{Position: out.Position, Duplicate: out.Duplicate}
	if r.kind == store.Publish && !out.Duplicate {
		a.pub = r.pub
	}
	return a
}

// once asks the keys in RAM whether a publication that is not stored was
// published before.
func (e *Engine) once(r *request) engine.PublishResult {
	if r.key == "" {
		return engine.PublishResult{}
	}
	req := engine.PublishRequest{Channel: r.ch, IdempotencyKey: r.key}
	defer e.boundKeys()
	l := e.lanes.of(r.ch)
	l.mu.Lock()
	defer l.mu.Unlock()
	if res, dup := e.repeatLocked(l, &req, r.pub.Time); dup {
		return res
	}
	e.rememberLocked(l, &req, engine.Position{}, r.pub.Time)
	return engine.PublishResult{}
}

// hotForCommit pins a channel and sees that its applied state is known.
func (e *Engine) hotForCommit(ch channel.ID) (*hot, error) {
	h := e.pin(ch)
	if h.known {
		return h, nil
	}
	rec, err := e.ensure(h)
	if err != nil {
		e.unpin(h)
		return nil, err
	}
	h.applied, h.known = rec, true
	return h, nil
}

// launch writes the batch and hands the flight to the finisher, in order.
func (e *Engine) launch(b *store.Batch, f *flight) {
	if b != nil {
		f.time = b.Time()
		if err := e.write(b, f); err != nil {
			e.fail(err.Error())
			f.refuse(fmt.Errorf("%w: %w", errFailed, err))
		}
	}
	e.flights <- f
}

func (e *Engine) write(b *store.Batch, f *flight) error {
	if b.Empty() {
		return b.Discard()
	}
	f.begun = e.monotonic()
	e.health.commitSince.Store(f.begun)
	defer e.health.commitSince.Store(0)
	if err := b.Commit(); err != nil {
		return err
	}
	f.batch = b
	return nil
}

// refuse makes err the answer to everything in the flight: nothing of it is told.
func (f *flight) refuse(err error) {
	for i := range f.acts {
		f.acts[i].pub, f.acts[i].res, f.acts[i].err = nil, engine.PublishResult{}, err
	}
}

// expire looks at some channels that the time index names, and reports whether
// there may be more to look at now.
func (e *Engine) expire() (more bool) {
	if e.health.failed.Load() {
		return false
	}
	now := e.now()
	due, err := e.store.Due(now, maxDuePerBatch)
	if err != nil {
		e.cfg.Logger.Error("cannot see what expired", "error", err)
		return false
	}
	if len(due) == 0 {
		return false
	}
	return e.expireBatch(now, due) && len(due) == maxDuePerBatch
}

// expireBatch reports whether all went well: what failed would be named again at
// once.
func (e *Engine) expireBatch(now int64, due []store.Due) (well bool) {
	b := e.newBatch()
	if b == nil {
		return false
	}
	f := &flight{}
	well = true
	var none store.Record
	if _, err := b.Apply(&store.Entry{Version: store.EntryVersion, Kind: store.Tick, Time: now}, &none); err != nil {
		e.cfg.Logger.Error("cannot move log time", "error", err)
	}
	for _, d := range due {
		h, err := e.hotForCommit(d.Channel)
		if err == nil {
			err = b.Expire(d, &h.applied)
			f.acts = append(f.acts, act{hot: h, ch: d.Channel, rec: h.applied})
		}
		if err != nil {
			well = false
			e.cfg.Logger.Error("cannot expire a channel", "channel", d.Channel.Name, "app", d.Channel.App, "error", err)
		}
	}
	e.count.expired.Add(uint64(len(due)))
	e.launch(b, f)
	return well
}

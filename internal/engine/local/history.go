package local

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// read is a history read that has to go to disk.
type read struct {
	req  engine.HistoryRequest
	done func(engine.HistoryResult, error)
}

// History implements engine.Historian. What RAM covers is answered at once.
func (e *Engine) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	if !e.enter() {
		done(engine.HistoryResult{}, engine.ErrClosed)
		return
	}
	answer := e.history(req, done)
	e.leave()
	if answer != nil {
		done(answer.res, answer.err)
	}
}

// answer is what done of a history read is given.
type answer struct {
	res engine.HistoryResult
	err error
}

// history is nil when it has handed the read to the readers, who will answer.
func (e *Engine) history(req engine.HistoryRequest, done func(engine.HistoryResult, error)) *answer {
	switch {
	case !req.Retention.Kept():
		return &answer{}
	case req.Retention.Durability == channel.Memory:
		return e.readMemory(&req)
	}
	if a := e.readRing(&req); a != nil {
		e.count.cacheHits.Add(1)
		return a
	}
	select {
	case e.reads <- read{req, done}:
		return nil
	default:
		e.count.readerQueueFull.Add(1)
		return &answer{err: engine.ErrBusy}
	}
}

// window is what a request asks for of a channel that stands at pos and holds
// the offsets low to top.
type window struct {
	res      engine.HistoryResult
	from, to uint64 // empty when from > to
}

// windowOf fails with ErrUnrecoverable; the result then holds only positions.
func windowOf(req *engine.HistoryRequest, pos engine.Position, low uint64) (window, error) {
	w := window{res: engine.HistoryResult{Top: pos, Oldest: low}, from: low, to: pos.Offset}
	if s := req.Since; s != nil {
		if s.Epoch != "" && s.Epoch != pos.Epoch || s.Offset > pos.Offset {
			return w, engine.ErrUnrecoverable
		}
		if req.Reverse {
			w.to = s.Offset - min(s.Offset, 1)
		} else {
			w.from = max(w.from, s.Offset+1)
		}
	}
	if req.Limit == 0 {
		w.to = 0
	}
	return w, nil
}

// readRing answers from RAM; nil if it cannot.
func (e *Engine) readRing(req *engine.HistoryRequest) *answer {
	l := e.lanes.of(req.Channel)
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hot[req.Channel]
	now := e.readTime()
	if h == nil || !h.loaded || !h.durable.Exists() || h.durable.Expired(now) {
		return nil
	}
	low, known := h.lowLocked(now)
	if !known {
		return nil
	}
	w, err := windowOf(req, h.durable.Position(), low)
	if err == nil && w.from <= w.to {
		var ok bool
		if w.res.Publications, ok = h.ring.page(&w, req, h.durable.Top); !ok {
			return nil
		}
	}
	e.touchLocked(h)
	return &answer{w.res, err}
}

// lowLocked is the lowest offset that may be read at a log time, if RAM knows.
func (h *hot) lowLocked(now int64) (low uint64, known bool) {
	rec := &h.durable
	first := h.ring.first(rec.Top)
	horizon := rec.Horizon(now)
	switch {
	case rec.Low > rec.Top || rec.Oldest > horizon: // none is too old
		return rec.Low, true
	case first <= rec.Low || len(h.ring.pubs) > 0 && h.ring.pubs[0].Time <= horizon:
		return max(first+uint64(h.ring.firstAfter(horizon)), rec.Low), true
	}
	return 0, false
}

// page cuts a window out of the ring. It fails when older publications than the
// ring holds are asked for.
func (r *ring) page(w *window, req *engine.HistoryRequest, top uint64) ([]*engine.Publication, bool) {
	first := r.first(top)
	if !req.Reverse && w.from < first {
		return nil, false
	}
	left := store.Page{Limit: req.Limit, MaxBytes: req.MaxBytes}
	var pubs []*engine.Publication
	if !req.Reverse {
		for o := w.from; o <= w.to; o++ {
			p := r.pubs[o-first]
			if !left.Takes(p) {
				break
			}
			pubs = append(pubs, p)
		}
		return pubs, true
	}
	for o := w.to; o >= w.from; o-- {
		if o < first {
			return nil, false
		}
		p := r.pubs[o-first]
		if !left.Takes(p) {
			break
		}
		pubs = append(pubs, p)
	}
	return pubs, true
}

func (e *Engine) readLoop() {
	for r := range e.reads {
		e.readDisk(r)
	}
}

// readDisk answers a read from disk. A channel that has no position yet, or has
// lost it, is given one by the committer.
func (e *Engine) readDisk(r read) {
	h := e.pin(r.req.Channel)
	defer e.unpin(h)
	rec, err := e.ensure(h)
	if err != nil {
		r.done(engine.HistoryResult{}, err)
		return
	}
	if !rec.Exists() || rec.Expired(e.readTime()) {
		e.createFor(r)
		return
	}
	e.count.cacheMisses.Add(1)
	r.done(e.readStore(&r.req, rec))
}

// createFor gives the channel a position and answers the read with it.
func (e *Engine) createFor(r read) {
	err := e.writable(true)
	if err == nil {
		err = e.queue.put(request{
			kind: store.Create, ch: r.req.Channel, ret: r.req.Retention,
			done: func(res engine.PublishResult, err error) {
				if err != nil {
					r.done(engine.HistoryResult{}, err)
					return
				}
				if res.Offset > 0 { // somebody published meanwhile
					e.History(r.req, r.done)
					return
				}
				w, err := windowOf(&r.req, res.Position, 1)
				r.done(w.res, err)
			},
		})
	}
	if err != nil {
		r.done(engine.HistoryResult{}, err)
	}
}

// readStore reads what is durable according to rec.
func (e *Engine) readStore(req *engine.HistoryRequest, rec store.Record) (engine.HistoryResult, error) {
	low := rec.Low
	if horizon := rec.Horizon(e.readTime()); rec.Oldest <= horizon {
		var err error
		if low, _, err = e.store.FirstAfter(rec.ID, rec.Low, rec.Top, horizon); err != nil {
			return engine.HistoryResult{}, err
		}
	}
	w, err := windowOf(req, rec.Position(), low)
	if err != nil || w.from > w.to {
		return w.res, err
	}
	pubs, err := e.store.Read(store.Range{
		ID: rec.ID, From: w.from, To: w.to, Reverse: req.Reverse, Limit: req.Limit, MaxBytes: req.MaxBytes,
	})
	if err != nil {
		return engine.HistoryResult{}, err
	}
	w.res.Publications = pubs
	switch { // what was trimmed while we read is not readable any more
	case len(pubs) == 0:
		w.res.Oldest = max(low, w.to+1)
	case !req.Reverse:
		if pubs[0].Offset > w.from {
			w.res.Oldest = pubs[0].Offset
		}
	}
	return w.res, nil
}

// RemoveHistory implements engine.Historian.
func (e *Engine) RemoveHistory(ch channel.ID, r engine.Retention, done func(error)) {
	if !e.enter() {
		done(engine.ErrClosed)
		return
	}
	queued, err := e.removeHistory(ch, r, done)
	e.leave()
	if !queued {
		done(err)
	}
}

// removeHistory reports whether it has queued the removal; done is then called
// once that is durable.
func (e *Engine) removeHistory(ch channel.ID, r engine.Retention, done func(error)) (queued bool, err error) {
	switch {
	case !r.Kept():
		return false, nil
	case r.Durability == channel.Memory:
		e.removeMemory(ch)
		return false, nil
	}
	if err := e.writable(false); err != nil {
		return false, err
	}
	err = e.queue.put(request{kind: store.Remove, ch: ch, ret: r, done: func(_ engine.PublishResult, err error) { done(err) }})
	return err == nil, err
}

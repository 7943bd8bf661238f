package index

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// read is a history read that has to go to disk.
type read struct {
	req  engine.HistoryRequest
	look bool   // a channel that has no position is given none
	key  string // not empty: Top is to be where a publication is stored under it, 0 where none is
	done func(engine.HistoryResult, error)
}

// answer is what done of a history read is given.
type answer struct {
	res engine.HistoryResult
	err error
}

// History reads as engine.Historian says, by what this index has applied. What
// RAM covers is answered at once.
func (x *Index) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	x.take(read{req: req, done: done})
}

// Look is History of what is there: a channel that has no position is given none. Its
// Top has no epoch, and where Since has one it fails with ErrUnrecoverable.
func (x *Index) Look(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	x.take(read{req: req, look: true, done: done})
}

// Repeat answers a publication that is refused by a limit: as the one before where it
// repeats what is stored under its key, which takes nothing more, and with refusal
// otherwise. ErrBusy: that is not known yet. A returned error was not told to done.
func (x *Index) Repeat(ch channel.ID, key string, refusal error, done func(engine.PublishResult, error)) error {
	if key == "" {
		return refusal
	}
	return x.queueRead(read{req: engine.HistoryRequest{Channel: ch}, key: key, done: func(res engine.HistoryResult, err error) {
		switch {
		case err != nil:
			done(engine.PublishResult{}, err)
		case res.Top.Offset == 0:
			done(engine.PublishResult{}, refusal)
		default:
			done(engine.PublishResult{Position: res.Top, Duplicate: true}, nil)
		}
	}})
}

// readKey finds what is stored under the key: by what is committed, of which only what
// rec, read before, has is durable. The rest may still be lost.
func (x *Index) readKey(r *read, rec *store.Record) (engine.HistoryResult, error) {
	now := x.readTime()
	committed, err := x.store.Record(r.req.Channel)
	if err != nil || !committed.Exists() || committed.Expired(now) || now >= committed.KeysUntil {
		return engine.HistoryResult{}, err
	}
	offset, found, err := x.store.Seen(committed.ID, r.key, now)
	if err == nil && found && (committed.ID != rec.ID || offset > rec.Top) {
		err = engine.ErrBusy
	}
	return engine.HistoryResult{Top: engine.Position{Epoch: rec.Epoch, Offset: offset}}, err
}

func (x *Index) take(r read) {
	if a := x.readRing(&r.req); a != nil {
		x.count.cacheHits.Add(1)
		r.done(a.res, a.err)
		return
	}
	if err := x.queueRead(r); err != nil {
		r.done(engine.HistoryResult{}, err)
	}
}

// queueRead hands a read to the readers.
func (x *Index) queueRead(r read) error {
	x.reading.mu.RLock()
	defer x.reading.mu.RUnlock()
	if x.reading.closed {
		return engine.ErrClosed
	}
	select {
	case x.reading.queue <- r:
		return nil
	default:
		x.count.readerQueueFull.Add(1)
		return engine.ErrBusy
	}
}

// readRing answers from RAM; nil if it cannot.
func (x *Index) readRing(req *engine.HistoryRequest) *answer {
	l := x.lanes.of(req.Channel)
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hot[req.Channel]
	now := x.readTime()
	if h == nil || !h.loaded || !h.durable.Exists() || h.durable.Expired(now) {
		return nil
	}
	low, known := h.lowLocked(now)
	if !known {
		return nil
	}
	w, err := WindowOf(req, h.durable.Position(), low)
	if err == nil && w.From <= w.To {
		var ok bool
		if w.Result.Publications, ok = h.ring.Page(&w, req, h.durable.Top); !ok {
			return nil
		}
	}
	x.touchLocked(h)
	return &answer{w.Result, err}
}

// lowLocked is the lowest offset that may be read at a log time, if RAM knows.
func (h *hot) lowLocked(now int64) (low uint64, known bool) {
	rec := &h.durable
	first := h.ring.First(rec.Top)
	horizon := rec.Horizon(now)
	switch {
	case rec.Low > rec.Top || rec.Oldest > horizon: // none is too old
		return rec.Low, true
	case first <= rec.Low || len(h.ring.Pubs) > 0 && h.ring.Pubs[0].Time <= horizon:
		return max(first+uint64(h.ring.FirstAfter(horizon)), rec.Low), true
	}
	return 0, false
}

func (x *Index) readLoop() {
	for r := range x.reading.queue {
		x.readDisk(r)
	}
}

// readDisk answers a read from disk. A channel that has no position yet, or has
// lost it, is given one by the committer.
func (x *Index) readDisk(r read) {
	h := x.pin(r.req.Channel)
	defer x.unpin(h)
	rec, err := x.ensure(h)
	if err != nil {
		r.done(engine.HistoryResult{}, err)
		return
	}
	if r.key != "" {
		r.done(x.readKey(&r, &rec))
		return
	}
	if !rec.Exists() || rec.Expired(x.readTime()) {
		switch {
		case !r.look:
			x.createFor(r)
		case r.req.Since != nil && r.req.Since.Epoch != "":
			r.done(engine.HistoryResult{}, engine.ErrUnrecoverable)
		default:
			r.done(engine.HistoryResult{}, nil)
		}
		return
	}
	x.count.cacheMisses.Add(1)
	r.done(x.readStore(&r.req, rec))
}

// createFor gives the channel a position and answers the read with it.
func (x *Index) createFor(r read) {
	err := x.Writable(true)
	if err == nil {
		err = x.cfg.Create(&r.req, func(res engine.PublishResult, err error) {
			if err != nil {
				r.done(engine.HistoryResult{}, err)
				return
			}
			if res.Offset > 0 { // somebody published meanwhile
				x.History(r.req, r.done)
				return
			}
			w, err := WindowOf(&r.req, res.Position, 1)
			r.done(w.Result, err)
		})
	}
	if err != nil {
		r.done(engine.HistoryResult{}, err)
	}
}

// readStore reads what is durable according to rec.
func (x *Index) readStore(req *engine.HistoryRequest, rec store.Record) (engine.HistoryResult, error) {
	low := rec.Low
	if horizon := rec.Horizon(x.readTime()); rec.Oldest <= horizon {
		var err error
		if low, _, err = x.store.FirstAfter(rec.ID, rec.Low, rec.Top, horizon); err != nil {
			return engine.HistoryResult{}, err
		}
	}
	w, err := WindowOf(req, rec.Position(), low)
	if err != nil || w.From > w.To {
		return w.Result, err
	}
	pubs, err := x.store.Read(store.Range{
		ID: rec.ID, From: w.From, To: w.To, Reverse: req.Reverse, Limit: req.Limit, MaxBytes: req.MaxBytes,
	})
	if err != nil {
		return engine.HistoryResult{}, err
	}
	w.Result.Publications = pubs
	switch { // what was trimmed while we read is not readable any more
	case len(pubs) == 0:
		w.Result.Oldest = max(low, w.To+1)
	case !req.Reverse:
		if pubs[0].Offset > w.From {
			w.Result.Oldest = pubs[0].Offset
		}
	}
	return w.Result, nil
}

package cluster

import (
	"errors"
	"sync"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// History implements engine.Historian. What the index of this node can answer it
// answers at once: whatever is later comes live. Only who asks for what is not
// there, a later offset or another epoch, waits until the index holds all that
// the log held when it asked, for at most BarrierWait: the client may have been
// on a node that is ahead.
func (e *Engine) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	if !req.Retention.Kept() {
		done(engine.HistoryResult{}, e.door.Err())
		return
	}
	e.ask(&req, (*index.Index).History, done)
}

// Look is History of a channel as it is: one without a position is given none, and
// its Top has no epoch.
func (e *Engine) Look(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	e.ask(&req, (*index.Index).Look, done)
}

// reading is a way to read an index.
type reading func(x *index.Index, req engine.HistoryRequest, done func(engine.HistoryResult, error))

func (e *Engine) ask(req *engine.HistoryRequest, how reading, done func(engine.HistoryResult, error)) {
	e.read(req, how, func(res engine.HistoryResult, err error) {
		if !errors.Is(err, engine.ErrUnrecoverable) {
			done(res, err)
			return
		}
		e.of(req.Channel, req.Retention.Durability).barriers.wait(func(err error) {
			if err != nil {
				done(engine.HistoryResult{}, err)
				return
			}
			e.read(req, how, done)
		})
	})
}

// read asks the index as it is.
func (e *Engine) read(req *engine.HistoryRequest, how reading, done func(engine.HistoryResult, error)) {
	if !e.door.Enter() {
		done(engine.HistoryResult{}, engine.ErrClosed)
		return
	}
	x := e.index(req)
	e.door.Leave()
	if x == nil {
		done(engine.HistoryResult{}, engine.ErrBusy)
		return
	}
	how(x, *req, func(res engine.HistoryResult, err error) {
		if errors.Is(err, engine.ErrClosed) && e.index(req) != x {
			err = engine.ErrBusy // it is the index that was closed, for another
		}
		done(res, err)
	})
}

// index is the one that answers a request now; nil: there is none.
func (e *Engine) index(req *engine.HistoryRequest) *index.Index {
	return e.of(req.Channel, req.Retention.Durability).index.Load()
}

// RemoveHistory implements engine.Historian.
func (e *Engine) RemoveHistory(ch channel.ID, r engine.Retention, done func(error)) {
	if !e.door.Enter() {
		done(engine.ErrClosed)
		return
	}
	if !r.Kept() {
		e.door.Leave()
		done(nil)
		return
	}
	err := e.of(ch, r.Durability).submit(index.Request{
		Entry: entry(store.Remove, ch, r), Done: func(_ engine.PublishResult, err error) { done(err) },
	}, e.cfg.PublishWait)
	e.door.Leave()
	if err != nil {
		done(err)
	}
}

// barriers lets those who want to know what a log holds now wait together: for
// an entry that was appended after they asked, to be applied here.
type barriers struct {
	p *partition

	mu       sync.Mutex
	underWay bool
	next     []func(error) // who asked since the one under way began
}

// wait calls done once all is applied that was in the log before wait was called.
func (b *barriers) wait(done func(error)) {
	bounded := within(b.p.e.cfg.BarrierWait, func(_ struct{}, err error) { done(err) })
	b.mu.Lock()
	b.next = append(b.next, func(err error) { bounded(struct{}{}, err) })
	begin := !b.underWay
	b.underWay = true
	b.mu.Unlock()
	if begin {
		b.begin()
	}
}

func (b *barriers) begin() {
	b.mu.Lock()
	waiting := b.next
	b.next, b.underWay = nil, len(waiting) > 0
	b.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	finish := func(_ engine.PublishResult, err error) {
		for _, done := range waiting {
			done(err)
		}
		b.begin()
	}
	if err := b.p.submit(index.Request{Entry: entry(store.Tick, channel.ID{}, engine.Retention{}), Done: finish}, b.p.e.cfg.BarrierWait); err != nil {
		finish(engine.PublishResult{}, err)
	}
}

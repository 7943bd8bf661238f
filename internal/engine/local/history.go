package local

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// History implements engine.Historian. What RAM covers is answered at once.
func (e *Engine) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	if !e.door.Enter() {
		done(engine.HistoryResult{}, engine.ErrClosed)
		return
	}
	switch {
	case !req.Retention.Kept():
		e.door.Leave()
		done(engine.HistoryResult{}, nil)
	case req.Retention.Durability == channel.Memory:
		res, err := e.readMemory(&req)
		e.door.Leave()
		done(res, err)
	default:
		e.door.Leave() // the index has a door of its own
		e.index.History(req, done)
	}
}

// RemoveHistory implements engine.Historian.
func (e *Engine) RemoveHistory(ch channel.ID, r engine.Retention, done func(error)) {
	if !e.door.Enter() {
		done(engine.ErrClosed)
		return
	}
	queued, err := e.removeHistory(ch, r, done)
	e.door.Leave()
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
	if err := e.index.Writable(false); err != nil {
		return false, err
	}
	err = e.queue.Put(index.Request{
		Entry: store.Entry{Version: store.EntryVersion, Kind: store.Remove, Channel: ch, Retention: r},
		Done:  func(_ engine.PublishResult, err error) { done(err) },
	})
	return err == nil, err
}

package cluster

import (
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Publish implements engine.Publisher.
func (e *Engine) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	if !e.door.Enter() {
		done(engine.PublishResult{}, engine.ErrClosed)
		return
	}
	pub := req.Publication
	pub.Offset, pub.Time = 0, 0
	if !req.Retention.Kept() || req.SkipHistory {
		res, err := e.pass(&req, &pub)
		e.door.Leave()
		done(res, err)
		return
	}
	p := e.of(req.Channel, req.Retention.Durability)
	var err error
	if req.Quota > 0 && !p.memory && e.Taken(req.Channel.App) >= req.Quota {
		err = p.repeat(&req, engine.ErrQuota, done)
	} else {
		en := entry(store.Publish, req.Channel, req.Retention)
		en.Key, en.Pub = req.IdempotencyKey, &pub
		err = p.submit(index.Request{Entry: en, FromReserve: req.FromReserve, Done: done}, e.cfg.PublishWait)
	}
	e.door.Leave()
	if err != nil {
		done(engine.PublishResult{}, err)
	}
}

// repeat answers a publication that is refused as index.Index.Repeat says.
func (p *partition) repeat(req *engine.PublishRequest, refusal error, done func(engine.PublishResult, error)) error {
	x := p.index.Load()
	if x == nil {
		return engine.ErrBusy
	}
	return x.Repeat(req.Channel, req.IdempotencyKey, refusal, done)
}

// within answers with ErrBusy if nobody else has in time.
func within[T any](d time.Duration, done func(T, error)) func(T, error) {
	var once sync.Once
	timer := time.AfterFunc(d, func() {
		once.Do(func() {
			var none T
			done(none, engine.ErrBusy)
		})
	})
	return func(v T, err error) {
		timer.Stop()
		once.Do(func() { done(v, err) })
	}
}

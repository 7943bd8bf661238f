package cluster

import (
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
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
	if req.Quota > 0 && req.Retention.Durability != channel.Memory && e.Taken(req.Channel.App) >= req.Quota {
		e.door.Leave()
		done(engine.PublishResult{}, engine.ErrQuota)
		return
	}
	en := entry(store.Publish, req.Channel, req.Retention)
	en.Key, en.Pub = req.IdempotencyKey, &pub
	err := e.of(req.Channel, req.Retention.Durability).submit(index.Request{Entry: en, FromReserve: req.FromReserve, Done: done}, e.cfg.PublishWait)
	e.door.Leave()
	if err != nil {
		done(engine.PublishResult{}, err)
	}
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

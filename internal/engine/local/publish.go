package local

import (
	"errors"

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
	if req.Retention.Kept() && req.Retention.Durability != channel.Memory {
		err := e.publishToDisk(&req, &pub, done)
		e.door.Leave()
		if err != nil {
			done(engine.PublishResult{}, err)
		}
		return
	}
	var res engine.PublishResult
	if req.Retention.Kept() && !req.SkipHistory {
		res = e.publishToMemory(&req, &pub)
	} else {
		res = e.pass(&req, &pub)
	}
	e.door.Leave()
	done(res, nil)
}

// pass hands a publication without history to the Follower.
func (e *Engine) pass(req *engine.PublishRequest, pub *engine.Publication) engine.PublishResult {
	pub.Time = e.now()
	l := e.lanes.of(req.Channel)
	l.mu.Lock()
	defer l.mu.Unlock()
	if req.IdempotencyKey != "" {
		if res, dup := e.repeat(req.Channel, req.IdempotencyKey, pub.Time); dup {
			return res
		}
		e.keys.Remember(req.Channel, req.IdempotencyKey, engine.Position{}, pub.Time)
	}
	e.follower.Publication(req.Channel, "", pub)
	return engine.PublishResult{}
}

// publishToDisk queues a publication for the committer; a returned error was not
// told to done.
func (e *Engine) publishToDisk(req *engine.PublishRequest, pub *engine.Publication, done func(engine.PublishResult, error)) error {
	if err := e.index.Writable(!req.SkipHistory && !req.FromReserve); err != nil {
		return err
	}
	if req.Quota > 0 && !req.SkipHistory && e.Taken(req.Channel.App) >= req.Quota {
		return e.index.Repeat(req.Channel, req.IdempotencyKey, engine.ErrQuota, done)
	}
	err := e.queue.Put(index.Request{
		Entry: store.Entry{
			Version: store.EntryVersion, Kind: store.Publish, Channel: req.Channel, Retention: req.Retention, Key: req.IdempotencyKey, Pub: pub,
		},
		Skip: req.SkipHistory, Done: done,
	})
	if errors.Is(err, engine.ErrBusy) {
		e.count.queueFull.Add(1)
	}
	return err
}

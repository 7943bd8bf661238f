package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// The queue is the history of one channel, and where a receiver stands the latest
// publication of another, in an App that no client can name.
const appSuffix = "/webhook"

func (d *Dispatcher) queue() channel.ID {
	return channel.ID{App: d.cfg.App + appSuffix, Name: "events"}
}

func (d *Dispatcher) rosterChannel() channel.ID {
	return channel.ID{App: d.cfg.App + appSuffix, Name: "roster"}
}

func (d *Dispatcher) deadChannel() channel.ID {
	return channel.ID{App: d.cfg.App + appSuffix, Name: "dead"}
}

func (d *Dispatcher) cursor(url string) channel.ID {
	sum := sha256.Sum256([]byte(url)) // it may hold a password
	return channel.ID{App: d.cfg.App + appSuffix, Name: "position-" + hex.EncodeToString(sum[:16])}
}

// keepFor is how long an event that was not told is kept, whatever RetryFor says:
// each is tried once at least.
const keepFor = 7 * 24 * time.Hour

func (d *Dispatcher) retention() engine.Retention {
	ttl := max(keepFor, 2*d.cfg.RetryFor)
	return engine.Retention{Size: d.cfg.MaxQueue, TTL: ttl, MetaTTL: ttl, Durability: channel.Disk}
}

func (d *Dispatcher) cursorRetention() engine.Retention {
	r := d.retention()
	r.Size = 1
	return r
}

// waiting reads what comes after a position, at most one call's worth. A position
// of another epoch gives everything there is.
func (d *Dispatcher) waiting(ctx context.Context, after engine.Position) (engine.HistoryResult, error) {
	req := engine.HistoryRequest{Channel: d.queue(), Retention: d.retention(), Limit: maxEvents, MaxBytes: maxBody, Since: &after}
	if after.Epoch == "" {
		req.Since = nil
	}
	res, err := d.history(ctx, req)
	if errors.Is(err, engine.ErrUnrecoverable) {
		req.Since = nil
		res, err = d.history(ctx, req)
	}
	return res, err
}

// position reads where a receiver stands. A new one begins with what has happened
// since this node was started.
func (d *Dispatcher) position(ctx context.Context, url string) (at engine.Position, err error) {
	res, err := d.history(ctx, engine.HistoryRequest{
		Channel: d.cursor(url), Retention: d.cursorRetention(), Limit: 1, Reverse: true,
	})
	if err != nil {
		return at, err
	}
	if len(res.Publications) == 0 {
		if at, err = d.beginning(ctx); err != nil {
			return at, err
		}
		return at, d.advance(ctx, url, at)
	}
	if err := json.Unmarshal(res.Publications[0].Data, &at); err != nil {
		return at, fmt.Errorf("position of %s: %w", url, err)
	}
	return at, nil
}

// beginning is the position before the first event since this node was started.
func (d *Dispatcher) beginning(ctx context.Context) (at engine.Position, err error) {
	for {
		res, err := d.waiting(ctx, at)
		if err != nil {
			return at, err
		}
		if at.Epoch == "" {
			at = engine.Position{Epoch: res.Top.Epoch, Offset: res.Oldest - 1}
		}
		for _, pub := range res.Publications {
			if pub.Time >= d.started.UnixMilli() {
				return at, nil
			}
			at.Offset = pub.Offset
		}
		if len(res.Publications) == 0 || at.Offset >= res.Top.Offset {
			return at, nil
		}
	}
}

// advance writes down where a receiver stands.
func (d *Dispatcher) advance(ctx context.Context, url string, at engine.Position) error {
	data, err := json.Marshal(at)
	if err != nil {
		return err
	}
	_, err = engine.Await(ctx, func(done func(engine.PublishResult, error)) {
		d.cfg.Log.Publish(engine.PublishRequest{
			Channel: d.cursor(url), Retention: d.cursorRetention(), Publication: engine.Publication{Data: data},
		}, done)
	})
	return err
}

func (d *Dispatcher) history(ctx context.Context, req engine.HistoryRequest) (engine.HistoryResult, error) {
	return engine.Await(ctx, func(done func(engine.HistoryResult, error)) { d.cfg.Log.History(req, done) })
}

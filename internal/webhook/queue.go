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
	"github.com/fanfare-push/fanfare/internal/metrics"
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

// enqueue puts an event into the queue; calls come from one goroutine, in order.
func (d *Dispatcher) enqueue(e Event) {
	data, err := json.Marshal(e)
	if err != nil {
		d.log.Error("webhook event cannot be encoded", "event", e.Name, "error", err)
		return
	}
	d.roster.apply(&e)
	var snapshot []Event
	due := d.snapshotDue()
	if due {
		snapshot = d.roster.events()
	}
	d.cfg.Log.Publish(engine.PublishRequest{
		Channel: d.queue(), Retention: d.retention(), Publication: engine.Publication{Data: data},
	}, func(res engine.PublishResult, err error) {
		if err != nil {
			d.cfg.Metrics.Drops.Of(metrics.DropWebhookQueue).Inc()
			d.log.Warn("webhook event is lost", "event", e.Name, "channel", e.Channel, "error", err)
			return
		}
		if due {
			d.mu.Lock()
			d.shots = append(d.shots, shot{snapshot, res.Position})
			d.mu.Unlock()
			d.nudge()
		}
		for _, more := range d.more {
			select {
			case more <- struct{}{}:
			default:
			}
		}
	})
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

// position reads where a receiver stands. A new one begins with what happens from
// now on.
func (d *Dispatcher) position(ctx context.Context, url string) (at engine.Position, err error) {
	res, err := d.history(ctx, engine.HistoryRequest{
		Channel: d.cursor(url), Retention: d.cursorRetention(), Limit: 1, Reverse: true,
	})
	if err != nil {
		return at, err
	}
	if len(res.Publications) == 0 {
		top, err := d.history(ctx, engine.HistoryRequest{Channel: d.queue(), Retention: d.retention()})
		if err != nil {
			return at, err
		}
		return top.Top, d.advance(ctx, url, top.Top)
	}
	if err := json.Unmarshal(res.Publications[0].Data, &at); err != nil {
		return at, fmt.Errorf("position of %s: %w", url, err)
	}
	return at, nil
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

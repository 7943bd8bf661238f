package webhook

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// DeadLetter is an event that a receiver was not told of within RetryFor.
type DeadLetter struct {
	URL   string          `json:"url"`     // of the receiver, without a password
	Time  int64           `json:"time_ms"` // when it happened; Unix ms
	Event json.RawMessage `json:"event"`
	Error string          `json:"error"` // of the last try
}

// maxDead bounds the dead letters that are kept, for as long as the queue keeps
// events.
const maxDead = 10_000

func (d *Dispatcher) deadRetention() engine.Retention {
	ret := d.retention()
	ret.Size = maxDead
	return ret
}

// lay keeps events as dead letters.
func (d *Dispatcher) lay(url string, pubs []*engine.Publication, why error) {
	for _, pub := range pubs {
		data, err := json.Marshal(DeadLetter{URL: url, Time: pub.Time, Event: pub.Data, Error: why.Error()})
		if err != nil {
			d.log.Error("a dead letter cannot be encoded", "error", err)
			continue
		}
		d.cfg.Log.Publish(engine.PublishRequest{
			Channel: d.deadChannel(), Retention: d.deadRetention(), Publication: engine.Publication{Data: data},
		}, func(_ engine.PublishResult, err error) {
			if err != nil {
				d.log.Warn("a dead letter is not kept", "error", err)
			}
		})
	}
}

// DeadLetters reads at most limit of them, the newest first.
func (d *Dispatcher) DeadLetters(ctx context.Context, limit int) ([]DeadLetter, error) {
	res, err := d.history(ctx, engine.HistoryRequest{
		Channel: d.deadChannel(), Retention: d.deadRetention(), Limit: limit, MaxBytes: maxBody, Reverse: true,
	})
	if err != nil {
		return nil, err
	}
	letters := make([]DeadLetter, len(res.Publications))
	for i, pub := range res.Publications {
		if err := json.Unmarshal(pub.Data, &letters[i]); err != nil {
			return nil, fmt.Errorf("dead letter %d: %w", pub.Offset, err)
		}
	}
	return letters, nil
}

package crowd

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
)

// publisher publishes one after the other, each until it is acknowledged.
type publisher struct {
	*Crowd
	load   Load
	home   int
	name   string
	random *rand.Rand
	acks   []check.Ack
}

const (
	retryAfter  = 20 * time.Millisecond
	repeatEvery = 20 // one in so many publications is published again
)

// run publishes until live ends; what is under way then is still brought to its
// acknowledgement, under ctx.
func (p *publisher) run(ctx, live context.Context) error {
	for n := 1; live.Err() == nil; n++ {
		id := fmt.Sprintf("%s-%d", p.name, n)
		data := p.content(id)
		if err := p.publish(ctx, id, data, false); err != nil {
			return err
		}
		// Sometimes the reply is lost on the way: the backend asks again, maybe
		// after the server was killed.
		if p.random.IntN(repeatEvery) == 0 {
			_ = pause(live, upTo(p.random, time.Second))
			if err := p.publish(ctx, id, data, true); err != nil {
				return err
			}
		}
		_ = pause(live, upTo(p.random, p.load.Pause))
	}
	return nil
}

// content is a JSON object of varied size that is like no other.
func (p *publisher) content(id string) json.RawMessage {
	pad := strings.Repeat("x", p.random.IntN(p.load.MaxPad))
	return fmt.Appendf(nil, `{"id":%q,"pad":%q}`, id, pad)
}

type published struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

func (p *publisher) publish(ctx context.Context, id string, data json.RawMessage, repeat bool) error {
	request := map[string]any{"channel": p.load.Channel, "data": data, "idempotency_key": id}
	for {
		addr, err := p.Find(ctx, p.home, p.random)
		if err != nil {
			return err
		}
		var pos published
		err = p.call(ctx, addr, "publish", request, &pos)
		if err == nil {
			p.acks = append(p.acks, check.Ack{
				Entry:   check.Entry{Offset: pos.Offset, ID: id, Sum: check.Sum(data)},
				Channel: p.load.Channel, Epoch: pos.Epoch, Repeat: repeat,
			})
			p.acked.Add(1)
			if p.Acked != nil && !repeat {
				p.Acked(p.load.Channel)
			}
			return nil
		}
		if !temporary(err) {
			return fmt.Errorf("publisher %s: %w", p.name, err)
		}
		if err := pause(ctx, retryAfter); err != nil {
			return err
		}
	}
}

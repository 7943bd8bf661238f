package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
	"github.com/fanfare-push/fanfare/test/server"
)

// publisher publishes one after the other, each until it is acknowledged.
type publisher struct {
	*audit
	load   load
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
		_ = pause(live, upTo(p.random, p.load.pause))
	}
	return nil
}

// content is a JSON object of varied size that is like no other.
func (p *publisher) content(id string) json.RawMessage {
	pad := strings.Repeat("x", p.random.IntN(p.load.maxPad))
	return fmt.Appendf(nil, `{"id":%q,"pad":%q}`, id, pad)
}

type published struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

func (p *publisher) publish(ctx context.Context, id string, data json.RawMessage, repeat bool) error {
	request := map[string]any{"channel": p.load.channel, "data": data, "idempotency_key": id}
	for {
		var pos published
		err := p.call(ctx, "publish", request, &pos)
		if err == nil {
			p.acks = append(p.acks, check.Ack{
				Entry:   check.Entry{Offset: pos.Offset, ID: id, Sum: check.Sum(data)},
				Channel: p.load.channel, Epoch: pos.Epoch, Repeat: repeat,
			})
			p.acked.Add(1)
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

// call asks the server that runs now.
func (a *audit) call(ctx context.Context, method string, request, result any) error {
	srv, err := a.node.current(ctx)
	if err != nil {
		return err
	}
	return srv.API(a.http).Do(ctx, method, request, result)
}

// temporary says whether asking again makes sense: the server was killed, or says
// so itself.
func temporary(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var api *server.APIError
	if errors.As(err, &api) {
		return api.Code == 100 || api.Code == 111 || api.Code == http.StatusServiceUnavailable
	}
	return true
}

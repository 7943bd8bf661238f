package trio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// askTimeout bounds one question to a node; one that is frozen never answers.
const askTimeout = 3 * time.Second

// Answer is what a node says of itself.
type Answer int

// NoAnswer is that of a node that is down or frozen.
const (
	NoAnswer Answer = iota
	NotReady
	Ready
)

// Ready asks a node's /ready; reason says why it is not.
func (t *Trio) Ready(ctx context.Context, i int) (a Answer, reason string) {
	srv := t.Server(i)
	if srv == nil {
		return NoAnswer, "down"
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+srv.Addr()+"/ready", http.NoBody)
	if err != nil {
		return NoAnswer, err.Error()
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return NoAnswer, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusOK {
		return Ready, ""
	}
	var said struct{ Reason string }
	err = json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&said)
	if err != nil || res.StatusCode != http.StatusServiceUnavailable {
		return NoAnswer, fmt.Sprintf("HTTP %d: %v", res.StatusCode, err)
	}
	return NotReady, said.Reason
}

// pollEvery is how often conditions are looked at.
const pollEvery = 20 * time.Millisecond

// Await looks until cond holds and gives the time that it took; cond's text says
// what it sees. An error says that ctx ended before.
func Await(ctx context.Context, what string, cond func() (bool, string)) (time.Duration, error) {
	began := time.Now()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		holds, sees := cond()
		if holds {
			return time.Since(began), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Since(began), fmt.Errorf("it does not come to be that %s, but: %s: %w", what, sees, context.Cause(ctx))
		}
	}
}

// AwaitReady waits until all nodes that are up are ready.
func (t *Trio) AwaitReady(ctx context.Context) error {
	for i := range Size {
		if t.Server(i) == nil {
			continue
		}
		if _, err := Await(ctx, Name(i)+" is ready", func() (bool, string) {
			answer, reason := t.Ready(ctx, i)
			return answer == Ready, reason
		}); err != nil {
			return err
		}
	}
	return nil
}

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

// Ready asks a node's /ready; reason says why it is not.
func (t *Trio) Ready(ctx context.Context, i int) (ready bool, reason string) {
	srv := t.Server(i)
	if srv == nil {
		return false, "down"
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+srv.Addr()+"/ready", http.NoBody)
	if err != nil {
		return false, err.Error()
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	var said struct{ Reason string }
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	if err != nil {
		return false, fmt.Sprintf("HTTP %d: %v", res.StatusCode, err)
	}
	return res.StatusCode == http.StatusOK, said.Reason
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
		if _, err := Await(ctx, Name(i)+" is ready", func() (bool, string) { return t.Ready(ctx, i) }); err != nil {
			return err
		}
	}
	return nil
}

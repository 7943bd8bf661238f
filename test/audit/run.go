package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
	"github.com/fanfare-push/fanfare/test/audit/crowd"
)

// config says how to run.
type config struct {
	bin, dir string
	kills    int
	seed     uint64
	progress func(line string)
}

// loads: one channel that everybody writes to, one with large publications, some
// with one publisher each, and one that is silent most of the time.
var loads = []crowd.Load{
	{Channel: "audit:many", Publishers: 10, Subscribers: 3, MaxPad: 200, Pause: 4 * time.Millisecond},
	{Channel: "audit:large", Publishers: 2, Subscribers: 2, MaxPad: 32 << 10, Pause: 20 * time.Millisecond},
	{Channel: "audit:a", Publishers: 1, Subscribers: 1, MaxPad: 500, Pause: 5 * time.Millisecond},
	{Channel: "audit:b", Publishers: 1, Subscribers: 2, MaxPad: 500, Pause: 5 * time.Millisecond},
	{Channel: "audit:rare", Publishers: 1, Subscribers: 1, MaxPad: 100, Pause: 3 * time.Second},
}

const apiKey = "audit"

// serverConfig keeps everything, so that the check can be complete.
const serverConfig = `
api:
  key: ` + apiKey + `
client:
  allow_anonymous: true
channel:
  namespaces:
    - name: audit
      history_size: 1000000
      history_ttl: 24h
      force_recovery: true
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
`

// result is what a run has seen.
type result struct {
	record check.Record
	seed   uint64
	kills  int
	took   time.Duration
}

func (r *result) summary() string {
	return fmt.Sprintf("%d kills, %s, in %s, seed %d", r.kills, crowd.Summary(&r.record), r.took.Round(time.Second), r.seed)
}

// audit is one run while it lasts.
type audit struct {
	config
	*crowd.Crowd

	node *node
}

// run starts a server, loads it, kills it again and again, and gives what
// everybody was told. An error says that the run itself could not go on.
func run(ctx context.Context, cfg config) (*result, error) {
	start := time.Now()
	cfg.progress(fmt.Sprintf("audit: %d kills, seed %d", cfg.kills, cfg.seed))
	a := &audit{config: cfg, node: newNode()}
	a.Crowd = &crowd.Crowd{Loads: loads, Seed: cfg.seed, APIKey: apiKey, Find: a.find, Ends: a.ends}
	record, err := a.Run(ctx, a.killAll)
	a.node.stop()
	if err != nil {
		return nil, err
	}
	return &result{record: *record, seed: cfg.seed, kills: cfg.kills, took: time.Since(start)}, nil
}

// find gives the one server, as soon as it listens.
func (a *audit) find(ctx context.Context, _ int, _ *rand.Rand) (string, error) {
	srv, err := a.node.current(ctx)
	if err != nil {
		return "", err
	}
	return srv.Addr(), nil
}

func (a *audit) ends(ctx context.Context) ([]string, error) {
	addr, err := a.find(ctx, 0, nil)
	return []string{addr}, err
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// upTo is a random duration below d.
func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

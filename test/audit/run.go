package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
)

// config says how to run.
type config struct {
	bin, dir string
	kills    int
	seed     uint64
	progress func(line string)
}

// load is who publishes what where.
type load struct {
	channel     string
	publishers  int
	subscribers int
	maxPad      int           // bytes that a publication may have besides its id
	pause       time.Duration // the longest wait of a publisher before its next
}

// loads: one channel that everybody writes to, one with large publications, some
// with one publisher each, and one that is silent most of the time.
var loads = []load{
	{"audit:many", 10, 3, 200, 4 * time.Millisecond},
	{"audit:large", 2, 2, 32 << 10, 20 * time.Millisecond},
	{"audit:a", 1, 1, 500, 5 * time.Millisecond},
	{"audit:b", 1, 2, 500, 5 * time.Millisecond},
	{"audit:rare", 1, 1, 100, 3 * time.Second},
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

// drainTimeout bounds how long subscribers may take to be shown the end.
const drainTimeout = 30 * time.Second

// result is what a run has seen.
type result struct {
	record check.Record
	seed   uint64
	kills  int
	took   time.Duration
}

func (r *result) summary() string {
	acks, shown, back, read := 0, 0, 0, 0
	for _, p := range r.record.Publishers {
		acks += len(p.Acks)
	}
	for _, s := range r.record.Subscribers {
		for _, e := range s.Events {
			switch {
			case e.Entry != nil:
				shown++
			case e.Subscribed.Recovering:
				back++
			}
		}
	}
	for _, p := range r.record.Reads {
		read += len(p.Entries)
	}
	return fmt.Sprintf("%d kills, %d publications acknowledged, %d shown to %d subscribers that came back %d times, %d read meanwhile, in %s, seed %d",
		r.kills, acks, shown, len(r.record.Subscribers), back, read, r.took.Round(time.Second), r.seed)
}

// audit is one run while it lasts.
type audit struct {
	config
	http   *http.Client
	node   *node
	acked  atomic.Int64 // publications so far
	random func() *rand.Rand
}

// run starts a server, loads it, kills it again and again, and gives what
// everybody was told. An error says that the run itself could not go on.
func run(ctx context.Context, cfg config) (*result, error) {
	start := time.Now()
	cfg.progress(fmt.Sprintf("audit: %d kills, seed %d", cfg.kills, cfg.seed))
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	streams := uint64(0)
	a := &audit{config: cfg, http: &http.Client{Transport: transport, Timeout: 15 * time.Second}, node: newNode()}
	a.random = func() *rand.Rand {
		streams++
		return rand.New(rand.NewPCG(cfg.seed, streams))
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	record, err := a.everybody(ctx, fail)
	a.node.stop()
	if err != nil {
		return nil, err
	}
	return &result{record: *record, seed: cfg.seed, kills: cfg.kills, took: time.Since(start)}, nil
}

// everybody starts publishers, subscribers and readers, kills under them, and ends
// them in the order in which they depend on each other.
func (a *audit) everybody(ctx context.Context, fail context.CancelCauseFunc) (*check.Record, error) {
	pubs, subs := a.publishers(), a.subscribers()
	readers := &reader{audit: a, random: a.random()}
	killer := a.random()

	live, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	listening, stopListening := context.WithCancel(ctx)
	defer stopListening()

	var publishing, watching sync.WaitGroup
	spawn := func(wg *sync.WaitGroup, what func() error) {
		wg.Go(func() {
			if err := what(); err != nil {
				fail(err)
			}
		})
	}
	for _, s := range subs {
		spawn(&watching, func() error { return s.run(listening) })
	}
	for _, p := range pubs {
		spawn(&publishing, func() error { return p.run(ctx, live) })
	}
	spawn(&publishing, func() error { return readers.run(live) })

	err := a.killAll(ctx, killer)
	stopLoad()
	publishing.Wait()
	var channels []check.Channel
	if err == nil {
		channels, err = a.histories(ctx)
	}
	if err == nil {
		a.drain(ctx, subs, channels)
	}
	stopListening()
	watching.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	return a.collect(channels, pubs, subs, readers), nil
}

func (a *audit) publishers() []*publisher {
	var all []*publisher
	for _, l := range loads {
		for range l.publishers {
			all = append(all, &publisher{audit: a, load: l, name: fmt.Sprintf("p%d", len(all)), random: a.random()})
		}
	}
	return all
}

func (a *audit) subscribers() []*subscriber {
	var all []*subscriber
	for _, l := range loads {
		for range l.subscribers {
			all = append(all, &subscriber{audit: a, channel: l.channel, name: fmt.Sprintf("s%d", len(all)), random: a.random()})
		}
	}
	return all
}

// drain waits until every subscriber has been shown its channel's top; the check
// says who was not.
func (a *audit) drain(ctx context.Context, subs []*subscriber, channels []check.Channel) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	tops := map[string]uint64{}
	for _, ch := range channels {
		tops[ch.Name] = ch.Top
	}
	for _, s := range subs {
		for s.last.Load() < tops[s.channel] && pause(ctx, 5*time.Millisecond) == nil {
		}
	}
}

func (a *audit) collect(channels []check.Channel, pubs []*publisher, subs []*subscriber, r *reader) *check.Record {
	record := &check.Record{Channels: channels, Reads: r.reads}
	for _, p := range pubs {
		record.Publishers = append(record.Publishers, check.Publisher{Name: p.name, Acks: p.acks})
	}
	for _, s := range subs {
		record.Subscribers = append(record.Subscribers, check.Subscriber{Name: s.name, Channel: s.channel, Events: s.events})
	}
	return record
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

// over says whether err only says that ctx has ended.
func over(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err()) || errors.Is(err, context.Canceled))
}

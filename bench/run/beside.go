package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/test/wire"
)

// A large channel is kept saturated, and a small one beside it is looked at.
const (
	largeChannel = 10_000                // subscribers
	probeGap     = 10 * time.Millisecond // between two publications to the small one
	probeFor     = 8 * time.Second       // at least: a hundredth of the probes are to be several
)

// besides measures how long a small channel, and an HTTP publish, wait while a
// large channel is saturated.
func (b *bench) besides(ctx context.Context) (string, error) {
	if !b.withPushbench() {
		fmt.Println("  no pushbench: not measured")
		return "", nil
	}
	t := &table{head: []string{"GOMAXPROCS", "what", "p50", "p99", "largest", "aim of p99", "large channel"}}
	for _, procs := range []int{1, 2} {
		m, err := b.repeat(ctx, fmt.Sprintf("GOMAXPROCS %d", procs), func(ctx context.Context) (numbers, error) { return b.besideRun(ctx, procs) })
		if err != nil {
			return "", err
		}
		for _, what := range []struct{ name, key string }{{"delivery to a channel of 2", "delivery"}, {"HTTP publish", "publish"}} {
			ms := func(q string) string { return fmt.Sprintf("%.1f ms", m[what.key+q]) }
			t.add(strconv.Itoa(procs), what.name, ms("_p50"), ms("_p99"), ms("_max"), "≤ 10 ms", human(m["deliveries"])+" deliveries/s")
		}
	}
	return "\n## A small channel beside a saturated one\n\n10,000 subscribers, 4 publications in flight, kept so; meanwhile a publication every " + probeGap.String() +
		" to a channel of 2,\nfrom the call of the API to its arrival. The load runs at a lower priority than the probe, which shares its core.\n\n" + t.String(), nil
}

func (b *bench) besideRun(ctx context.Context, procs int) (numbers, error) {
	srv, err := b.start(ctx, procs, false)
	if err != nil {
		return nil, err
	}
	defer srv.end()
	p := &probe{srv: srv}
	defer p.close()
	if err := p.subscribe(ctx, 2); err != nil {
		return nil, err
	}
	load := b.command(ctx, append(b.pin(loaderCore), "nice", "-n", "10"), srv.Addr(), srv.PID(),
		[]string{"-key=" + apiKey, "-mode=fanout", "-n=" + strconv.Itoa(largeChannel), "-window=4", "-channel=large", "-dur=10m"})
	var said bytes.Buffer
	load.Stderr = &said
	if err := load.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = load.Process.Kill()
		_ = load.Wait()
	}()
	if err := saturated(ctx, srv); err != nil {
		return nil, errors.Join(err, errors.New(said.String()))
	}
	before, err := srv.metric(ctx, "fanfare_deliveries_total")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := p.run(ctx, max(b.dur, probeFor)); err != nil {
		return nil, err
	}
	took := time.Since(began).Seconds()
	after, err := srv.metric(ctx, "fanfare_deliveries_total")
	if err != nil {
		return nil, err
	}
	n := numbers{"deliveries": (after - before) / took}
	p.mu.Lock()
	defer p.mu.Unlock()
	quantiles(n, "delivery", p.deliveries)
	quantiles(n, "publish", p.publishes)
	return n, nil
}

// saturated returns when the large channel is being published to.
func saturated(ctx context.Context, srv *subject) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		n, err := srv.metric(ctx, "fanfare_deliveries_total")
		if err != nil || n > 3*largeChannel {
			return err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("the load does not begin: %w", err)
		}
	}
}

func quantiles(n numbers, key string, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
	n[key+"_p50"], n[key+"_p99"], n[key+"_max"] = at(0.5), at(0.99), at(1)
}

// probe publishes to a small channel and receives there.
type probe struct {
	srv   *subject
	conns []*wire.Conn
	read  sync.WaitGroup

	mu         sync.Mutex
	deliveries []time.Duration
	publishes  []time.Duration
}

const small = "small"

func (p *probe) subscribe(ctx context.Context, n int) error {
	for range n {
		c, err := wire.Connect(ctx, p.srv.WebSocketURL())
		if err != nil {
			return err
		}
		p.conns = append(p.conns, c)
		if err := c.Send(ctx, `{"id":2,"subscribe":{"channel":"`+small+`"}}`); err != nil {
			return err
		}
		if _, err := c.Reply(ctx, 2); err != nil {
			return err
		}
		p.read.Go(func() { p.receive(ctx, c) })
	}
	return nil
}

func (p *probe) receive(ctx context.Context, c *wire.Conn) {
	for {
		m, err := c.Next(ctx)
		if err != nil {
			return // closed at the end of the run
		}
		if m.Push == nil || m.Push.Pub == nil {
			continue
		}
		now := time.Now()
		sent, err := strconv.ParseInt(strings.Trim(string(m.Push.Pub.Data), `"`), 10, 64)
		if err != nil {
			continue
		}
		p.mu.Lock()
		p.deliveries = append(p.deliveries, now.Sub(time.Unix(0, sent)))
		p.mu.Unlock()
	}
}

// run publishes at a fixed pace, whether or not the last one is answered, until d
// is over; then every publication has arrived or is missed.
func (p *probe) run(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var calls sync.WaitGroup
	sent := 0
	tick := time.NewTicker(probeGap)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; sent++ {
		<-tick.C
		calls.Go(func() {
			began := time.Now()
			request := map[string]string{"channel": small, "data": strconv.FormatInt(began.UnixNano(), 10)}
			if err := p.srv.api.Do(ctx, "publish", request, nil); err != nil {
				cancel(err)
				return
			}
			took := time.Since(began)
			p.mu.Lock()
			p.publishes = append(p.publishes, took)
			p.mu.Unlock()
		})
	}
	calls.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return p.arrived(ctx, sent*len(p.conns))
}

func (p *probe) arrived(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		p.mu.Lock()
		got := len(p.deliveries)
		p.mu.Unlock()
		if got >= want {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d deliveries to the small channel arrived: %w", got, want, err)
		}
	}
}

func (p *probe) close() {
	for _, c := range p.conns {
		c.Drop()
	}
	p.read.Wait()
}

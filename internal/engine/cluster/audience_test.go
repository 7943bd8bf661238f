package cluster

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// audience is a Follower that keeps what it is told, and faults what it must not
// be told: offsets out of sequence, or an offset that holds something else than
// another audience was told.
type audience struct {
	t     testing.TB
	truth *truth
	on    func(ch channel.ID, pub *engine.Publication) // nil: nothing

	mu   sync.Mutex
	tops map[channel.ID]engine.Position
}

// truth is what offsets hold, of all nodes.
type truth struct {
	mu sync.Mutex
	at map[place]string
}

type place struct {
	ch     channel.ID
	epoch  string
	offset uint64
}

func newTruth() *truth { return &truth{at: make(map[place]string)} }

// see faults an offset that held something else.
func (tr *truth) see(tb testing.TB, ch channel.ID, epoch string, offset uint64, data string) {
	tb.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	p := place{ch, epoch, offset}
	if was, known := tr.at[p]; known && was != data {
		tb.Errorf("%s at %s/%d holds %q, held %q", ch, epoch, offset, data, was)
	}
	tr.at[p] = data
}

func newAudience(tb testing.TB, tr *truth) *audience {
	tb.Helper()
	return &audience{t: tb, truth: tr, tops: make(map[channel.ID]engine.Position)}
}

// Publication implements engine.Follower.
func (a *audience) Publication(ch channel.ID, epoch string, pub *engine.Publication) {
	if a.on != nil {
		a.on(ch, pub)
	}
	if pub.Offset == 0 {
		return
	}
	a.truth.see(a.t, ch, epoch, pub.Offset, string(pub.Data))
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.tops[ch]
	if last.Epoch == epoch && pub.Offset != last.Offset+1 {
		a.t.Errorf("%s: %d is told after %d", ch, pub.Offset, last.Offset)
	}
	a.tops[ch] = engine.Position{Epoch: epoch, Offset: pub.Offset}
}

func (*audience) Join(channel.ID, *engine.ClientInfo, bool)  {}
func (*audience) Leave(channel.ID, *engine.ClientInfo, bool) {}
func (*audience) Control(engine.Control)                     {}

func (a *audience) top(ch channel.ID) engine.Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tops[ch]
}

// keep is the retention of so many publications.
func keep(size int, d channel.Durability) engine.Retention {
	return engine.Retention{Size: size, TTL: time.Hour, MetaTTL: 24 * time.Hour, Durability: d}
}

func named(i int) channel.ID { return channel.ID{App: "app", Name: fmt.Sprint("c", i)} }

type reply struct {
	engine.PublishResult
	err error
}

func send(e engine.Engine, ch channel.ID, r engine.Retention, data, key string) <-chan reply {
	c := make(chan reply, 1)
	e.Publish(engine.PublishRequest{
		Channel: ch, Retention: r, IdempotencyKey: key, Publication: engine.Publication{Data: []byte(data)},
	}, func(res engine.PublishResult, err error) { c <- reply{res, err} })
	return c
}

func await[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(testPatience):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

func publish(tb testing.TB, e engine.Engine, ch channel.ID, r engine.Retention, data string) engine.PublishResult {
	tb.Helper()
	got := await(tb, send(e, ch, r, data, ""))
	if got.err != nil {
		tb.Fatalf("publish: %v", got.err)
	}
	return got.PublishResult
}

type read struct {
	engine.HistoryResult
	err error
}

func ask(e engine.Engine, ch channel.ID, r engine.Retention, since *engine.Position) <-chan read {
	c := make(chan read, 1)
	e.History(engine.HistoryRequest{Channel: ch, Retention: r, Limit: -1, Since: since}, func(res engine.HistoryResult, err error) {
		c <- read{res, err}
	})
	return c
}

// history reads all that is kept, and faults a gap.
func history(tb testing.TB, e engine.Engine, ch channel.ID, r engine.Retention, tr *truth) engine.HistoryResult {
	tb.Helper()
	got := await(tb, ask(e, ch, r, nil))
	if got.err != nil {
		tb.Fatalf("history of %s: %v", ch, got.err)
	}
	for i, p := range got.Publications {
		if p.Offset != got.Publications[0].Offset+uint64(i) {
			tb.Errorf("history of %s: %d as number %d from %d", ch, p.Offset, i, got.Publications[0].Offset)
		}
		tr.see(tb, ch, got.Top.Epoch, p.Offset, string(p.Data))
	}
	return got.HistoryResult
}

// traffic publishes to some channels, one publication after the other on each of
// some publishers, until it is stopped. What is acknowledged must be in the
// truth, once.
type traffic struct {
	t       testing.TB
	stop    chan struct{}
	halt    func() // closes stop, once
	running sync.WaitGroup

	mu    sync.Mutex
	acked map[string]place // by data
	busy  int
	last  time.Time // when the last was acknowledged
	pause time.Duration
}

const (
	trafficChannels = 5
	// trafficPause is between two publications of a publisher: what is read back and
	// compared at the end is to say something, and not to be all that a machine can do.
	trafficPause = 5 * time.Millisecond
)

// newTraffic publishes on the engines that nodes yields: nil is a node that is
// away.
func newTraffic(tb testing.TB, publishers int, r engine.Retention, node func(i int) engine.Engine) *traffic {
	tb.Helper()
	tr := &traffic{t: tb, stop: make(chan struct{}), acked: make(map[string]place), last: time.Now()}
	tr.halt = sync.OnceFunc(func() { close(tr.stop) })
	tb.Cleanup(func() { // of a test that fails before the end
		tr.halt()
		tr.running.Wait()
	})
	for i := range publishers {
		tr.running.Go(func() { tr.publish(i, r, node) })
	}
	return tr
}

func (tr *traffic) publish(i int, r engine.Retention, node func(i int) engine.Engine) {
	last := map[channel.ID]engine.Position{}
	for n := 0; ; n++ {
		select {
		case <-tr.stop:
			return
		case <-time.After(trafficPause):
		}
		ch, data := named(n%trafficChannels), fmt.Sprintf("%d-%d", i, n)
		// The key lets a publisher try again on another node what may be stored.
		for {
			e := node(i)
			if e == nil {
				e = node(i + 1)
			}
			if e == nil {
				return // the test is over
			}
			got := await(tr.t, send(e, ch, r, data, data))
			if got.err == nil {
				if was := last[ch]; was.Epoch == got.Epoch && got.Offset <= was.Offset {
					tr.t.Errorf("publisher %d: %s after %s", i, fmt.Sprint(got.Position), fmt.Sprint(was))
				}
				last[ch] = got.Position
				tr.note(data, place{ch, got.Epoch, got.Offset})
				break
			}
			tr.mu.Lock()
			tr.busy++
			tr.mu.Unlock()
			select {
			case <-tr.stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

func (tr *traffic) note(data string, p place) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.acked[data] = p
	tr.pause = max(tr.pause, time.Since(tr.last))
	tr.last = time.Now()
}

func (tr *traffic) count() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.acked)
}

// flows waits until as much again is acknowledged.
func (tr *traffic) flows(what string, n int) {
	tr.t.Helper()
	from := tr.count()
	eventually(tr.t, "publications flow "+what, func() bool { return tr.count() >= from+n })
}

// longest is the longest time without an acknowledgement since it was asked last.
func (tr *traffic) longest() time.Duration {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	d := tr.pause
	tr.pause = 0
	return d
}

// end stops, and checks that what was acknowledged is what engines hold, once.
func (tr *traffic) end(r engine.Retention, what *truth, engines ...engine.Engine) {
	tr.t.Helper()
	tr.halt()
	tr.running.Wait()
	tops := map[channel.ID]uint64{}
	for _, p := range tr.acked {
		tops[p.ch] = max(tops[p.ch], p.offset)
	}
	for i, e := range engines {
		held := map[string]place{}
		for c := range trafficChannels {
			ch := named(c)
			eventually(tr.t, fmt.Sprintf("node %d holds all of %s", i+1, ch), func() bool {
				got := await(tr.t, ask(e, ch, r, nil))
				return got.err == nil && got.Top.Offset >= tops[ch]
			})
			res := history(tr.t, e, ch, r, what)
			for _, p := range res.Publications {
				if was, twice := held[string(p.Data)]; twice {
					tr.t.Errorf("node %d: %q is at %v and %d", i+1, p.Data, was, p.Offset)
				}
				held[string(p.Data)] = place{ch, res.Top.Epoch, p.Offset}
			}
		}
		for data, p := range tr.acked {
			if held[data] != p {
				tr.t.Errorf("node %d: %q was acknowledged at %v and is at %v", i+1, data, p, held[data])
			}
		}
	}
}

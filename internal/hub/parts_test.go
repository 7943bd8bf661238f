package hub

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// The wheel fires what a plain list of deadlines would.
func TestWheelAgainstList(t *testing.T) {
	w := newWheel(0)
	now := int64(0)
	timers := make([]*Session, 200)
	due := map[*Session]int64{}
	for i := range timers {
		timers[i] = &Session{}
	}
	for range 5000 {
		s := timers[rand.IntN(len(timers))]
		switch rand.IntN(4) {
		case 0:
			w.disarm(s)
			delete(due, s)
		default:
			at := now + rand.Int64N(200_000)
			w.arm(s, at)
			due[s] = at
		}
		if wait := w.wait(now); len(due) > 0 && wait < 0 || len(due) == 0 && wait >= 0 {
			t.Fatalf("wait %d with %d timers", wait, len(due))
		}
		now += rand.Int64N(500)
		w.advance(now, func(s *Session) {
			if at, ok := due[s]; !ok || at > now {
				t.Fatalf("fired at %d, due %d (%v)", now, at, ok)
			}
			delete(due, s)
		})
		for s, at := range due {
			if at <= now-2*wheelTick {
				t.Fatalf("timer of %d did not fire by %d (armed %v)", at, now, s.timer.armed)
			}
		}
		if w.count != len(due) {
			t.Fatalf("count %d, want %d", w.count, len(due))
		}
	}
}

func TestGateWaitsThenRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{limit: 10, wait: time.Second, timedOut: new(metrics.Counter), lineFull: new(metrics.Counter)}
		var mu sync.Mutex
		var order []string
		enter := func(name string) {
			g.enter(10, func(err error) {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprintf("%s %v", name, err))
			})
		}
		enter("a")
		enter("b")
		enter("c")
		time.Sleep(500 * time.Millisecond)
		g.release(10)
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		want := fmt.Sprint([]string{"a <nil>", "b <nil>", "c " + ErrBusy.Error()})
		if got := fmt.Sprint(order); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		g.release(10)
		if g.used != 0 {
			t.Fatalf("used %d at the end", g.used)
		}
	})
}

// Who comes while others are let in goes behind them.
func TestGateKeepsTheOrder(t *testing.T) {
	g := &gate{limit: 10, wait: time.Hour, timedOut: new(metrics.Counter), lineFull: new(metrics.Counter)}
	var order []string
	enter := func(name string, cost int64, then func()) {
		g.enter(cost, func(err error) {
			if err != nil {
				t.Error(name, err)
			}
			order = append(order, name)
			then()
		})
	}
	nothing := func() {}
	enter("a", 10, nothing)
	enter("b", 1, func() { enter("d", 1, nothing) }) // there is room for d at once
	enter("c", 1, func() { g.release(1) })
	g.release(10)
	if got := fmt.Sprint(order); got != "[a b c d]" || g.used != 2 {
		t.Errorf("%s, used %d", got, g.used)
	}
}

func TestGateClose(t *testing.T) {
	g := &gate{limit: 1, wait: time.Hour}
	var got []error
	g.enter(5, func(err error) { got = append(got, err) })
	g.enter(5, func(err error) { got = append(got, err) })
	g.close()
	g.enter(5, func(err error) { got = append(got, err) })
	if len(got) != 3 || got[0] != nil || !errors.Is(got[1], ErrShutdown) || !errors.Is(got[2], ErrShutdown) {
		t.Fatalf("%v", got)
	}
}

func TestOutboxKeepsTheStream(t *testing.T) {
	scratch := make([]byte, 0, 256)
	for range 200 {
		o := new(outbox)
		var want, got bytes.Buffer
		for range 30 {
			for range rand.IntN(5) {
				f := bytes.Repeat([]byte{byte(rand.IntN(256))}, 1+rand.IntN(200))
				o.push(waiting{bytes: f})
				want.Write(f)
			}
			if o.size > 0 {
				p := o.gather(scratch)
				n := rand.IntN(len(p) + 1)
				got.Write(p[:n])
				o.wrote(n)
			}
		}
		for o.size > 0 {
			p := o.gather(scratch)
			got.Write(p)
			o.wrote(len(p))
		}
		if !bytes.Equal(want.Bytes(), got.Bytes()) {
			t.Fatal("the stream differs")
		}
	}
}

func TestMatchGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "a", true},
		{"*", "a/b", true},
		{"a*", "a/b", true},
		{"a?b", "a/b", true},
		{"a", "b", false},
		{"[a]", "a", false},
		{"[a]", "[a]", true},
		{`\a`, `\a`, true},
		{"chat:*:x", "chat:1:x", true},
	} {
		if got := matchGlob(c.pattern, c.name); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.name, got)
		}
	}
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 1 })
	var conns []*fakeConn
	for range 100 {
		c := h.connect("", nil)
		h.mustSubscribe(c, "plain:a")
		c.wrote.Grow(1 << 20)
		conns = append(conns, c)
	}
	sh := h.shards[0]
	top, _, _ := h.topics.find(channel.ID{App: channel.DefaultApp, Name: "plain:a"})
	b := &broadcast{topic: top, event: Event{Kind: EventPublication, Channel: "plain:a", Publication: &engine.Publication{Data: []byte("1")}}}
	var perRun float64
	on(conns[0].session, func() {
		perRun = testing.AllocsPerRun(50, func() {
			sh.accept(b)
			for sh.deliver(true) == 0 {
			}
			sh.flushDirty()
		})
	})
	if perRun > 0 {
		t.Fatalf("%v allocations for 100 deliveries", perRun)
	}
}

package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// gateTake is a connection that takes nothing until it is opened.
type gateTake struct{ open bool }

func (g *gateTake) take(n int) int {
	if g.open {
		return n
	}
	return 0
}

// houseOf is a house with one more namespace, "xx".
func houseOf(t *testing.T, o channel.Options, outboxMax int) *house {
	t.Helper()
	ns, err := channel.NewNamespaces(openOptions, []channel.Namespace{{Name: "xx", Options: o}})
	if err != nil {
		t.Fatal(err)
	}
	return newHouse(t, func(c *Config) { c.Shards, c.OutboxMax, c.Namespaces = 1, outboxMax, ns })
}

// open lets a connection take everything and flushes.
func (g *gateTake) let(c *fakeConn) { on(c.session, func() { g.open = true; c.session.Writable() }) }

func lossy(policy channel.SlowConsumer, key string) channel.Options {
	return channel.Options{
		AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true, SlowConsumer: policy, ConflateKey: key,
	}
}

func TestDropOldest(t *testing.T) {
	h := houseOf(t, lossy(channel.DropOldest, ""), 1000)
	g := &gateTake{}
	c := h.connect("", g.take)
	h.mustSubscribe(c, "xx:a")
	for i := range 100 {
		h.publish("xx:a", fmt.Sprintf("%03d", i))
		h.settle()
	}
	if c.end() != nil {
		t.Fatalf("the session ended: %v", c.end())
	}
	g.let(c)
	got := c.lines()
	if len(got) < 10 || len(got) == 100 {
		t.Fatalf("%q", got)
	}
	for i, line := range got {
		if want := fmt.Sprintf("xx:a 0 %03d", 100-len(got)+i); line != want {
			t.Fatalf("%q, want %q in %q", line, want, got)
		}
	}
	if lost := h.count.dropOldest.Value(); lost != uint64(100-len(got)) {
		t.Errorf("%d counted as lost, %d are missing", lost, 100-len(got))
	}
}

func TestLatest(t *testing.T) {
	for _, key := range []string{"", "symbol"} {
		t.Run("key "+key, func(t *testing.T) {
			h := houseOf(t, lossy(channel.KeepLatest, key), 1000)
			g := &gateTake{}
			c := h.connect("", g.take)
			h.mustSubscribe(c, "xx:a")
			publish := func(symbol string, n int) {
				_, err := h.Publish(context.Background(), Publish{
					App: channel.DefaultApp, Channel: "xx:a", Data: fmt.Appendf(nil, "%s%d", symbol, n), Tags: map[string]string{"symbol": symbol},
				})
				if err != nil {
					t.Fatal(err)
				}
				h.settle()
			}
			publish("first", 0)
			for n := range 50 {
				publish("A", n)
				publish("B", n)
			}
			g.let(c)
			want := []string{"xx:a 0 first0", "xx:a 0 A49", "xx:a 0 B49"}
			if key == "" {
				want = want[2:]
			}
			if got := c.lines(); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			if n := h.count.conflated.Value(); n != uint64(101-len(want)) {
				t.Errorf("%d counted as replaced", n)
			}
		})
	}
}

// What must not be lost still ends a session that lets it pile up.
func TestOtherChannelsAreNotLost(t *testing.T) {
	h := houseOf(t, lossy(channel.DropOldest, ""), 1000)
	c := h.connect("", (&gateTake{}).take)
	h.mustSubscribe(c, "xx:a")
	h.mustSubscribe(c, "b")
	for i := range 200 {
		h.publish("xx:a", fmt.Sprint(i))
		h.publish("b", fmt.Sprint(i))
		h.settle()
	}
	if d := c.end(); d == nil || *d != DisconnectSlow {
		t.Fatalf("%v", d)
	}
}

// idle waits until the shard of c has no fan-out under way.
func (h *house) idle(c *fakeConn) {
	h.settle()
	for idle := false; !idle; {
		on(c.session, func() { idle = len(c.session.shard.active) == 0 })
	}
}

// A fan-out is served in slices: what is published to a small channel meanwhile
// does not wait for its end, and whoever comes or goes gets neither too much nor
// too little.
func TestSlices(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 1 })
	const many = 5*sliceDeliveries + 17
	all := make([]*fakeConn, many)
	for i := range all {
		all[i] = h.connect("", nil)
		h.mustSubscribe(all[i], "plain:big")
	}
	small := h.connect("", nil)
	h.mustSubscribe(small, "plain:small")
	random := rand.New(rand.NewPCG(1, 2))
	gone := map[int]bool{}
	// One function on the shard is one turn: what it posts waits for the next.
	on(small.session, func() {
		sh := h.shards[0]
		publish := func(name, data string) {
			_, err := h.Publish(context.Background(), Publish{App: channel.DefaultApp, Channel: name, Data: []byte(data)})
			if err != nil {
				t.Error(err)
			}
		}
		publish("plain:big", "1")
		publish("plain:big", "2")
		sh.drain()
		if sh.deliver(true) != 0 {
			t.Error("the fan-out was not cut")
		}
		publish("plain:small", "now")
		sh.drain()
		sh.deliver(true)
		sh.flushDirty()
		if got := small.lines(); !slices.Equal(got, []string{"plain:small 0 now"}) {
			t.Errorf("small channel got %q", got)
		}
		for range 100 {
			i := random.IntN(many)
			gone[i] = true
			all[i].session.Unsubscribe("plain:big")
		}
		small.session.Subscribe(SubscribeRequest{Channel: "plain:big"}, func(SubscribeResult, error) {})
	})
	h.idle(small)
	both := "plain:big 0 1\nplain:big 0 2"
	for i, c := range all {
		got := strings.Join(c.lines(), "\n")
		if got != both && (!gone[i] || got != "") {
			t.Errorf("subscriber %d (gone: %v) got %q", i, gone[i], got)
		}
	}
	h.publish("plain:big", "3")
	h.idle(small)
	for i, c := range all {
		if last := c.lines(); !gone[i] && last[len(last)-1] != "plain:big 0 3" {
			t.Errorf("subscriber %d got %q", i, last)
		}
	}
	if used := h.gate.used; used != 0 {
		t.Errorf("%d of the gate are not given back", used)
	}
}

// Only a topic that is behind rests, and no longer than maxRest.
func TestRest(t *testing.T) {
	tests := []struct {
		name   string
		volley int // messages that were served
		queued int // and that wait
		took   time.Duration
		want   time.Duration
	}{
		{"one message, nothing waits", 1, 0, 8 * time.Millisecond, 0},
		{"one message, one waits", 1, 1, 2 * time.Millisecond, time.Millisecond},
		{"several, nothing waits", 3, 0, 2 * time.Millisecond, time.Millisecond},
		{"long", 3, 1, time.Second, maxRest},
		{"short", 3, 2, restFrom - 1, 0},
		{"the next is full", 3, maxVolleyEvents, 2 * time.Millisecond, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, nil)
				o := h.shards[0].newFanOut()
				for range tt.volley + tt.queued {
					o.queue = append(o.queue, &broadcast{})
				}
				o.volley, o.began = tt.volley, time.Now()
				time.Sleep(tt.took)
				h.shards[0].finish(o)
				if rests := o.rest(); rests != (tt.want > 0) {
					t.Errorf("rests: %t", rests)
				}
				if got := o.resting(time.Now()); got != tt.want {
					t.Errorf("rests %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// A channel's subscribers on a shard may all leave and others come while
// publications are on their way: what passes the shard by meanwhile is no gap.
func TestComingAndGoingIsNoGap(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 1 })
	stay := h.connect("", nil)
	h.mustSubscribe(stay, "a")
	on(stay.session, func() {
		sh := h.shards[0]
		h.publish("a", "1")
		sh.drain()
		sh.deliver(true)
		h.publish("a", "2") // in the mailbox when its subscriber leaves
		stay.session.Unsubscribe("a")
		sh.drain()
		sh.deliver(true)
	})
	h.publish("a", "3") // nobody is there
	h.mustSubscribe(stay, "a")
	h.publish("a", "4")
	h.settle()
	if got := withoutJoins(stay.lines()); !slices.Equal(got, []string{"a 1 1", "a 4 4"}) {
		t.Errorf("%q", got)
	}
	if n := h.count.Gaps.Value(); n != 0 {
		t.Errorf("%d gaps", n)
	}
}

// The same while a fan-out is under way, whose queue is for those who left.
func TestLeavingAFanOutIsNoGap(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 1 })
	all := make([]*fakeConn, 2*sliceDeliveries)
	for i := range all {
		all[i] = h.connect("", nil)
		h.mustSubscribe(all[i], "a")
	}
	on(all[0].session, func() {
		sh := h.shards[0]
		h.publish("a", "1")
		sh.drain()
		if sh.deliver(true) != 0 {
			t.Error("the fan-out was not cut")
		}
		h.publish("a", "2")
		sh.drain()
		for _, c := range all {
			c.session.Unsubscribe("a")
		}
	})
	h.idle(all[0])
	h.publish("a", "3")
	h.mustSubscribe(all[0], "a")
	h.publish("a", "4")
	h.idle(all[0])
	if got := withoutJoins(all[0].lines()); got[len(got)-1] != "a 4 4" {
		t.Errorf("%q", got)
	}
	if n, used := h.count.Gaps.Value(), h.gate.used; n != 0 || used != 0 {
		t.Errorf("%d gaps, %d of the gate not given back", n, used)
	}
}

// What waits for a client takes memory by itself, however short it is: a peer that
// floods pings and reads no pong reaches the limit too.
func TestShortFramesFillTheOutbox(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.OutboxMax = 64 << 10 })
	c := h.connect("", (&gateTake{}).take)
	sent := 0
	on(c.session, func() {
		for ; c.session.Alive() && sent < 10_000; sent++ {
			c.session.SendFrame([]byte("\x8a\x00"))
			c.session.flush()
		}
	})
	if end := c.end(); end == nil || *end != DisconnectSlow {
		t.Errorf("%v after %d frames", end, sent)
	}
}

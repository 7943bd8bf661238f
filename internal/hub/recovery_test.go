package hub

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// isSequence checks that lines are the publications from first to last, each once
// and in order.
func isSequence(t *testing.T, name string, lines []string, first, last int) {
	t.Helper()
	if len(lines) != last-first+1 {
		t.Fatalf("%d publications, want %d: %q", len(lines), last-first+1, lines)
	}
	for i, line := range lines {
		if want := fmt.Sprintf("%s %d %d", name, first+i, first+i); line != want {
			t.Fatalf("%q, want %q", line, want)
		}
	}
}

func TestLongRecoveryComesInPages(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RecoveryLimit = 7 })
	const before, after = 100, 20
	for i := range before {
		h.publish("a", fmt.Sprint(i+1))
	}
	c := h.connect("", nil)
	res, err := h.subscribe(c, SubscribeRequest{Channel: "a", Recover: true, Since: engine.Position{Epoch: "e1"}})
	if err != nil || !res.Recovered || len(res.Publications) != 7 || res.Since != 0 || res.Position.Offset != before {
		t.Fatalf("%+v, %v", res, err)
	}
	for i := range after {
		h.publish("a", fmt.Sprint(before+i+1))
	}
	h.until(func() bool { return len(c.lines()) >= before+after-7 })
	isSequence(t, "a", c.lines(), 8, before+after)
}

// A client that does not read is not sent further pages, and what comes live
// meanwhile is not kept for it: it is in the pages.
func TestPagesWaitForTheClient(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RecoveryLimit, c.OutboxMax, c.RecoveryBytes = 10, 4<<10, 1<<10 })
	for i := range 500 {
		h.publish("a", fmt.Sprint(i+1))
	}
	full := true
	c := h.connect("", func(n int) int {
		if full {
			return 0
		}
		return n
	})
	if _, err := h.subscribe(c, SubscribeRequest{Channel: "a", Recover: true, Since: engine.Position{Epoch: "e1"}}); err != nil {
		t.Fatal(err)
	}
	h.settle()
	for i := range 500 {
		h.publish("a", fmt.Sprint(501+i))
	}
	h.settle()
	if c.end() != nil {
		t.Fatalf("ended with %v", c.end())
	}
	on(c.session, func() { full = false; c.session.Writable() })
	h.until(func() bool { return len(c.lines()) >= 990 })
	isSequence(t, "a", c.lines(), 11, 1000)
}

func TestRecoveryCutByTrimmingIsTold(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RecoveryLimit = 2 })
	for i := range 6 {
		h.publish("a", fmt.Sprint(i+1))
	}
	c := h.connect("", nil)
	h.engine.holdReads = true
	c.session.shard.Post(func() {
		c.session.Subscribe(SubscribeRequest{Channel: "a", Recover: true, Since: engine.Position{Epoch: "e1"}}, func(SubscribeResult, error) {})
	})
	h.settle()
	h.engine.mu.Lock()
	read := h.engine.held[0]
	h.engine.held, h.engine.epoch = nil, "e2" // the channel begins anew
	h.engine.mu.Unlock()
	read()
	h.settle()
	h.engine.releaseReads()
	h.until(func() bool { return strings.Contains(strings.Join(c.lines(), "\n"), "unsubscribed a 2500") })
}

func TestFilterChoosesByTags(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RecoveryLimit = 4 })
	even := func(p *engine.Publication) bool { return strings.HasSuffix(string(p.Data), "0") }
	for i := range 30 {
		h.publish("open:a", fmt.Sprint(i+1))
	}
	c := h.connect("", nil)
	res, err := h.subscribe(c, SubscribeRequest{Channel: "open:a", Recover: true, Since: engine.Position{Epoch: "e1", Offset: 3}, Filter: even})
	if err != nil || !res.Recovered || len(res.Publications) != 0 || res.Since != 7 {
		t.Fatalf("%+v, %v", res, err)
	}
	h.publish("open:a", "31")
	h.publish("open:a", "40")
	h.until(func() bool { return len(c.lines()) >= 4 })
	if got := strings.Join(c.lines(), ","); got != "open:a 10 10,open:a 20 20,open:a 30 30,open:a 32 40" {
		t.Error(got)
	}
	if _, err := h.subscribe(c, SubscribeRequest{Channel: "b", Filter: even}); !errors.Is(err, ErrNotAvailable) {
		t.Errorf("a filter that is not allowed: %v", err)
	}
}

func TestDelta(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RecoveryLimit = 2 })
	var conns []*fakeConn
	want := func(lines ...string) {
		t.Helper()
		h.settle()
		for i, c := range conns {
			got := c.lines()
			if last := got[len(got)-1]; last != lines[i] {
				t.Errorf("session %d was sent %q, want %q", i, last, lines[i])
			}
		}
	}
	join := func(r SubscribeRequest) SubscribeResult {
		t.Helper()
		c := h.connect("", nil)
		r.Channel = "open:a"
		res, err := h.subscribe(c, r)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		return res
	}
	if join(SubscribeRequest{}).Delta || !join(SubscribeRequest{Delta: channel.DeltaFossil}).Delta {
		t.Fatal("delta is not what was asked for")
	}
	if join(SubscribeRequest{Delta: "other"}).Delta {
		t.Fatal("a format that nobody knows was granted")
	}
	h.publish("open:a", "one")
	want("open:a 1 one", "open:a 1 whole one", "open:a 1 one")
	h.publish("open:a", "two")
	want("open:a 2 two", "open:a 2 one->two", "open:a 2 two")
	join(SubscribeRequest{Delta: channel.DeltaFossil, Recover: true, Since: engine.Position{Epoch: "e1", Offset: 1}})
	join(SubscribeRequest{Delta: channel.DeltaFossil})
	h.publish("open:a", "three")
	want("open:a 3 three", "open:a 3 two->three", "open:a 3 three", "open:a 3 two->three", "open:a 3 whole three")
	h.publish("open:a", "four")
	join(SubscribeRequest{Delta: channel.DeltaFossil, Recover: true, Since: engine.Position{Epoch: "e1"}})
	want("open:a 4 four", "open:a 4 three->four", "open:a 4 four", "open:a 4 three->four", "open:a 4 three->four", "open:a 4 whole four")
	h.publish("open:a", "five")
	want("open:a 5 five", "open:a 5 four->five", "open:a 5 five", "open:a 5 four->five", "open:a 5 four->five", "open:a 5 four->five")
	if n := h.proto.patches; n != 4 {
		t.Errorf("%d changes were made for 4 publications", n)
	}
}

func TestConnectBringsSubscriptions(t *testing.T) {
	h := newHouse(t, nil)
	for i := range 5 {
		h.publish("a", fmt.Sprint(i+1))
	}
	c := h.dial(nil)
	h.engine.holdReads = true
	var res ConnectResult
	answered := false
	on(c.session, func() {
		c.session.Connect(ConnectRequest{Token: "ann+a+plain:b+unknown:c+a", Subs: map[string]SubscribeRequest{
			"a": {Recover: true, Since: engine.Position{Epoch: "e1", Offset: 3}}, "d": {},
		}}, func(r ConnectResult, err error) {
			if err != nil {
				t.Error(err)
			}
			res, answered = r, true
			c.session.Send([]byte("connected"))
		})
	})
	h.publish("a", "6")
	h.publish("plain:b", "1")
	if err := h.Subscribe(t.Context(), Target{App: channel.DefaultApp, User: "ann"}, "e", engine.SubscribeOptions{}); err != nil {
		t.Fatal(err)
	}
	h.settle()
	if answered || c.lines()[0] != "" {
		t.Fatalf("answered %v, sent %q, before history was read", answered, c.lines())
	}
	h.engine.releaseReads()
	h.until(func() bool { return len(c.lines()) >= 5 })
	byName := map[string]SubscribeResult{}
	for _, sub := range res.Subs {
		byName[sub.Channel] = sub
	}
	if a := byName["a"]; len(byName) != 2 || !a.Recovered || len(a.Publications) != 2 || a.Since != 3 || !a.Recoverable {
		t.Errorf("%+v", res)
	}
	lines := c.lines()
	if lines[0] != "connected" || !strings.Contains(strings.Join(lines, ","), "a 6 6") || !strings.Contains(strings.Join(lines, ","), "plain:b 0 1") {
		t.Errorf("sent %q", lines)
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "join e") && !strings.HasPrefix(last, "subscribed e") {
		t.Errorf("what the backend wanted meanwhile: %q", lines)
	}
}

func TestAskedSubscriptionsNeedPermission(t *testing.T) {
	h := newHouse(t, nil)
	c := h.dial(nil)
	var res ConnectResult
	on(c.session, func() {
		c.session.Connect(ConnectRequest{Ask: true, Subs: map[string]SubscribeRequest{"plain:a": {}, "shut:b": {}, "unknown:c": {}}},
			func(r ConnectResult, _ error) { res = r })
	})
	if len(res.Subs) != 1 || res.Subs[0].Channel != "plain:a" {
		t.Errorf("%+v", res)
	}
}

// Neither a publication that is missing right after the subscribe reply nor one
// of another epoch is passed over.
func TestGapRightAfterTheReplyIsTold(t *testing.T) {
	for name, first := range map[string]struct {
		epoch  string
		offset uint64
	}{"a hole": {"e1", 7}, "another epoch": {"e2", 1}, "another epoch, further on": {"e2", 6}} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil)
			for i := range 5 {
				h.publish("a", fmt.Sprint(i+1))
			}
			c := h.connect("", nil)
			h.mustSubscribe(c, "a")
			h.Publication(channel.ID{App: channel.DefaultApp, Name: "a"}, first.epoch, &engine.Publication{Offset: first.offset, Data: []byte("x")})
			h.until(func() bool { return strings.Contains(strings.Join(c.lines(), ","), "unsubscribed a 2500") })
		})
	}
}

// With something in line, too.
func TestBrokenConnectionEndsOneSession(t *testing.T) {
	h := newHouse(t, nil)
	c, other := h.connect("", nil), h.connect("", nil)
	h.mustSubscribe(c, "a")
	h.mustSubscribe(other, "a")
	on(c.session, func() {
		c.broken = true
		c.session.Send([]byte("one"))
		c.session.Send([]byte("two"))
	})
	h.settle()
	if end := c.end(); end == nil || *end != DisconnectWriteError {
		t.Errorf("ended with %v", end)
	}
	h.publish("a", "1")
	h.until(func() bool { return strings.Contains(strings.Join(other.lines(), ","), "a 1 1") })
}

// The client does not ask again for what the server subscribed it to: it has to
// come back as a whole.
func TestGapOfAServerSubscriptionEndsTheSession(t *testing.T) {
	h := newHouse(t, nil)
	c := h.connect("ann+a", nil)
	h.publish("a", "1")
	h.Publication(channel.ID{App: channel.DefaultApp, Name: "a"}, "e1", &engine.Publication{Offset: 7, Data: []byte("7")})
	h.until(func() bool { return c.end() != nil })
	if *c.end() != DisconnectInsufficientState {
		t.Errorf("ended with %v", c.end())
	}
}

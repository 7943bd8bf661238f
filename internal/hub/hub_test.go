package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

func TestFanOutEncodesOnce(t *testing.T) {
	h := newHouse(t, nil)
	var conns []*fakeConn
	for range 20 {
		c := h.connect("", nil)
		h.mustSubscribe(c, "plain:a")
		conns = append(conns, c)
	}
	other := h.connect("", nil)
	h.mustSubscribe(other, "plain:b")
	h.publish("plain:a", "1")
	h.publish("plain:a", "2")
	h.settle()
	for _, c := range conns {
		if got := c.lines(); !slices.Equal(got, []string{"plain:a 0 1", "plain:a 0 2"}) {
			t.Fatalf("got %q", got)
		}
	}
	if got := other.lines(); got[0] != "" {
		t.Fatalf("another channel's subscriber got %q", got)
	}
	if h.proto.encoded != 2 {
		t.Fatalf("encoded %d times, want once per publication", h.proto.encoded)
	}
}

// Outcomes come in the order of the publications, and those of one channel keep it.
func TestPublishAll(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.PublishQueue = 1000 }) // most wait at the gate
	var all []Publish
	for i := range 100 {
		name := []string{"a", "b", "nowhere:x"}[i%3]
		all = append(all, Publish{App: channel.DefaultApp, Channel: name, Data: fmt.Appendf(nil, "%d", i)})
	}
	offsets := map[string]uint64{}
	for i, got := range h.PublishAll(t.Context(), all) {
		name := all[i].Channel
		offsets[name]++
		if name == "nowhere:x" {
			if !errors.Is(got.Err, ErrUnknownChannel) {
				t.Errorf("%d: %+v", i, got)
			}
		} else if got.Err != nil || got.Offset != offsets[name] {
			t.Errorf("%d: %+v, want offset %d", i, got, offsets[name])
		}
	}
	if got := h.PublishAll(t.Context(), nil); len(got) != 0 {
		t.Errorf("%v", got)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if got := h.PublishAll(ended, all[2:3]); len(got) != 1 || got[0].Err == nil {
		t.Errorf("%v", got)
	}
}

func TestMessagesOfOneTurnLeaveInOneWrite(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 1 })
	c := h.connect("", nil)
	h.mustSubscribe(c, "plain:a")
	on(c.session, func() { // the shard is busy while these arrive
		for i := range 16 {
			h.publishFrom(t, "plain:a", i)
		}
	})
	h.settle()
	if len(c.lines()) != 16 || c.writes != 1 {
		t.Fatalf("%d messages in %d writes, want 16 in 1", len(c.lines()), c.writes)
	}
}

// publishFrom publishes without waiting for the answer, so that a shard may.
func (h *house) publishFrom(t *testing.T, name string, i int) {
	t.Helper()
	h.Hub.publish(h.tenant(channel.DefaultApp), engine.PublishRequest{
		Channel:     channel.ID{App: channel.DefaultApp, Name: name},
		Publication: engine.Publication{Data: fmt.Append(nil, i)},
	}, &h.count.publishedByAPI, func(_ engine.PublishResult, err error) {
		if err != nil {
			t.Error(err)
		}
	})
}

// Publications around the history read arrive once each, in order.
func TestRecoveryMerge(t *testing.T) {
	h := newHouse(t, nil)
	for i := range 5 {
		h.publish("a", fmt.Sprint(i+1))
	}
	c := h.connect("", nil)
	h.engine.holdReads = true
	reply := make(chan SubscribeResult, 1)
	on(c.session, func() {
		c.session.Subscribe(SubscribeRequest{Channel: "a", Recover: true, Since: engine.Position{Epoch: "e1", Offset: 2}},
			func(res SubscribeResult, err error) {
				if err != nil {
					t.Error(err)
				}
				reply <- res
			})
	})
	h.publish("a", "6") // after the read, before its answer
	h.publish("a", "7")
	h.settle()
	if got := c.lines(); got[0] != "" {
		t.Fatalf("delivered before the reply: %q", got)
	}
	h.engine.releaseReads()
	res := <-reply
	h.publish("a", "8")
	h.settle()
	if !res.Recovered || len(res.Publications) != 3 || res.Publications[0].Offset != 3 || res.Position.Offset != 5 {
		t.Fatalf("reply %+v", res)
	}
	want := []string{"a 6 6", "a 7 7", "a 8 8"}
	if got := withoutJoins(c.lines()); !slices.Equal(got, want) {
		t.Fatalf("live %q, want %q", got, want)
	}
}

func withoutJoins(lines []string) []string {
	return slices.DeleteFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "join ") || strings.HasPrefix(l, "leave ")
	})
}

// Whatever the interleaving of publishing, leaving and coming back, each client
// sees every offset once.
func TestRecoverySequenceUnderLoad(t *testing.T) {
	const total = 2000
	h := newHouse(t, func(c *Config) { c.RecoveryLimit = total })
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for i := range total {
			h.publish("a", fmt.Sprint(i+1))
		}
	}()
	results := make(chan error, 4)
	for range cap(results) {
		go func() { results <- h.follow("a", total) }()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	<-stop
}

// follow subscribes, leaves and resumes until it has seen offset total.
func (h *house) follow(name string, total uint64) error {
	pos := engine.Position{Epoch: "e1"}
	for pos.Offset < total {
		c := h.connect("", nil)
		res, err := h.subscribe(c, SubscribeRequest{Channel: name, Recover: true, Since: pos})
		if err != nil {
			return err
		}
		if !res.Recovered && res.Position.Offset > pos.Offset+uint64(h.cfg.RecoveryLimit) {
			return fmt.Errorf("not recovered from %d to %d", pos.Offset, res.Position.Offset)
		}
		for _, p := range res.Publications {
			if p.Offset != pos.Offset+1 {
				return fmt.Errorf("recovered %d after %d", p.Offset, pos.Offset)
			}
			pos.Offset = p.Offset
		}
		for range rand.IntN(20) {
			h.settle()
		}
		on(c.session, func() { c.session.Disconnect(DisconnectForceReconnect) })
		for _, l := range withoutJoins(c.lines()) {
			var off uint64
			if _, err := fmt.Sscanf(l, name+" %d", &off); err != nil {
				continue
			}
			if off != pos.Offset+1 {
				return fmt.Errorf("live %d after %d", off, pos.Offset)
			}
			pos.Offset = off
		}
	}
	return nil
}

func TestUnrecoverablePositionsAreTold(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.RecoveryMax = 3 })
	for i := range 5 {
		h.publish("a", fmt.Sprint(i+1))
	}
	for name, since := range map[string]engine.Position{
		"other epoch":   {Epoch: "gone", Offset: 2},
		"above the top": {Epoch: "e1", Offset: 9},
		"too many":      {Epoch: "e1", Offset: 1},
	} {
		c := h.connect("", nil)
		res, err := h.subscribe(c, SubscribeRequest{Channel: "a", Recover: true, Since: since})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if res.Recovered || !res.WasRecovering || len(res.Publications) != 0 || res.Position != (engine.Position{Epoch: "e1", Offset: 5}) {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

func TestCacheRecovery(t *testing.T) {
	h := newHouse(t, nil)
	c := h.connect("", nil)
	res, err := h.subscribe(c, SubscribeRequest{Channel: "cache:a", Recover: true})
	if err != nil || res.Recovered {
		t.Fatalf("empty channel: %+v, %v", res, err)
	}
	h.publish("cache:a", "1")
	h.publish("cache:a", "2")
	c2 := h.connect("", nil)
	res, err = h.subscribe(c2, SubscribeRequest{Channel: "cache:a", Recover: true, Since: engine.Position{Epoch: "old", Offset: 77}})
	if err != nil || !res.Recovered || len(res.Publications) != 1 || res.Publications[0].Offset != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	c3 := h.connect("", nil)
	res, err = h.subscribe(c3, SubscribeRequest{Channel: "cache:a", Recover: true, Since: engine.Position{Epoch: "e1", Offset: 2}})
	if err != nil || !res.Recovered || len(res.Publications) != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
}

// An engine that leaves something out or repeats it cannot make a silent gap.
func TestGapIsTold(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 1 })
	c := h.connect("", nil)
	h.mustSubscribe(c, "a")
	id := channel.ID{App: channel.DefaultApp, Name: "a"}
	pub := func(off uint64) { h.Publication(id, "e1", &engine.Publication{Offset: off, Data: []byte("x")}) }
	pub(1)
	pub(1)
	pub(2)
	pub(4)
	h.settle()
	want := []string{"a 1 x", "a 2 x", "unsubscribed a 2500"}
	if got := withoutJoins(c.lines()); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if h.count.Gaps.Value() != 1 || h.count.Repeated.Value() != 1 {
		t.Fatalf("gaps %d, duplicates %d", h.count.Gaps.Value(), h.count.Repeated.Value())
	}
}

// A gap in what comes while history is read is no gap when the read has what is
// missing, and told when it has not.
func TestGapWhileReading(t *testing.T) {
	for _, tt := range []struct {
		name string
		live []uint64 // offsets; history ends at 5
		want []string
	}{
		{"read", []uint64{3, 5, 6}, []string{"a 6 x"}},
		{"read up to the gap", []uint64{4, 6, 7}, []string{"a 6 x", "a 7 x"}},
		{"lost", []uint64{6, 8}, []string{"unsubscribed a 2500"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, func(c *Config) { c.Shards = 1 })
			for i := range 5 {
				h.publish("a", fmt.Sprint(i+1))
			}
			c := h.connect("", nil)
			h.engine.holdReads = true
			answered := false
			on(c.session, func() {
				c.session.Subscribe(SubscribeRequest{Channel: "a", Recover: true, Since: engine.Position{Epoch: "e1", Offset: 2}},
					func(_ SubscribeResult, err error) { answered = err == nil })
			})
			id := channel.ID{App: channel.DefaultApp, Name: "a"}
			for _, offset := range tt.live {
				h.Publication(id, "e1", &engine.Publication{Offset: offset, Data: []byte("x")})
			}
			h.settle()
			h.engine.releaseReads()
			h.settle()
			on(c.session, func() {
				if !answered {
					t.Error("no reply")
				}
			})
			if got := withoutJoins(c.lines()); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSlowSessionCostsItself(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.OutboxMax = 4096; c.Shards = 1 })
	slow := h.connect("", func(int) int { return 10 })
	fast := h.connect("", nil)
	h.mustSubscribe(slow, "plain:a")
	h.mustSubscribe(fast, "plain:a")
	data := strings.Repeat("x", 100)
	for range 200 {
		h.publish("plain:a", data)
		h.settle()
	}
	if d := slow.end(); d == nil || *d != DisconnectSlow {
		t.Fatalf("slow session: %v", d)
	}
	if fast.end() != nil || len(fast.lines()) != 200 {
		t.Fatalf("fast session got %d messages, end %v", len(fast.lines()), fast.end())
	}
	// The message of which a part was on the wire is complete.
	if got := slow.lines(); len(got) != 1 || got[0] != "plain:a 0 "+data {
		t.Fatalf("slow session was left with %q", got)
	}
	if h.count.outboxFull.Value() == 0 {
		t.Fatal("the drop was not counted")
	}
}

// A connection that takes bytes in odd pieces gets the same stream.
func TestPartialWrites(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 1 })
	c := h.connect("", func(n int) int { return rand.IntN(n + 1) })
	h.mustSubscribe(c, "plain:a")
	var want []string
	for i := range 500 {
		data := strings.Repeat("y", rand.IntN(300)) + fmt.Sprint(i)
		want = append(want, "plain:a 0 "+data)
		h.publish("plain:a", data)
		if rand.IntN(3) == 0 {
			on(c.session, c.session.Writable)
		}
	}
	for {
		empty := false
		on(c.session, func() { c.session.Writable(); empty = c.session.out == nil && len(h.shards[0].active) == 0 })
		if empty {
			break
		}
	}
	if got := c.lines(); !slices.Equal(got, want) {
		t.Fatal("the stream differs from what was published")
	}
}

func TestPermissions(t *testing.T) {
	h := newHouse(t, nil)
	c := h.connect("", nil)
	for name, want := range map[string]error{
		"shut:a": ErrPermissionDenied, "nowhere:a": ErrUnknownChannel, "": ErrBadRequest, "$a": ErrPermissionDenied,
	} {
		if _, err := h.subscribe(c, SubscribeRequest{Channel: name}); !errors.Is(err, want) {
			t.Errorf("subscribe %q: %v, want %v", name, err, want)
		}
	}
	u := h.connect("u", nil)
	if _, err := h.subscribe(u, SubscribeRequest{Channel: "$a", Token: "u@$a"}); err != nil {
		t.Error(err)
	}
	if _, err := h.subscribe(u, SubscribeRequest{Channel: "$b", Token: "u@$a"}); !errors.Is(err, ErrPermissionDenied) {
		t.Errorf("token of another channel: %v", err)
	}
	if _, err := h.subscribe(u, SubscribeRequest{Channel: "$a", Token: "u@$a"}); !errors.Is(err, ErrAlreadySubscribed) {
		t.Errorf("twice: %v", err)
	}
	on(c.session, func() {
		c.session.Publish(ClientPublish{Channel: "a", Data: []byte("1")}, func(_ engine.PublishResult, err error) {
			if !errors.Is(err, ErrPermissionDenied) {
				t.Errorf("publish without a subscription: %v", err)
			}
		})
		c.session.Presence("plain:a", func(_ engine.Members, err error) {
			if !errors.Is(err, ErrPermissionDenied) {
				t.Errorf("anonymous presence: %v", err)
			}
		})
	})
}

func TestPresenceFollowsSessions(t *testing.T) {
	h := newHouse(t, nil)
	a, b := h.connect("ann", nil), h.connect("bob", nil)
	h.mustSubscribe(a, "room")
	h.settle() // her join is not for those who come later
	if _, err := h.subscribe(b, SubscribeRequest{Channel: "room", JoinLeave: true}); err != nil {
		t.Fatal(err)
	}
	h.settle() // a subscriber is announced after its reply
	members, err := h.Presence(context.Background(), channel.DefaultApp, "room")
	if err != nil || len(members) != 2 {
		t.Fatalf("%v, %v", members, err)
	}
	on(a.session, func() { a.session.Disconnect(DisconnectForced) })
	h.settle()
	members, err = h.Presence(context.Background(), channel.DefaultApp, "room")
	if err != nil || len(members) != 1 {
		t.Fatalf("%v, %v", members, err)
	}
	if got := b.lines(); !slices.Equal(got, []string{"join room bob", "leave room ann"}) {
		t.Fatalf("bob saw %q", got)
	}
	if got := a.lines(); got[0] != "" {
		t.Fatalf("ann did not ask for joins, but got %q", got)
	}
}

func TestControl(t *testing.T) {
	h := newHouse(t, nil)
	ctx := context.Background()
	one, two, other := h.connect("u", nil), h.connect("u", nil), h.connect("v", nil)
	target := Target{App: channel.DefaultApp, User: "u"}
	h.publish("news", "0")
	if err := h.Subscribe(ctx, target, "news", engine.SubscribeOptions{Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	h.settle()
	h.publish("news", "1")
	h.settle()
	want := []string{"subscribed news at 1 data {}", "join news u", "join news u", "news 2 1"}
	for _, c := range []*fakeConn{one, two} {
		got := c.lines()
		if got[0] != want[0] || got[len(got)-1] != want[3] {
			t.Fatalf("got %q, want about %q", got, want)
		}
	}
	if got := other.lines(); got[0] != "" {
		t.Fatalf("another user got %q", got)
	}
	if err := h.Unsubscribe(ctx, target, "news"); err != nil {
		t.Fatal(err)
	}
	h.settle()
	if got := one.lines(); !slices.Contains(got, "unsubscribed news 2000") {
		t.Fatalf("got %q", got)
	}
	target.Except = []string{two.session.id.String()}
	if err := h.Disconnect(ctx, target, DisconnectForced); err != nil {
		t.Fatal(err)
	}
	h.settle()
	if one.end() == nil || two.end() != nil {
		t.Fatalf("disconnect with an exception: %v, %v", one.end(), two.end())
	}
	if err := h.Disconnect(ctx, Target{App: channel.DefaultApp, Client: two.session.id.String()}, DisconnectForced); err != nil {
		t.Fatal(err)
	}
	h.settle()
	if two.end() == nil || other.end() != nil {
		t.Fatalf("disconnect by session: %v, %v", two.end(), other.end())
	}
	if err := h.Disconnect(ctx, Target{App: channel.DefaultApp}, DisconnectForced); !errors.Is(err, ErrBadRequest) {
		t.Fatalf("disconnect of nobody: %v", err)
	}
}

func TestShutdownTellsEverybody(t *testing.T) {
	h := newHouse(t, nil)
	c := h.connect("", nil)
	if err := h.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := c.end(); d == nil || *d != DisconnectShutdown {
		t.Fatalf("end %v", d)
	}
	if _, err := h.Enter("", netip.Addr{}); !errors.Is(err, ErrShutdown) {
		t.Fatalf("Pick after shutdown: %v", err)
	}
	_, err := h.Publish(context.Background(), Publish{App: channel.DefaultApp, Channel: "a", Data: []byte("1")})
	if !errors.Is(err, ErrShutdown) {
		t.Fatalf("publish after shutdown: %v", err)
	}
}

func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.Auth = fakeAuth{expireAt: time.Now().Add(time.Minute)} })
		mute := h.connect("mute", nil)
		stale := h.dial(nil)
		alive := h.connect("alive", nil)
		sub := h.connect("sub", nil)
		if _, err := h.subscribe(sub, SubscribeRequest{Channel: "$a", Token: "sub@$a"}); err != nil {
			t.Fatal(err)
		}
		answer := func(c *fakeConn) {
			on(c.session, func() {
				if c.session.pongBy > 0 && !c.session.ended {
					c.session.Pong()
				}
			})
		}
		ends := map[string]time.Duration{}
		start := time.Now()
		for range 120 {
			time.Sleep(time.Second)
			answer(alive)
			answer(sub)
			synctest.Wait()
			for name, c := range map[string]*fakeConn{"mute": mute, "stale": stale, "alive": alive} {
				if c.end() != nil && ends[name] == 0 {
					ends[name] = time.Since(start)
				}
			}
		}
		if *stale.end() != DisconnectStale || ends["stale"] > 11*time.Second {
			t.Errorf("stale: %v after %s", stale.end(), ends["stale"])
		}
		if *mute.end() != DisconnectNoPong || ends["mute"] > 35*time.Second {
			t.Errorf("mute: %v after %s", mute.end(), ends["mute"])
		}
		if *alive.end() != DisconnectExpired || ends["alive"] < 85*time.Second || ends["alive"] > 87*time.Second {
			t.Errorf("alive: %v after %s", alive.end(), ends["alive"])
		}
		if !slices.Contains(sub.lines(), "unsubscribed $a 2501") && *sub.end() != DisconnectExpired {
			t.Errorf("sub: %v, %q", sub.end(), sub.lines())
		}
	})
}

func TestTooManyCommandsPauseReading(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.MaxPending = 4; c.Shards = 1 })
	c := h.connect("", nil)
	h.mustSubscribe(c, "plain:a")
	h.engine.holdPubs = true
	answered := 0
	on(c.session, func() {
		for range 4 {
			c.session.Publish(ClientPublish{Channel: "plain:a", Data: []byte("1")}, func(_ engine.PublishResult, err error) {
				if err != nil {
					t.Error(err)
				}
				answered++
			})
		}
	})
	if !c.paused {
		t.Fatal("still reading with 4 commands in flight")
	}
	h.engine.releasePublishes()
	h.settle()
	if c.paused || answered != 4 {
		t.Fatalf("paused %v after %d answers", c.paused, answered)
	}
}

func TestChannelsPages(t *testing.T) {
	h := newHouse(t, nil)
	c := h.connect("", nil)
	for _, n := range []string{"plain:c", "plain:a", "plain:b/1", "x"} {
		h.mustSubscribe(c, n)
	}
	rows, more, _ := h.Channels(t.Context(), ChannelQuery{App: channel.DefaultApp, Pattern: "plain:*", Limit: 2})
	if !more || len(rows) != 2 || rows[0].Name != "plain:a" || rows[1].Name != "plain:b/1" {
		t.Fatalf("%v %v", rows, more)
	}
	rows, more, _ = h.Channels(t.Context(), ChannelQuery{App: channel.DefaultApp, Pattern: "plain:*", After: rows[1].Name, Limit: 2})
	if more || len(rows) != 1 || rows[0].Name != "plain:c" || rows[0].Clients != 1 {
		t.Fatalf("%v %v", rows, more)
	}
	if rows, _, _ := h.Channels(t.Context(), ChannelQuery{App: "another"}); len(rows) != 0 {
		t.Fatalf("another app sees %v", rows)
	}
	if i := h.Info(); i.Channels != 4 || i.Subs != 4 || i.Clients != 1 {
		t.Fatalf("%+v", i)
	}
}

// Nothing stays behind when everybody has left.
func TestTablesEmpty(t *testing.T) {
	h := newHouse(t, nil)
	var conns []*fakeConn
	for i := range 50 {
		c := h.connect(fmt.Sprint("u", i%7), nil)
		for j := range 5 {
			h.mustSubscribe(c, fmt.Sprint("room", (i+j)%11))
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		on(c.session, func() { c.session.Closed(nil) })
	}
	h.settle()
	if i := h.Info(); i.Channels != 0 || i.Subs != 0 || i.Clients != 0 || i.Users != 0 {
		t.Fatalf("%+v", i)
	}
	for id, n := range h.engine.follows {
		if n != 0 {
			t.Errorf("%s is followed %d times", id, n)
		}
	}
	for _, sh := range h.shards {
		if sh.wheel.count != 0 || len(sh.sessions) != 0 {
			t.Errorf("shard %d: %d timers, %d sessions", sh.index, sh.wheel.count, len(sh.sessions))
		}
	}
	for id, m := range h.engine.members {
		if len(m) != 0 {
			t.Errorf("%s has members %v", id, m)
		}
	}
}

package hub

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// fakeBackend keeps questions until they are answered.
type fakeBackend struct {
	hooks []Hook

	mu    sync.Mutex
	asked []*asking
}

type asking struct {
	Question

	done func(Answer, error)
}

func (b *fakeBackend) Asks(h Hook) bool { return slices.Contains(b.hooks, h) }

func (b *fakeBackend) Ask(q Question, done func(Answer, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, &asking{q, done})
}

// next takes the oldest question.
func (b *fakeBackend) next(h *house) *asking {
	h.t.Helper()
	var a *asking
	h.until(func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.asked) == 0 {
			return false
		}
		a = b.asked[0]
		b.asked = b.asked[1:]
		return true
	})
	return a
}

// hooked is a house with a backend; its namespace hook asks for everything.
func hooked(t *testing.T, hooks ...Hook) (*house, *fakeBackend) {
	t.Helper()
	b := &fakeBackend{hooks: hooks}
	h := newHouse(t, func(c *Config) {
		c.Backend, c.AllowAnonymous, c.MaxChannels = b, false, 3
		var err error
		c.Namespaces, err = channel.NewNamespaces(openOptions, []channel.Namespace{
			{Name: "hook", Options: channel.Options{
				SubscribeProxyEnabled: true, PublishProxyEnabled: true, SubRefreshProxyEnabled: true, Presence: true,
				HistorySize: 10, HistoryTTL: time.Hour, ForceRecovery: true,
			}},
			{Name: "open", Options: openOptions},
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return h, b
}

// told is what a done function was told.
type told[T any] struct {
	res T
	err error
}

// run starts a command on the session's shard and gives its reply once there is one.
func run[T any](c *fakeConn, fn func(s *Session, done func(T, error))) <-chan told[T] {
	ch := make(chan told[T], 1)
	on(c.session, func() { fn(c.session, func(res T, err error) { ch <- told[T]{res, err} }) })
	return ch
}

func connecting(c *fakeConn, r ConnectRequest) <-chan told[ConnectResult] {
	return run(c, func(s *Session, done func(ConnectResult, error)) { s.Connect(r, done) })
}

func subscribeLater(c *fakeConn, r SubscribeRequest) <-chan told[SubscribeResult] {
	return run(c, func(s *Session, done func(SubscribeResult, error)) { s.Subscribe(r, done) })
}

func publishLater(c *fakeConn, p ClientPublish) <-chan told[engine.PublishResult] {
	return run(c, func(s *Session, done func(engine.PublishResult, error)) { s.Publish(p, done) })
}

// soon takes a reply.
func soon[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("no reply")
		panic("unreachable")
	}
}

func TestConnectHookSaysWho(t *testing.T) {
	h, b := hooked(t, HookConnect)
	c := h.dial(nil)
	reply := connecting(c, ConnectRequest{
		Name: "js", Version: "1", Data: []byte(`{"a":1}`), Headers: map[string]string{"Authorization": "x"},
		Subs: map[string]SubscribeRequest{"open:2": {}, "open:1": {}},
	})
	q := b.next(h)
	if q.Hook != HookConnect || q.Name != "js" || q.Version != "1" || string(q.Data) != `{"a":1}` || q.Protocol != "json" ||
		!slices.Equal(q.Channels, []string{"open:1", "open:2"}) || q.ClientHeader["Authorization"] != "x" || q.User != "" {
		t.Errorf("asked %+v", q.Question)
	}
	second := connecting(c, ConnectRequest{Token: "ann"})
	if got := soon(t, second); !errors.Is(got.err, ErrBadRequest) {
		t.Errorf("a second connect meanwhile: %v", got.err)
	}
	q.done(Answer{
		User: "ann", Info: []byte(`{"i":1}`), Data: []byte(`"hi"`), ExpireAt: time.Now().Add(time.Hour),
		Subs:   []AnswerSub{{Channel: "open:x", Info: []byte(`{"c":1}`), Data: []byte(`"sub"`)}, {Channel: "nowhere:x"}},
		Grants: channel.Grants{Allow: []channel.Grant{{Channel: "hook:granted", Ops: channel.History}}},
	}, nil)
	got := soon(t, reply)
	if got.err != nil || string(got.res.Data) != `"hi"` || got.res.Client != q.Client || got.res.Expires {
		t.Fatalf("%+v, %v", got.res, got.err)
	}
	if len(got.res.Subs) != 1 || got.res.Subs[0].Channel != "open:x" || string(got.res.Subs[0].Data) != `"sub"` {
		t.Errorf("subscriptions %+v", got.res.Subs)
	}
	h.settle() // a subscriber is announced after its reply
	members, err := h.Presence(t.Context(), channel.DefaultApp, "open:x")
	if m := members[got.res.Client]; err != nil || m == nil || m.User != "ann" || string(m.ConnInfo) != `{"i":1}` || string(m.ChanInfo) != `{"c":1}` {
		t.Errorf("presence %v, %v", members, err)
	}
	on(c.session, func() {
		if n := len(c.session.shard.backings); n != 0 {
			t.Errorf("%d sessions are still remembered for hooks", n)
		}
	})
}

// What a backend answers to connect, and what becomes of the session.
func TestConnectHookSaysNo(t *testing.T) {
	said := &BackendError{Code: 403, Message: "no"}
	for name, tt := range map[string]struct {
		answer Answer
		err    error
		want   error
		end    *Disconnect
	}{
		"error":      {err: said, want: said},
		"no answer":  {err: ErrNoAnswer, want: ErrNoAnswer},
		"expired":    {answer: Answer{User: "ann", ExpireAt: time.Now().Add(-time.Second)}, want: ErrExpired},
		"disconnect": {err: &BackendDisconnect{Disconnect{4501, "go away"}}, end: &Disconnect{4501, "go away"}},
	} {
		t.Run(name, func(t *testing.T) {
			h, b := hooked(t, HookConnect)
			c := h.dial(nil)
			reply := connecting(c, ConnectRequest{})
			b.next(h).done(tt.answer, tt.err)
			if tt.end != nil {
				h.until(func() bool { return c.end() != nil })
				if got := *c.end(); got != *tt.end {
					t.Errorf("ended with %v", got)
				}
				return
			}
			if got := soon(t, reply); !errors.Is(got.err, tt.want) {
				t.Errorf("%v, want %v", got.err, tt.want)
			}
			on(c.session, func() {
				if c.session.Connected() || c.session.expireAt == 0 {
					t.Error("it is connected, or may stay for ever")
				}
			})
		})
	}
}

// A slow hook is not the client's fault: it is never called stale meanwhile. A token
// needs no hook.
func TestConnectHookIsSlow(t *testing.T) {
	h, b := hooked(t, HookConnect)
	c := h.dial(nil)
	connecting(c, ConnectRequest{})
	q := b.next(h)
	on(c.session, func() {
		sh := c.session.shard
		sh.now += time.Hour.Milliseconds()
		sh.wheel.advance(sh.now, (*Session).onTimer)
	})
	if c.end() != nil {
		t.Errorf("ended with %v while the backend thinks", c.end())
	}
	on(c.session, func() { c.session.Disconnect(DisconnectShutdown) })
	q.done(Answer{User: "ann"}, nil) // too late for anybody
	h.settle()
	if got := soon(t, connecting(h.dial(nil), ConnectRequest{Token: "bob"})); got.err != nil {
		t.Error(got.err)
	}
}

func TestClientHeadersAreBounded(t *testing.T) {
	h, b := hooked(t, HookConnect)
	got := soon(t, connecting(h.dial(nil), ConnectRequest{Headers: map[string]string{"A": string(make([]byte, MaxClientHeaders))}}))
	if !errors.Is(got.err, ErrBadRequest) || len(b.asked) != 0 {
		t.Errorf("%v, %d questions", got.err, len(b.asked))
	}
}

func TestSubscribeHook(t *testing.T) {
	h, b := hooked(t, HookSubscribe)
	c := h.connect("ann", nil)
	reply := subscribeLater(c, SubscribeRequest{Channel: "hook:a", Data: []byte(`1`)})
	q := b.next(h)
	if q.Hook != HookSubscribe || q.User != "ann" || q.Channel != "hook:a" || string(q.Data) != "1" || q.Client == "" {
		t.Errorf("asked %+v", q.Question)
	}
	if got := soon(t, subscribeLater(c, SubscribeRequest{Channel: "hook:a"})); !errors.Is(got.err, ErrAlreadySubscribed) {
		t.Errorf("the same again meanwhile: %v", got.err)
	}
	h.publish("hook:a", "before")
	q.done(Answer{Data: []byte(`"d"`), Info: []byte(`{"r":1}`), ExpireAt: time.Now().Add(time.Hour)}, nil)
	got := soon(t, reply)
	if got.err != nil || string(got.res.Data) != `"d"` || got.res.ExpireIn != 0 || got.res.Position.Offset != 1 {
		t.Fatalf("%+v, %v", got.res, got.err)
	}
	h.publish("hook:a", "live")
	h.until(func() bool { return slices.Contains(c.lines(), "hook:a 2 live") })
	members, _ := h.Presence(t.Context(), channel.DefaultApp, "hook:a")
	if m := members[q.Client]; m == nil || string(m.ChanInfo) != `{"r":1}` {
		t.Errorf("presence %v", members)
	}
	for _, no := range []error{&BackendError{Code: 403}, ErrNoAnswer} {
		reply := subscribeLater(c, SubscribeRequest{Channel: "hook:b"})
		b.next(h).done(Answer{}, no)
		if got := soon(t, reply); !errors.Is(got.err, no) {
			t.Errorf("%v, want %v", got.err, no)
		}
	}
	reply = subscribeLater(c, SubscribeRequest{Channel: "hook:b"})
	b.next(h).done(Answer{ExpireAt: time.Now().Add(-time.Minute)}, nil)
	if got := soon(t, reply); !errors.Is(got.err, ErrExpired) {
		t.Errorf("expired already: %v", got.err)
	}
	if len(c.session.subs) != 1 {
		t.Errorf("%d subscriptions", len(c.session.subs))
	}
	// Tokens and what the namespace leaves alone need no hook.
	if got := soon(t, subscribeLater(c, SubscribeRequest{Channel: "hook:t", Token: "ann@hook:t"})); got.err != nil {
		t.Error(got.err)
	}
	h.mustSubscribe(c, "open:a")
}

// Who leaves while the backend thinks is not subscribed afterwards, and what is under
// way counts as subscriptions.
func TestSubscribeHookIsOvertaken(t *testing.T) {
	h, b := hooked(t, HookSubscribe)
	c := h.connect("ann", nil)
	subscribeLater(c, SubscribeRequest{Channel: "hook:a"})
	first := b.next(h)
	on(c.session, func() { c.session.Unsubscribe("hook:a") })
	again := subscribeLater(c, SubscribeRequest{Channel: "hook:a"})
	second := b.next(h)
	first.done(Answer{Data: []byte(`"first"`)}, nil)
	second.done(Answer{Data: []byte(`"second"`)}, nil)
	if got := soon(t, again); got.err != nil || string(got.res.Data) != `"second"` {
		t.Errorf("%+v, %v", got.res, got.err)
	}
	subscribeLater(c, SubscribeRequest{Channel: "hook:b"})
	subscribeLater(c, SubscribeRequest{Channel: "hook:c"})
	if got := soon(t, subscribeLater(c, SubscribeRequest{Channel: "hook:d"})); !errors.Is(got.err, ErrLimitExceeded) {
		t.Errorf("one too many: %v", got.err)
	}
	reply := subscribeLater(c, SubscribeRequest{Channel: "open:x"})
	if got := soon(t, reply); got.err != nil {
		t.Error(got.err)
	}
	b.next(h).done(Answer{}, &BackendDisconnect{Disconnect{4000, "later"}})
	h.until(func() bool { return c.end() != nil })
}

// A listener's subscriptions come with its connect, and ask too.
func TestSubscribeHookAtConnect(t *testing.T) {
	h, b := hooked(t, HookSubscribe)
	c := h.dial(nil)
	reply := connecting(c, ConnectRequest{Token: "ann", OneWay: true, Ask: true, Subs: map[string]SubscribeRequest{
		"hook:yes": {}, "hook:no": {}, "open:a": {},
	}})
	for range 2 {
		q := b.next(h)
		if q.Channel == "hook:yes" {
			q.done(Answer{}, nil)
		} else {
			q.done(Answer{}, &BackendError{Code: 403})
		}
	}
	got := soon(t, reply)
	names := map[string]bool{}
	for _, sub := range got.res.Subs {
		names[sub.Channel] = true
	}
	if want := map[string]bool{"hook:yes": true, "open:a": true}; got.err != nil || !maps.Equal(names, want) {
		t.Errorf("%v, %v", names, got.err)
	}
}

// Publications go in the order in which they came, whatever the order of the answers.
func TestPublishHook(t *testing.T) {
	h, b := hooked(t, HookSubscribe, HookPublish)
	c := h.connect("ann", nil)
	sub := subscribeLater(c, SubscribeRequest{Channel: "hook:a"})
	b.next(h).done(Answer{}, nil)
	soon(t, sub)
	var replies []<-chan told[engine.PublishResult]
	var questions []*asking
	for _, data := range []string{"1", "2", "3", "4", "5"} {
		replies = append(replies, publishLater(c, ClientPublish{Channel: "hook:a", Data: []byte(data)}))
		questions = append(questions, b.next(h))
	}
	questions[4].done(Answer{}, nil)
	questions[2].done(Answer{}, ErrNoAnswer)
	questions[1].done(Answer{}, &BackendError{Code: 1000, Message: "rude"})
	questions[3].done(Answer{Data: []byte(`"four"`), Tags: map[string]string{"k": "v"}, SkipHistory: true}, nil)
	h.settle()
	if slices.ContainsFunc(c.lines(), func(l string) bool { return l == "hook:a 2 5" }) {
		t.Error("the fifth went before the first")
	}
	questions[0].done(Answer{}, nil)
	var errs []error
	for _, r := range replies {
		errs = append(errs, soon(t, r).err)
	}
	var said *BackendError
	if errs[0] != nil || !errors.As(errs[1], &said) || !errors.Is(errs[2], ErrNoAnswer) || errs[3] != nil || errs[4] != nil {
		t.Errorf("%v", errs)
	}
	want := []string{"hook:a 1 1", `hook:a 0 "four"`, "hook:a 2 5"}
	h.until(func() bool { return slices.Equal(c.lines(), want) })
	on(c.session, func() {
		if n := len(c.session.shard.backings[c.session].publishing); n != 0 {
			t.Errorf("%d lines are left", n)
		}
	})
	large := publishLater(c, ClientPublish{Channel: "hook:a", Data: make([]byte, DefaultMaxData+1)})
	if got := soon(t, large); !errors.Is(got.err, ErrLimitExceeded) || len(b.asked) != 0 {
		t.Errorf("too large: %v, %d questions", got.err, len(b.asked))
	}
}

func TestRPCHook(t *testing.T) {
	h, b := hooked(t, HookRPC)
	c := h.connect("ann", nil)
	call := func(r RPC) <-chan told[RPCResult] {
		return run(c, func(s *Session, done func(RPCResult, error)) { s.RPC(r, done) })
	}
	reply := call(RPC{Method: "m", Data: []byte(`1`)})
	q := b.next(h)
	q.done(Answer{Data: []byte{0xff}, Binary: true}, nil)
	if got := soon(t, reply); q.Method != "m" || string(q.Data) != "1" || got.err != nil || got.res.Data[0] != 0xff || !got.res.Binary {
		t.Errorf("%+v: %+v, %v", q.Question, got.res, got.err)
	}
	bare := newHouse(t, nil)
	c = bare.connect("ann", nil)
	if got := soon(t, call(RPC{})); !errors.Is(got.err, ErrNotAvailable) {
		t.Errorf("without a hook: %v", got.err)
	}
}

// later moves a session's shard on in time and fires what is due.
func later(c *fakeConn, by time.Duration) {
	on(c.session, func() {
		sh := c.session.shard
		sh.now += by.Milliseconds()
		sh.wheel.advance(sh.now, (*Session).onTimer)
	})
}

func TestRefreshHook(t *testing.T) {
	h, b := hooked(t, HookConnect, HookRefresh)
	c := h.dial(nil)
	reply := connecting(c, ConnectRequest{})
	b.next(h).done(Answer{User: "ann", Meta: []byte(`{"m":1}`), ExpireAt: time.Now().Add(30 * time.Second)}, nil)
	if got := soon(t, reply); got.err != nil || got.res.Expires {
		t.Fatalf("%+v, %v", got.res, got.err)
	}
	on(c.session, func() { c.session.nextPing = 0; c.session.arm() })
	expire := func(in time.Duration) {
		on(c.session, func() { c.session.expireAt = c.session.shard.now + in.Milliseconds(); c.session.arm() })
	}
	expire(0)
	later(c, 2*time.Second)
	q := b.next(h)
	if q.Hook != HookRefresh || q.User != "ann" || string(q.Meta) != `{"m":1}` {
		t.Errorf("asked %+v", q.Question)
	}
	q.done(Answer{ExpireAt: time.Now().Add(time.Hour), Info: []byte(`{"n":2}`)}, nil)
	h.settle()
	later(c, 30*time.Second)
	if c.end() != nil || string(c.session.clientInfo().ConnInfo) != `{"n":2}` {
		t.Errorf("ended with %v, info %s", c.end(), c.session.clientInfo().ConnInfo)
	}
	// Without an answer it is asked again, and lives on for the grace.
	expire(0)
	later(c, 2*time.Second)
	b.next(h).done(Answer{}, ErrNoAnswer)
	h.settle()
	later(c, 7*time.Second)
	if c.end() != nil {
		t.Fatalf("ended with %v", c.end())
	}
	b.next(h).done(Answer{Expired: true}, nil)
	h.until(func() bool { return c.end() != nil })
	if *c.end() != DisconnectExpired {
		t.Errorf("ended with %v", *c.end())
	}
}

// A backend that never answers does not keep a session alive.
func TestRefreshHookIsDead(t *testing.T) {
	h, b := hooked(t, HookRefresh)
	c := h.connect("ann", nil)
	on(c.session, func() { c.session.expireAt = c.session.shard.now; c.session.arm() })
	later(c, 2*time.Second)
	b.next(h)
	later(c, expiredGrace)
	h.until(func() bool { return c.end() != nil })
	if *c.end() != DisconnectExpired {
		t.Errorf("ended with %v", *c.end())
	}
}

// What a hook has allowed for a while, and nobody prolongs, ends at once; the client,
// which has no token to renew, is not told that it expires.
func TestNobodyProlongs(t *testing.T) {
	h, b := hooked(t, HookConnect, HookSubscribe)
	c := h.dial(nil)
	reply := connecting(c, ConnectRequest{})
	b.next(h).done(Answer{User: "ann", ExpireAt: time.Now().Add(time.Hour)}, nil)
	if got := soon(t, reply); got.err != nil || got.res.Expires {
		t.Fatalf("%+v, %v", got.res, got.err)
	}
	sub := subscribeLater(c, SubscribeRequest{Channel: "hook:a"})
	b.next(h).done(Answer{ExpireAt: time.Now().Add(30 * time.Minute)}, nil)
	if got := soon(t, sub); got.err != nil || got.res.ExpireIn != 0 {
		t.Fatalf("%+v, %v", got.res, got.err)
	}
	on(c.session, func() { c.session.nextPing = 0; c.session.arm() })
	later(c, 30*time.Minute+2*time.Second)
	h.until(func() bool { return slices.Contains(c.lines(), "unsubscribed hook:a 2501") })
	later(c, time.Hour+2*time.Second)
	h.until(func() bool { return c.end() != nil })
	if *c.end() != DisconnectExpired {
		t.Errorf("ended with %v", *c.end())
	}
}

// With a refresh hook a client with a token is not asked for another either.
func TestRefreshHookForTokens(t *testing.T) {
	b := &fakeBackend{hooks: []Hook{HookRefresh}}
	h := newHouse(t, func(c *Config) { c.Backend, c.Auth = b, fakeAuth{expireAt: time.Now().Add(time.Hour)} })
	c := h.dial(nil)
	if got := soon(t, connecting(c, ConnectRequest{Token: "ann"})); got.err != nil || got.res.Expires {
		t.Errorf("%+v, %v", got.res, got.err)
	}
	on(c.session, func() { c.session.nextPing = 0; c.session.arm() })
	later(c, time.Hour+2*time.Second)
	if q := b.next(h); q.Hook != HookRefresh || q.User != "ann" {
		t.Errorf("asked %+v", q.Question)
	}
}

func TestSubRefreshHook(t *testing.T) {
	h, b := hooked(t, HookSubscribe, HookSubRefresh)
	c := h.connect("ann", nil)
	reply := subscribeLater(c, SubscribeRequest{Channel: "hook:a"})
	b.next(h).done(Answer{ExpireAt: time.Now().Add(30 * time.Second)}, nil)
	soon(t, reply)
	expire := func() {
		on(c.session, func() {
			c.session.nextPing = 0
			c.session.subs[0].expireAt = c.session.shard.now
			c.session.arm()
		})
		later(c, 2*time.Second)
	}
	expire()
	q := b.next(h)
	if q.Hook != HookSubRefresh || q.Channel != "hook:a" {
		t.Errorf("asked %+v", q.Question)
	}
	q.done(Answer{ExpireAt: time.Now().Add(time.Hour)}, nil)
	h.settle()
	later(c, 30*time.Second)
	if len(c.session.subs) != 1 {
		t.Fatal("it has expired")
	}
	expire()
	b.next(h).done(Answer{}, ErrNoAnswer)
	h.settle()
	later(c, 7*time.Second)
	b.next(h).done(Answer{Expired: true}, nil)
	h.until(func() bool { return slices.Contains(c.lines(), "unsubscribed hook:a 2501") })
	if c.end() != nil {
		t.Errorf("ended with %v", *c.end())
	}
}

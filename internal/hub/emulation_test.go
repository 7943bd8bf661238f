package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// connectEmulated connects a session that requests may speak for.
func (h *house) connectEmulated() (c *fakeConn, secret, node string) {
	h.t.Helper()
	c = h.connect("", nil)
	on(c.session, func() {
		c.session.Emulate()
		secret, node = c.session.Emulation()
	})
	return c, secret, node
}

func (p *textProtocol) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.received)
}

func TestRequestsSpeakForASession(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Node.UID = "n1" })
	c, secret, node := h.connectEmulated()
	if node != "n1" || len(secret) < 26 || secret == c.session.ID() {
		t.Fatalf("secret %q on node %q", secret, node)
	}
	if other, _ := h.connect("", nil).session.Emulation(); other != "" {
		t.Error("a session that is not emulated has a secret")
	}
	for _, where := range []string{"n1", ""} {
		if err := h.Emulate(t.Context(), secret, where, []byte("at "+where)); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.proto.heard(); !slices.Equal(got, []string{"at n1", "at "}) {
		t.Errorf("%q", got)
	}
	if err := h.Emulate(t.Context(), c.session.ID(), "n1", nil); !errors.Is(err, ErrUnknownSession) {
		t.Errorf("the id that others see: %v", err)
	}
	on(c.session, func() { c.session.Disconnect(DisconnectForced) })
	if err := h.Emulate(t.Context(), secret, "n1", nil); !errors.Is(err, ErrUnknownSession) {
		t.Errorf("after the end: %v", err)
	}
	if n := len(h.emulated.sessions) + len(h.emulated.secrets); n != 0 {
		t.Errorf("%d entries stay behind", n)
	}
}

// A request for a session of another node goes there through the engine.
func TestRequestsReachOtherNodes(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Node.UID = "n1" })
	_, secret, _ := h.connectEmulated()
	if err := h.Emulate(t.Context(), secret, "n2", []byte("hello")); err != nil {
		t.Fatal(err) // the fake engine brings everything back to this node
	}
	h.settle()
	if got := h.proto.heard(); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("%q", got)
	}
}

func TestRequestsWaitWhileASessionIsPaused(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.MaxPending = 4; c.Shards = 1 })
	c, secret, _ := h.connectEmulated()
	h.mustSubscribe(c, "plain:a")
	h.engine.holdPubs = true
	on(c.session, func() {
		for range 4 {
			c.session.Publish(ClientPublish{Channel: "plain:a", Data: []byte("1")}, func(engine.PublishResult, error) {})
		}
	})
	results := make(chan error, 5)
	say := func(i int) {
		h.emulate(secret, fmt.Append(nil, i), func(_ struct{}, err error) { results <- err })
	}
	for i := range 4 {
		say(i)
	}
	h.settle()
	say(4)
	if err := <-results; !errors.Is(err, ErrTooManyRequests) {
		t.Fatalf("%v, want the fifth refused", err)
	}
	if got := h.proto.heard(); len(got) != 0 {
		t.Fatalf("a paused session heard %q", got)
	}
	h.engine.releasePublishes()
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := h.proto.heard(); !slices.Equal(got, []string{"0", "1", "2", "3"}) {
		t.Errorf("%q", got)
	}
	if h.count.emulationFull.Value() != 1 {
		t.Error("the refused one is not counted")
	}
}

// What waited when the session ends is answered too.
func TestRequestsOfAPausedSessionThatEnds(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 1 })
	c, secret, _ := h.connectEmulated()
	on(c.session, func() { c.session.paused = true })
	result := make(chan error, 1)
	h.emulate(secret, nil, func(_ struct{}, err error) { result <- err })
	on(c.session, func() { c.session.Disconnect(DisconnectForced) })
	if err := <-result; !errors.Is(err, ErrUnknownSession) {
		t.Error(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := h.Emulate(ended, secret, "", nil); err == nil {
		t.Error("no error for a request that nobody waits for")
	}
}

func TestOneWaySessionsOweNoPong(t *testing.T) {
	h := newHouse(t, nil)
	c := h.dial(nil)
	var res ConnectResult
	on(c.session, func() {
		c.session.Connect(ConnectRequest{OneWay: true, PingIn: 1}, func(r ConnectResult, _ error) { res = r })
		c.session.nextPing = c.session.shard.now
		c.session.onTimer()
	})
	h.settle() // what is in line leaves when the turn ends
	if res.Pong || c.session.pongBy != 0 || !slices.Equal(c.lines(), []string{"ping"}) {
		t.Errorf("%+v, pong by %d, %q", res, c.session.pongBy, c.lines())
	}
}

// personalProtocol tells sessions with a State what happened in words of their
// own, the state "mute" nothing.
type personalProtocol struct{ *textProtocol }

func (personalProtocol) Shared(s *Session) bool { return s.State == nil }

func (personalProtocol) AppendFor(dst []byte, s *Session, e *Event) []byte {
	if s.State == "mute" {
		return dst
	}
	return fmt.Appendf(dst, "%v: %s %d", s.State, e.Epoch, e.Publication.Offset)
}

func TestPersonalEvents(t *testing.T) {
	h := newHouse(t, nil)
	h.enc = h.NewEncoding(personalProtocol{h.proto}, lineFraming{}, metrics.Via{})
	conns := map[string]*fakeConn{}
	for _, state := range []string{"", "mute", "ann", "bob"} {
		c := h.connect("", nil)
		if state != "" {
			on(c.session, func() { c.session.State = state })
		}
		h.mustSubscribe(c, "a")
		conns[state] = c
	}
	for _, data := range []string{"1", "2"} {
		h.publish("a", data)
	}
	h.settle()
	for state, want := range map[string][]string{
		"": {"a 1 1", "a 2 2"}, "mute": {""}, "ann": {"ann: e1 1", "ann: e1 2"}, "bob": {"bob: e1 1", "bob: e1 2"},
	} {
		if got := slices.DeleteFunc(conns[state].lines(), func(l string) bool { return len(l) > 4 && l[:4] == "join" }); !slices.Equal(got, want) {
			t.Errorf("%q got %q, want %q", state, got, want)
		}
	}
}

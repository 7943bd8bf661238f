package hub

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memEngine is the least that fulfils the contract, with a hand on the history
// read: while holdReads is set, reads happen but their answers wait.
type memEngine struct {
	engine.Alone

	mu       sync.Mutex
	follower engine.Follower
	logs     map[channel.ID][]*engine.Publication
	members  map[channel.ID]engine.Members
	follows  map[channel.ID]int
	epoch    string

	holdReads  bool
	held       []func()
	holdPubs   bool
	heldPubs   []func()
	publishErr error
	quota      int64 // of the last publication
}

func newMemEngine() *memEngine {
	return &memEngine{
		logs: map[channel.ID][]*engine.Publication{}, members: map[channel.ID]engine.Members{},
		follows: map[channel.ID]int{}, epoch: "e1",
	}
}

func (e *memEngine) Attach(f engine.Follower) { e.follower = f }

func (e *memEngine) Follow(ch channel.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.follows[ch]++
}

func (e *memEngine) Unfollow(ch channel.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.follows[ch]--
}

func (e *memEngine) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.quota = req.Quota
	if e.publishErr != nil {
		done(engine.PublishResult{}, e.publishErr)
		return
	}
	if e.holdPubs {
		e.heldPubs = append(e.heldPubs, func() { e.publishLocked(req, done) })
		return
	}
	e.publishLocked(req, done)
}

func (e *memEngine) publishLocked(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	pub := req.Publication
	pos := engine.Position{}
	if req.Retention.Kept() && !req.SkipHistory {
		pub.Offset = uint64(len(e.logs[req.Channel]) + 1)
		e.logs[req.Channel] = append(e.logs[req.Channel], &pub)
		pos = engine.Position{Epoch: e.epoch, Offset: pub.Offset}
	}
	e.follower.Publication(req.Channel, pos.Epoch, &pub)
	done(engine.PublishResult{Position: pos}, nil)
}

func (e *memEngine) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	res, err := e.read(req)
	if e.holdReads {
		e.held = append(e.held, func() { done(res, err) })
		return
	}
	done(res, err)
}

func (e *memEngine) read(req engine.HistoryRequest) (engine.HistoryResult, error) {
	log := e.logs[req.Channel]
	res := engine.HistoryResult{Top: engine.Position{Epoch: e.epoch, Offset: uint64(len(log))}, Oldest: 1}
	from := uint64(0)
	if req.Since != nil {
		if req.Since.Epoch != "" && req.Since.Epoch != e.epoch || req.Since.Offset > res.Top.Offset {
			return engine.HistoryResult{}, engine.ErrUnrecoverable
		}
		from = req.Since.Offset
	}
	if req.Limit == 0 {
		return res, nil
	}
	list := append([]*engine.Publication(nil), log[from:]...)
	if req.Reverse {
		for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
			list[i], list[j] = list[j], list[i]
		}
	}
	if req.Limit > 0 && len(list) > req.Limit {
		list = list[:req.Limit]
	}
	res.Publications = list
	return res, nil
}

func (e *memEngine) releaseReads() {
	e.mu.Lock()
	held := e.held
	e.held, e.holdReads = nil, false
	e.mu.Unlock()
	for _, fn := range held {
		fn()
	}
}

func (e *memEngine) releasePublishes() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, fn := range e.heldPubs {
		fn()
	}
	e.heldPubs, e.holdPubs = nil, false
}

func (e *memEngine) RemoveHistory(channel.ID, engine.Retention, func(error)) {}

func (e *memEngine) Join(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	e.mu.Lock()
	defer e.mu.Unlock()
	edge := true
	if n&engine.Track != 0 {
		edge = e.isAlone(ch, info)
		if e.members[ch] == nil {
			e.members[ch] = engine.Members{}
		}
		e.members[ch][info.Client] = info
	}
	if n&engine.Announce != 0 {
		e.follower.Join(ch, info, edge)
	}
}

// isAlone reports whether no other session of the user is a member.
func (e *memEngine) isAlone(ch channel.ID, info *engine.ClientInfo) bool {
	for client, other := range e.members[ch] {
		if info.User != "" && other.User == info.User && client != info.Client {
			return false
		}
	}
	return true
}

func (e *memEngine) Leave(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.members[ch], info.Client)
	if n&engine.Announce != 0 {
		e.follower.Leave(ch, info, e.isAlone(ch, info))
	}
}

func (e *memEngine) Members(ch channel.ID, done func(engine.Members, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := engine.Members{}
	for k, v := range e.members[ch] {
		out[k] = v
	}
	done(out, nil)
}

func (e *memEngine) Stats(ch channel.ID, done func(engine.PresenceStats, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	done(engine.PresenceStats{Clients: len(e.members[ch])}, nil)
}

func (e *memEngine) Control(c engine.Control, done func(error)) {
	e.follower.Control(c)
	done(nil)
}
func (e *memEngine) Status() engine.Status { return engine.Status{Ready: true} }
func (e *memEngine) Close() error          { return nil }

// lineFraming ends every message with a newline.
type lineFraming struct{}

func (lineFraming) Name() string { return "line" }
func (lineFraming) AppendFrame(dst, p []byte) []byte {
	return append(append(dst, p...), '\n')
}

// textProtocol writes events as words, and counts how often it encodes.
type textProtocol struct {
	mu       sync.Mutex
	encoded  int
	patches  int
	received []string
}

func (*textProtocol) Name() string    { return "text" }
func (*textProtocol) Open(*Session)   {}
func (*textProtocol) Ping(s *Session) { s.Send([]byte("ping")) }

func (p *textProtocol) Receive(_ *Session, msg []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received = append(p.received, string(msg))
}

func (*textProtocol) Tell(s *Session, n Notice) {
	switch {
	case n.Unsubscribed != nil:
		s.Send(fmt.Appendf(nil, "unsubscribed %s %d", n.Channel, n.Unsubscribed.Code))
	case n.Subscribed != nil:
		s.Send(fmt.Appendf(nil, "subscribed %s at %d data %s", n.Channel, n.Subscribed.Position.Offset, n.Subscribed.Data))
	}
}

func (p *textProtocol) Append(dst []byte, e *Event) []byte {
	p.mu.Lock()
	p.encoded++
	p.mu.Unlock()
	switch e.Kind {
	case EventJoin:
		return fmt.Appendf(dst, "join %s %s", e.Channel, e.Info.User)
	case EventLeave:
		return fmt.Appendf(dst, "leave %s %s", e.Channel, e.Info.User)
	case EventCount:
		return fmt.Appendf(dst, "count %s %d", e.Channel, e.Count)
	case EventOnline:
		return fmt.Appendf(dst, "online %s", e.Info.User)
	case EventOffline:
		return fmt.Appendf(dst, "offline %s", e.Info.User)
	}
	data := e.Publication.Data
	switch {
	case e.Delta != nil && e.Delta.Base != nil:
		data = e.Delta.Patch(data, p.patch)
	case e.Delta != nil:
		data = fmt.Appendf(nil, "whole %s", data)
	}
	return fmt.Appendf(dst, "%s %d %s", e.Channel, e.Publication.Offset, data)
}

// patch stands for a format of changes.
func (p *textProtocol) patch(base, data []byte) []byte {
	p.mu.Lock()
	p.patches++
	p.mu.Unlock()
	return fmt.Appendf(nil, "%s->%s", base, data)
}

// fakeConn keeps what is written. take bounds what one Write takes; nil: all.
type fakeConn struct {
	remote  string // "": "fake"
	session *Session
	shard   *Shard // of a session that may end while it is opened; nil: session's
	take    func(int) int
	broken  bool // every Write fails

	mu     sync.Mutex
	wrote  bytes.Buffer
	writes int
	closed *Disconnect
	paused bool
}

func (c *fakeConn) Write(p []byte) (int, error) {
	if c.broken {
		return 0, io.ErrClosedPipe
	}
	n := len(p)
	if c.take != nil {
		n = min(n, c.take(n))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	c.wrote.Write(p[:n])
	return n, nil
}

func (c *fakeConn) Close(rest []byte, d Disconnect) {
	c.mu.Lock()
	c.closed = &d
	c.wrote.Write(rest)
	c.mu.Unlock()
	sh := c.shard
	if sh == nil {
		sh = c.session.shard
	}
	sh.Post(func() { c.session.Closed(nil) })
}

func (c *fakeConn) Abort() { c.session.Closed(nil) }

func (c *fakeConn) Pause()         { c.mu.Lock(); c.paused = true; c.mu.Unlock() }
func (c *fakeConn) Resume()        { c.mu.Lock(); c.paused = false; c.mu.Unlock() }
func (c *fakeConn) Remote() string { return cmp.Or(c.remote, "fake") }

func (c *fakeConn) lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Split(strings.TrimSuffix(c.wrote.String(), "\n"), "\n")
}

func (c *fakeConn) end() *Disconnect {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// fakeAuth takes "user" or "user+channel+channel" for connection tokens, and
// "user@channel" for subscription tokens; "expired" has expired.
type fakeAuth struct{ expireAt time.Time }

func (a fakeAuth) Connection(token string) (*channel.Identity, error) {
	switch token {
	case "expired":
		return nil, channel.ErrTokenExpired
	case "bad":
		return nil, channel.ErrTokenInvalid
	}
	user, brings, _ := strings.Cut(token, "+")
	identity := &channel.Identity{App: channel.DefaultApp, User: user, ExpireAt: a.expireAt}
	if brings != "" {
		identity.Channels = strings.Split(brings, "+")
	}
	return identity, nil
}

func (a fakeAuth) Subscription(token string) (*channel.SubscriptionGrant, error) {
	user, name, ok := strings.Cut(token, "@")
	if !ok {
		return nil, channel.ErrTokenInvalid
	}
	return &channel.SubscriptionGrant{User: user, Channel: name, ExpireAt: a.expireAt}, nil
}

var openOptions = channel.Options{
	HistorySize: 1000, HistoryTTL: time.Hour, ForceRecovery: true, Presence: true, JoinLeave: true,
	AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true,
	AllowPublishForSubscriber: true, AllowPublishForAnonymous: true,
	AllowPresenceForClient: true, AllowHistoryForClient: true,
}

// house is a hub with its fakes.
type house struct {
	*Hub
	t      *testing.T
	engine *memEngine
	proto  *textProtocol
	enc    *Encoding
}

func newHouse(t *testing.T, change func(*Config)) *house {
	t.Helper()
	plain := openOptions
	plain.HistorySize, plain.HistoryTTL, plain.ForceRecovery, plain.Presence, plain.JoinLeave = 0, 0, false, false, false
	cache := openOptions
	cache.ForceRecoveryMode = channel.RecoverCache
	open := openOptions
	open.AllowTagsFilter, open.AllowedDeltaTypes = true, []string{channel.DeltaFossil}
	ns, err := channel.NewNamespaces(openOptions, []channel.Namespace{
		{Name: "plain", Options: plain}, {Name: "cache", Options: cache}, {Name: "shut"}, {Name: "open", Options: open},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := newMemEngine()
	cfg := Config{Engine: e, Namespaces: ns, Auth: fakeAuth{}, AllowAnonymous: true, Shards: 2}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &textProtocol{}
	ho := &house{Hub: h, t: t, engine: e, proto: p, enc: h.NewEncoding(p, lineFraming{}, metrics.Via{})}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil && !errors.Is(err, ErrShutdown) {
			t.Error(err)
		}
	})
	return ho
}

// on runs fn on the session's shard and waits for it.
func on(s *Session, fn func()) {
	done := make(chan struct{})
	s.shard.Post(func() { fn(); close(done) })
	<-done
}

// patience bounds every wait; no test is decided by it.
const patience = 60 * time.Second

// until waits for a condition.
func (h *house) until(holds func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); h.settle() {
		if time.Now().After(deadline) {
			h.t.Fatal("not in time")
		}
	}
}

// settle waits until every shard has done what was posted before.
func (h *house) settle() {
	for range 10 { // work that posts work, and publications that are not sent together
		for _, sh := range h.shards {
			done := make(chan struct{})
			sh.Post(func() { close(done) })
			<-done
		}
	}
}

// dial opens a session that has not connected yet.
func (h *house) dial(take func(int) int) *fakeConn {
	h.t.Helper()
	return h.dialApp("", take)
}

func (h *house) dialApp(app string, take func(int) int) *fakeConn {
	h.t.Helper()
	sh, err := h.Enter(app, netip.Addr{})
	if err != nil {
		h.t.Fatal(err)
	}
	c := &fakeConn{take: take}
	done := make(chan struct{})
	sh.Post(func() { c.session = sh.Open(c, h.enc, nil); close(done) })
	<-done
	return c
}

// connect opens a session of a user ("": anonymous).
func (h *house) connect(user string, take func(int) int) *fakeConn {
	h.t.Helper()
	c := h.dial(take)
	answer := make(chan error, 1)
	c.session.shard.Post(func() {
		c.session.Connect(ConnectRequest{Token: user}, func(_ ConnectResult, err error) { answer <- err })
	})
	if err := <-answer; err != nil {
		h.t.Fatal(err)
	}
	return c
}

// subscribe waits for the reply.
func (h *house) subscribe(c *fakeConn, r SubscribeRequest) (SubscribeResult, error) {
	h.t.Helper()
	type answer struct {
		res SubscribeResult
		err error
	}
	ch := make(chan answer, 1)
	c.session.shard.Post(func() {
		c.session.Subscribe(r, func(res SubscribeResult, err error) { ch <- answer{res, err} })
	})
	select {
	case a := <-ch:
		return a.res, a.err
	case <-time.After(patience):
		return SubscribeResult{}, errors.New("no reply to subscribe") // it may not be the test's goroutine
	}
}

func (h *house) mustSubscribe(c *fakeConn, name string) SubscribeResult {
	h.t.Helper()
	res, err := h.subscribe(c, SubscribeRequest{Channel: name})
	if err != nil {
		h.t.Fatal(err)
	}
	return res
}

func (h *house) publish(name, data string) engine.PublishResult {
	h.t.Helper()
	res, err := h.Publish(context.Background(), Publish{App: channel.DefaultApp, Channel: name, Data: []byte(data)})
	if err != nil {
		h.t.Fatal(err)
	}
	return res
}

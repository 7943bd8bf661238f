package centrifuge

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// logEngine keeps one log for each channel, for ever. What a test does not use
// is missing and would panic.
type logEngine struct {
	engine.Engine
	mu       sync.Mutex
	follower engine.Follower
	logs     map[channel.ID][]*engine.Publication
	members  engine.Members
}

func (e *logEngine) Attach(f engine.Follower) { e.follower = f }
func (*logEngine) Alive() []string            { return nil }
func (*logEngine) Count(string, int)          {}
func (*logEngine) Others(string) int          { return 0 }
func (e *logEngine) Follow(channel.ID)        {}
func (e *logEngine) Unfollow(channel.ID)      {}

func (e *logEngine) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	pub := req.Publication
	pub.Offset = uint64(len(e.logs[req.Channel]) + 1)
	e.logs[req.Channel] = append(e.logs[req.Channel], &pub)
	e.follower.Publication(req.Channel, "e1", &pub)
	done(engine.PublishResult{Position: engine.Position{Epoch: "e1", Offset: pub.Offset}}, nil)
}

func (e *logEngine) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	log := e.logs[req.Channel]
	res := engine.HistoryResult{Top: engine.Position{Epoch: "e1", Offset: uint64(len(log))}, Oldest: 1}
	switch {
	case req.Since != nil && (req.Since.Epoch != "e1" || req.Since.Offset > res.Top.Offset):
		done(engine.HistoryResult{}, engine.ErrUnrecoverable)
		return
	case req.Since != nil:
		log = log[req.Since.Offset:]
	}
	if req.Limit != 0 {
		res.Publications = log
	}
	done(res, nil)
}

func (e *logEngine) Join(ch channel.ID, info *engine.ClientInfo, _ engine.Notice) {
	e.mu.Lock()
	e.members[info.Client] = info
	e.mu.Unlock()
	e.follower.Join(ch, info, true)
}

func (e *logEngine) Leave(ch channel.ID, info *engine.ClientInfo, _ engine.Notice) {
	e.mu.Lock()
	delete(e.members, info.Client)
	e.mu.Unlock()
	e.follower.Leave(ch, info, true)
}

func (e *logEngine) Stats(_ channel.ID, done func(engine.PresenceStats, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	done(engine.PresenceStats{Clients: len(e.members), Users: len(e.members)}, nil)
}

func (e *logEngine) Control(c engine.Control, done func(error)) {
	e.follower.Control(c)
	done(nil)
}

// users takes any token but "forged" and "old" for a user's name.
type users struct{}

func (users) Connection(token string) (*channel.Identity, error) {
	switch token {
	case "forged":
		return nil, channel.ErrTokenInvalid
	case "old":
		return nil, channel.ErrTokenExpired
	}
	return &channel.Identity{App: channel.DefaultApp, User: token}, nil
}

func (users) Subscription(string) (*channel.SubscriptionGrant, error) {
	return nil, channel.ErrTokenInvalid
}

type frames struct{}

func (frames) Name() string                     { return "frames" }
func (frames) AppendFrame(dst, p []byte) []byte { return append(append(dst, p...), 0) }
func (frames) split(b []byte) (string, []byte) {
	s, r, _ := strings.Cut(string(b), "\x00")
	return s, []byte(r)
}

// pipe is a connection that hands on what is written to it.
type pipe struct {
	t       *testing.T
	shard   *hub.Shard
	session *hub.Session
	written chan []byte
	pending []byte
	closed  chan hub.Disconnect
}

func (p *pipe) Write(b []byte) (int, error) {
	p.written <- append([]byte(nil), b...)
	return len(b), nil
}

func (p *pipe) Close(_ []byte, d hub.Disconnect) {
	p.closed <- d
	p.shard.Post(func() { p.session.Closed(nil) })
}
func (*pipe) Abort()         {}
func (*pipe) Pause()         {}
func (*pipe) Resume()        {}
func (*pipe) Remote() string { return "pipe" }

func (p *pipe) send(lines ...string) {
	msg := []byte(strings.Join(lines, "\n"))
	p.shard.Post(func() { p.session.Receive(msg) })
}

const patience = 10 * time.Second

// expect waits for one frame.
func (p *pipe) expect(want string) {
	p.t.Helper()
	for len(p.pending) == 0 {
		select {
		case b := <-p.written:
			p.pending = append(p.pending, b...)
		case <-time.After(patience):
			p.t.Fatalf("no frame, want %s", want)
		}
	}
	var got string
	if got, p.pending = (frames{}).split(p.pending); got != want {
		p.t.Fatalf("frame is\n%s, want\n%s", got, want)
	}
}

func (p *pipe) expectEnd(want hub.Disconnect) {
	p.t.Helper()
	select {
	case d := <-p.closed:
		if d != want {
			p.t.Fatalf("ended with %v, want %v", d, want)
		}
	case <-time.After(patience):
		p.t.Fatalf("not ended, want %v", want)
	}
}

type house struct {
	t   *testing.T
	hub *hub.Hub
	enc *hub.Encoding
}

func newHouse(t *testing.T) *house {
	t.Helper()
	open := channel.Options{
		HistorySize: 100, HistoryTTL: time.Hour, ForceRecovery: true, Presence: true, JoinLeave: true,
		AllowSubscribeForClient: true, AllowPublishForClient: true, AllowPresenceForClient: true, AllowHistoryForClient: true,
	}
	ns, err := channel.NewNamespaces(open, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Config{
		Engine:     &logEngine{logs: map[channel.ID][]*engine.Publication{}, members: engine.Members{}},
		Namespaces: ns, Auth: users{}, Shards: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return &house{t: t, hub: h, enc: h.NewEncoding(New(Config{Version: "v"}), frames{}, metrics.Via{})}
}

func (h *house) dial() *pipe {
	h.t.Helper()
	sh, err := h.hub.Enter("", netip.Addr{})
	if err != nil {
		h.t.Fatal(err)
	}
	p := &pipe{t: h.t, shard: sh.Shard, written: make(chan []byte, 64), closed: make(chan hub.Disconnect, 1)}
	opened := make(chan struct{})
	sh.Post(func() { p.session = sh.Open(p, h.enc, nil); close(opened) })
	<-opened
	return p
}

// connect dials and connects as a user; it returns the session's id too.
func (h *house) connect(user string) (*pipe, string) {
	h.t.Helper()
	p := h.dial()
	p.send(`{"id":1,"connect":{"token":"` + user + `"}}`)
	id := make(chan string)
	p.shard.Post(func() { id <- p.session.ID() })
	client := <-id
	p.expect(`{"id":1,"connect":{"client":"` + client + `","version":"v","ping":25,"pong":true}}`)
	return p, client
}

func TestOnARealHub(t *testing.T) {
	h := newHouse(t)
	alice, a := h.connect("alice")
	bob, b := h.connect("bob")
	alice.send(`{"id":2,"subscribe":{"channel":"room","join_leave":true}}`)
	alice.expect(`{"id":2,"subscribe":{"recoverable":true,"epoch":"e1","positioned":true}}`)
	alice.expect(`{"push":{"channel":"room","join":{"info":{"user":"alice","client":"` + a + `"}}}}`)
	bob.send(`{"id":2,"subscribe":{"channel":"room"}}`)
	bob.expect(`{"id":2,"subscribe":{"recoverable":true,"epoch":"e1","positioned":true}}`)
	alice.expect(`{"push":{"channel":"room","join":{"info":{"user":"bob","client":"` + b + `"}}}}`)
	bob.send(`{"id":3,"presence_stats":{"channel":"room"}}`)
	bob.expect(`{"id":3,"presence_stats":{"num_clients":2,"num_users":2}}`)

	bob.send(`{"id":4,"publish":{"channel":"room","data":{"n":1}}}`)
	push := `{"push":{"channel":"room","pub":{"data":{"n":1},"info":{"user":"bob","client":"` + b + `"},"offset":1}}}`
	alice.expect(push)
	bob.expect(push)
	bob.expect(`{"id":4,"publish":{}}`)
	bob.send(`{"id":5,"unsubscribe":{"channel":"room"}}`)
	bob.expect(`{"id":5,"unsubscribe":{}}`)
	alice.expect(`{"push":{"channel":"room","leave":{"info":{"user":"bob","client":"` + b + `"}}}}`)

	alice.send(`{"id":6,"publish":{"channel":"room","data":2}}`)
	alice.expect(`{"push":{"channel":"room","pub":{"data":2,"info":{"user":"alice","client":"` + a + `"},"offset":2}}}`)
	alice.expect(`{"id":6,"publish":{}}`)
	bob.send(`{"id":6,"subscribe":{"channel":"room","recover":true,"epoch":"e1","offset":1}}`)
	bob.expect(`{"id":6,"subscribe":{"recoverable":true,"epoch":"e1","recovered":true,"offset":1,"positioned":true,"was_recovering":true,` +
		`"publications":[{"data":2,"info":{"user":"alice","client":"` + a + `"},"offset":2}]}}`)
	bob.send(`{"id":7,"history":{"channel":"room","limit":-1,"since":{"epoch":"e1","offset":2}}}`)
	bob.expect(`{"id":7,"history":{"publications":[],"epoch":"e1","offset":2}}`)
	bob.send(`{"id":8,"history":{"channel":"room","limit":1,"since":{"epoch":"other","offset":2}}}`)
	bob.expect(`{"id":8,"error":{"code":112,"message":"unrecoverable position"}}`)
}

func TestUnrecoveredIsRefusedOnARealHub(t *testing.T) {
	h := newHouse(t)
	p, _ := h.connect("alice")
	p.send(`{"id":2,"subscribe":{"channel":"room","recover":true,"epoch":"other","offset":1,"flag":2}}`)
	p.expect(`{"id":2,"error":{"code":112,"message":"unrecoverable position"}}`)
	p.send(`{"id":3,"publish":{"channel":"room","data":1}}`)
	p.expect(`{"id":3,"publish":{}}`) // and no push: there is no subscription
	p.send(`{"id":4,"subscribe":{"channel":"room"}}`)
	p.expect(`{"id":4,"subscribe":{"recoverable":true,"epoch":"e1","offset":1,"positioned":true}}`)
}

func TestTokensOnARealHub(t *testing.T) {
	h := newHouse(t)
	p := h.dial()
	p.send(`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"room"}}`)
	p.expect(`{"id":1,"error":{"code":101,"message":"unauthorized"}}`)
	p = h.dial()
	p.send(`{"id":1,"connect":{"token":"old"}}`)
	p.expect(`{"id":1,"error":{"code":109,"message":"token expired"}}`)
	p = h.dial()
	p.send(`{"id":1,"connect":{"token":"forged"}}`)
	p.expectEnd(hub.DisconnectInvalidToken)
	p, _ = h.connect("alice")
	p.send(`{"id":2,"subscribe":{"channel":"room","token":"x"}}`)
	p.expect(`{"id":2,"error":{"code":103,"message":"permission denied"}}`)
	p.send(`{"id":3,"refresh":{"token":"bob"}}`)
	p.expectEnd(hub.DisconnectInvalidToken)
}

func TestServerSideOnARealHub(t *testing.T) {
	h := newHouse(t)
	p, id := h.connect("alice")
	p.send(`{"id":2,"publish":{"channel":"news","data":1}}`)
	p.expect(`{"id":2,"publish":{}}`)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	alice := hub.Target{App: channel.DefaultApp, User: "alice"}
	opts := engine.SubscribeOptions{Data: []byte(`{"why":1}`)}
	if err := h.hub.Subscribe(ctx, alice, "news", opts); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"push":{"channel":"news","subscribe":{"recoverable":true,"epoch":"e1","offset":1,"positioned":true,"data":{"why":1}}}}`)
	p.expect(`{"push":{"channel":"news","join":{"info":{"user":"alice","client":"` + id + `"}}}}`)
	if err := h.hub.Unsubscribe(ctx, alice, "news"); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
	if err := h.hub.Disconnect(ctx, alice, hub.DisconnectForced); err != nil {
		t.Fatal(err)
	}
	p.expectEnd(hub.DisconnectForced)
}

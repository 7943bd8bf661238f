package hub

import (
	"math"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Authenticator verifies tokens and never waits. Errors: channel.ErrTokenInvalid,
// channel.ErrTokenExpired, channel.ErrTokenKeys.
type Authenticator interface {
	Connection(token string) (*channel.Identity, error)
	Subscription(token string) (*channel.SubscriptionGrant, error)
}

// ConnectRequest is what a client says of itself.
type ConnectRequest struct {
	Token   string
	Name    string // of the SDK, for logs
	Version string
	Data    []byte // for the backend; nil: none
	Binary  bool   // Data is not JSON
	// Headers are what a client says where it cannot send headers: nothing that
	// anybody before the server has seen.
	Headers map[string]string

	// Subs is what the client says of subscriptions that come with the connect, by
	// channel: where it stands on those that its identity brings. With Ask it is
	// subscribed to the others too, as by Subscribe.
	Subs map[string]SubscribeRequest
	Ask  bool

	Vouched bool // the protocol lets the client in by means of its own: without a token it is nobody yet

	OneWay bool          // the client cannot answer: pings are sent, pongs not expected
	PingIn time.Duration // until the first ping; 0: any time within the hub's interval

	made map[string]*AnswerSub // what the backend says of channels that the identity brings
}

// ConnectResult answers it.
type ConnectResult struct {
	Client   string // the session's id
	Expires  bool
	ExpireIn uint32 // seconds
	Ping     uint32 // seconds between the server's pings
	Pong     bool   // the server expects an answer to them
	Subs     []SubscribeResult
	Data     []byte // JSON from the backend
}

// Session is one connected client. Every method runs on its shard's goroutine,
// and so does every done function, possibly before the method returns; once the
// session has ended, a done function may not be called at all.
type Session struct {
	// A delivery looks at these, one cache line of them.

	shard     *Shard // fixed after Open, as tenant, conn and enc
	tenant    *tenant
	conn      Conn
	enc       *Encoding
	out       *outbox // nil while there is nothing to send
	connected bool
	ended     bool  // disconnected: nothing more is sent
	dirty     bool  // in shard.dirty
	blocked   bool  // the connection takes no bytes
	paused    bool  // the connection delivers no messages
	oneWay    bool  // the client cannot answer a ping
	emulated  bool  // what the client says comes through Hub.Emulate
	marks     mark  // of what few sessions are
	pending   int32 // commands waiting for the engine
	place     int32 // in shard.sessions

	// State is the protocol's own.
	State any

	// Fixed after Connect.
	id       uuid.UUID
	identity *channel.Identity
	info     *engine.ClientInfo // made when first needed

	subs     []*subscription
	timer    timer
	nextPing int64 // Unix ms
	pongBy   int64 // 0: no ping is unanswered
	expireAt int64 // Unix ms, 0: never; before Connect: the connect deadline
}

// mark is a set of what few sessions are; bits, because a session has no room left
// for a bool.
type mark uint8

const (
	online   mark = 1 << iota // it has signed in, and who watches the user has been told
	watching                  // it is in shard.watches
	vouched                   // the backend has said who it is
)

func (s *Session) is(m mark) bool { return s.marks&m != 0 }

// Open creates the session of a connection that Enter took a place for; on the
// shard's goroutine. hello is what the transport's request said to the protocol,
// in a form of the protocol's own; it is State until the protocol's Open. Greet
// adds what backends are told.
func (p Place) Open(c Conn, e *Encoding, hello any) *Session {
	sh := p.Shard
	s := &Session{shard: sh, tenant: p.tenant, conn: c, enc: e, State: hello}
	if p.peer.IsValid() {
		if sh.peers == nil {
			sh.peers = make(map[*Session]netip.Addr)
		}
		sh.peers[s] = p.peer
	}
	if g, ok := hello.(*Greeting); ok {
		s.State = g.Hello
		s.backing().header = g.Header
	}
	s.place = int32(len(sh.sessions))
	sh.sessions = append(sh.sessions, s)
	sh.hub.count.Opened.Inc()
	e.open.Add(1)
	s.expireAt = sh.now + sh.hub.cfg.ConnectTimeout.Milliseconds()
	s.arm()
	e.Protocol.Open(s)
	switch {
	case sh.hub.draining.Load():
		s.Disconnect(DisconnectShutdown)
	case p.tenant.removed.Load():
		s.Disconnect(DisconnectForced)
	}
	return s
}

// ID is the session's id, a UUID; "" before Connect has succeeded.
func (s *Session) ID() string {
	if !s.connected {
		return ""
	}
	return s.id.String()
}

// App names the App that the session was opened for, which no change of keys alters.
func (s *Session) App() string { return s.tenant.name }

// Connected reports whether Connect has succeeded.
func (s *Session) Connected() bool { return s.connected }

// Alive reports whether the session still exists: not disconnected, not closed.
func (s *Session) Alive() bool { return !s.ended }

// Connect makes the session live. Errors: ErrUnauthorized (no token and
// anonymous clients are not allowed), channel.ErrTokenInvalid,
// channel.ErrTokenExpired, ErrBadRequest (connected already); of the connect hook,
// which is asked about clients without a token, *BackendError, ErrExpired and
// ErrNoAnswer. A session that is one too many of its App (3013) or user (3504) ends.
func (s *Session) Connect(r ConnectRequest, done func(ConnectResult, error)) {
	h := s.shard.hub
	if b := s.shard.backings[s]; s.connected || b != nil && b.connecting {
		done(ConnectResult{}, ErrBadRequest)
		return
	}
	if err := s.heed(r.Headers); err != nil {
		done(ConnectResult{}, err)
		return
	}
	s.id = uuid.New()
	if h.asked.connect && r.Token == "" && !r.Vouched {
		s.askConnect(&r, done)
		return
	}
	identity, err := s.tenant.identify(&r)
	if err != nil {
		h.count.token.Inc()
		h.log.Debug("connect refused", "remote", s.conn.Remote(), "sdk", r.Name, "error", err)
		done(ConnectResult{}, err)
		return
	}
	s.enter(identity, &r, done)
}

// enter makes the session live.
func (s *Session) enter(identity *channel.Identity, r *ConnectRequest, done func(ConnectResult, error)) {
	h := s.shard.hub
	if !h.asked.later() {
		delete(s.shard.backings, s)
	}
	s.identity = identity
	if d, ok := s.mayConnect(); !ok {
		s.Disconnect(d)
		return
	}
	s.connected = true
	s.expireAt = unixMilli(identity.ExpireAt)
	s.oneWay = r.OneWay
	h.count.Connects.Inc()
	s.tell(TellConnected, Disconnect{})
	s.joinAll(r, func(res ConnectResult, err error) {
		s.firstPing(r.PingIn)
		done(res, err)
	})
}

func (s *Session) connectResult() ConnectResult {
	cfg := &s.shard.hub.cfg
	r := ConnectResult{Client: s.ID(), Ping: uint32(cfg.PingInterval / time.Second), Pong: !s.oneWay}
	if !s.prolonged() {
		r.ExpireIn = s.expiresIn(s.expireAt)
	}
	r.Expires = r.ExpireIn > 0
	return r
}

// expiresIn is the time left in whole seconds, at least one; 0: for ever. More than
// the protocols have room for is as much as they have.
func (s *Session) expiresIn(at int64) uint32 {
	if at == 0 {
		return 0
	}
	return uint32(min(max((at-s.shard.now)/1000, 1), math.MaxUint32))
}

// Refresh replaces the identity's expiry by that of a new token of the same
// user. Errors: channel.ErrTokenInvalid (also for another user's),
// channel.ErrTokenExpired.
func (s *Session) Refresh(token string, done func(ConnectResult, error)) {
	identity, err := s.tenant.authenticate(token)
	if err == nil && identity.User != s.identity.User {
		err = channel.ErrTokenInvalid
	}
	if err != nil {
		s.shard.hub.count.token.Inc()
		done(ConnectResult{}, err)
		return
	}
	s.expireAt = unixMilli(identity.ExpireAt)
	s.arm()
	done(s.connectResult(), nil)
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// clientInfo is what others see of the session.
func (s *Session) clientInfo() *engine.ClientInfo {
	if s.info == nil {
		s.info = &engine.ClientInfo{User: s.identity.User, Client: s.ID(), ConnInfo: s.identity.Info}
	}
	return s.info
}

// Send queues one message for this session alone. payload is copied.
func (s *Session) Send(payload []byte) {
	if s.ended {
		return
	}
	frame := make([]byte, 0, len(payload)+maxFrameOverhead)
	s.enqueue(s.enc.Framing.AppendFrame(frame, payload))
}

// SendFrame queues bytes that are framed already: what the transport itself has
// to say between messages. frame is kept.
func (s *Session) SendFrame(frame []byte) { s.enqueue(frame) }

// Conn is the session's connection, for its transport.
func (s *Session) Conn() Conn { return s.conn }

// Post runs fn on the session's shard, later; any goroutine may call it.
func (s *Session) Post(fn func()) { s.shard.Post(fn) }

// Receive hands the session one whole message; msg is valid during the call.
// Called by the transport.
func (s *Session) Receive(msg []byte) {
	if s.ended {
		return
	}
	s.shard.hub.count.ReceivedBytes.Add(uint64(len(msg)))
	if !s.Heard(len(msg)) {
		return
	}
	s.enc.Protocol.Receive(s, msg)
}

// begin counts a command that waits for the engine. A session with too many of
// them is not read from until some are answered.
func (s *Session) begin() {
	s.pending++
	if int(s.pending) >= s.shard.hub.cfg.MaxPending && !s.paused && !s.ended {
		s.paused = true
		s.conn.Pause()
	}
}

func (s *Session) finish() {
	s.pending--
	if s.paused && !s.ended && int(s.pending) <= s.shard.hub.cfg.MaxPending/2 {
		s.paused = false
		s.conn.Resume()
		if s.emulated {
			s.shard.hub.emulated.goOn(s)
		}
	}
}

// Disconnect ends the session: it leaves every table at once, what is in its
// outbox is sent as far as the connection takes it, and then it is told why.
func (s *Session) Disconnect(d Disconnect) {
	if s.ended {
		return
	}
	s.flush()
	if s.ended { // the flush found the connection broken
		return
	}
	var rest []byte
	if s.out != nil && s.out.head > 0 {
		rest = s.out.frames[0].bytes[s.out.head:]
	}
	s.end(d)
	s.shard.wheel.arm(s, s.shard.now+closeTimeout.Milliseconds())
	if s.enc.parting != nil {
		d = s.enc.parting.Farewell(d)
	}
	s.conn.Close(rest, d)
}

// closeTimeout is how long a peer may take to answer the goodbye.
const closeTimeout = 5 * time.Second

// Closed says that the connection is gone; called by the transport, once, the
// last of all.
func (s *Session) Closed(err error) {
	if err != nil {
		s.shard.hub.log.Debug("connection lost", "remote", s.conn.Remote(), "error", err)
	}
	s.end(DisconnectClosed)
	s.shard.forget(s)
	s.shard.wheel.disarm(s)
	s.enc.open.Add(-1)
	s.giveBack()
}

// end takes the session out of every table; harmless when it has ended.
func (s *Session) end(d Disconnect) {
	if s.ended {
		return
	}
	s.ended = true
	s.shard.wheel.disarm(s)
	for len(s.subs) > 0 {
		s.removeSubscription(s.subs[len(s.subs)-1])
	}
	if s.connected {
		s.leaveUser()
		s.leaveApp()
	}
	s.tell(TellDisconnected, d)
	s.signOut()
	if s.emulated {
		s.shard.hub.emulated.remove(s)
	}
	delete(s.shard.joining, s)
	delete(s.shard.backings, s)
	delete(s.shard.unsent, s)
	s.out = nil // not kept for re-use: it may hold frames
	s.shard.hub.count.Disconnects.Of(d.Code).Inc()
}

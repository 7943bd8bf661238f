package hub

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Authenticator verifies tokens. Errors: channel.ErrTokenInvalid,
// channel.ErrTokenExpired.
type Authenticator interface {
	Connection(token string) (*channel.Identity, error)
	Subscription(token string) (*channel.SubscriptionGrant, error)
}

// ConnectRequest is what a client says of itself.
type ConnectRequest struct {
	Token   string
	Name    string // of the SDK, for logs
	Version string
}

// ConnectResult answers it.
type ConnectResult struct {
	Client   string // the session's id
	ExpireIn uint32 // seconds; 0: never
	Expires  bool
	Ping     uint32 // seconds between the server's pings
	Pong     bool   // the server expects an answer to them
}

// ClientPublish is a publication from a client.
type ClientPublish struct {
	Channel string
	Data    []byte
	Binary  bool
	Event   string
	Tags    map[string]string
}

// Session is one connected client. Every method runs on its shard's goroutine,
// and so does every done function, possibly before the method returns.
type Session struct {
	// State is the protocol's own.
	State any
}

// ID is the session's id, a UUID; "" before Connect has succeeded.
func (s *Session) ID() string { panic("todo") }

// Connected reports whether Connect has succeeded.
func (s *Session) Connected() bool { panic("todo") }

// Connect makes the session live. Errors: ErrUnauthorized (no token and
// anonymous clients are not allowed), channel.ErrTokenInvalid, ErrTokenExpired,
// ErrBadRequest (connected already).
func (s *Session) Connect(r ConnectRequest, done func(ConnectResult, error)) { panic("todo") }

// Refresh replaces the identity's expiry by that of a new token of the same user.
func (s *Session) Refresh(token string, done func(ConnectResult, error)) { panic("todo") }

// Subscribe registers the session on a channel. done is called before the first
// live publication is sent.
func (s *Session) Subscribe(r SubscribeRequest, done func(SubscribeResult, error)) { panic("todo") }

// SubRefresh replaces a subscription's expiry by that of a new token.
func (s *Session) SubRefresh(ch, token string, done func(expireIn uint32, err error)) { panic("todo") }

// Unsubscribe ends a subscription. Unsubscribing from a channel that the session
// has no subscription on does nothing.
func (s *Session) Unsubscribe(ch string) { panic("todo") }

// Publish publishes for the client.
func (s *Session) Publish(p ClientPublish, done func(engine.PublishResult, error)) { panic("todo") }

// History reads for the client.
func (s *Session) History(ch string, q HistoryQuery, done func(engine.HistoryResult, error)) {
	panic("todo")
}

// Presence lists who is subscribed.
func (s *Session) Presence(ch string, done func(engine.Members, error)) { panic("todo") }

// PresenceStats counts who is subscribed.
func (s *Session) PresenceStats(ch string, done func(engine.PresenceStats, error)) { panic("todo") }

// Pong says that the client has answered a ping.
func (s *Session) Pong() { panic("todo") }

// Send queues one message for this session alone. payload is copied.
func (s *Session) Send(payload []byte) { panic("todo") }

// Disconnect ends the session. Nothing is sent to it afterwards.
func (s *Session) Disconnect(d Disconnect) { panic("todo") }

// Alive reports whether the session still exists: not disconnected, not closed.
func (s *Session) Alive() bool { panic("todo") }

// What follows is called by the transport.

// Receive hands the session one whole message; msg is valid during the call.
func (s *Session) Receive(msg []byte) { panic("todo") }

// Writable says that the connection takes bytes again.
func (s *Session) Writable() { panic("todo") }

// Closed says that the connection is gone; called once, the last of all.
func (s *Session) Closed(err error) { panic("todo") }

// Encoding is a protocol put on the wire in one framing; what is encoded for one
// session serves every session with the same Encoding.
type Encoding struct {
	Protocol Protocol
	Framing  Framing
	index    int
}

// Shard is a part of the hub that runs on one goroutine.
type Shard struct{}

// Post runs fn on the shard's goroutine, in order. It never blocks; any
// goroutine may call it.
func (sh *Shard) Post(fn func()) { panic("todo") }

// Open creates the session of a new connection; on the shard's goroutine.
func (sh *Shard) Open(c Conn, e *Encoding) *Session { panic("todo") }

// Hub is every shard together.
type Hub struct{}

// NewEncoding registers a protocol in a framing; before the first session.
func (h *Hub) NewEncoding(p Protocol, f Framing) *Encoding { panic("todo") }

// Pick names the shard for a new connection. Error: ErrShutdown, ErrLimitExceeded
// (connections); a transport answers 503 to both.
func (h *Hub) Pick() (*Shard, error) { panic("todo") }

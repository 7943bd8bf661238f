package pusher

import (
	"log/slog"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/limit"
)

// Config is what a Protocol is made of. Keys is required.
type Config struct {
	Keys Keys
	Log  *slog.Logger
	// Count is told of every message that was answered, by method and error code;
	// 0: no error. It is called on any shard and must not block.
	Count func(method string, code uint32)
	// Tell is told what a backend may want to know; nil: nobody wants to.
	Tell Teller

	ClientEvents      bool          // subscribers of private and presence channels may send client events
	SubscriptionCount bool          // subscribers are told how many they are
	ActivityTimeout   time.Duration // whole seconds; 0: DefaultActivityTimeout
	EventRate         int           // client events of one session in a second; 0: DefaultEventRate
	MaxData           int           // bytes of one client event's data; 0: DefaultMaxData
	Now               func() time.Time
}

// Keys knows the keys of Apps, of which clients know the public part. Its methods
// may be called from any goroutine and must not wait.
type Keys interface {
	// App is whose a key is; false: no App has it.
	App(key string) (app string, known bool)
	// Signed reports whether signature is that of text by a secret of the key, in a
	// time that does not tell how much of it is right.
	Signed(key, text, signature string) bool
}

// Teller passes on what happened to a backend. Its methods are called on any
// shard and must not block; data is not kept.
type Teller interface {
	// ClientEvent says that a client event was published; user is "" outside
	// presence channels.
	ClientEvent(ch channel.ID, event string, data []byte, socketID, user string)
	// CacheMiss says that a subscriber found nothing on a cache channel.
	CacheMiss(ch channel.ID)
}

// Protocol implements hub.Protocol. One value serves every session.
type Protocol struct {
	cfg     Config
	rate    limit.Rate // of client events: as many at once as in a second
	started time.Time
}

var (
	_ hub.Protocol = (*Protocol)(nil)
	_ hub.Parting  = (*Protocol)(nil)
)

// New makes the protocol.
func New(cfg Config) *Protocol {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Count == nil {
		cfg.Count = func(string, uint32) {}
	}
	if cfg.Tell == nil {
		cfg.Tell = nobody{}
	}
	if cfg.ActivityTimeout == 0 {
		cfg.ActivityTimeout = DefaultActivityTimeout
	}
	if cfg.EventRate == 0 {
		cfg.EventRate = DefaultEventRate
	}
	if cfg.MaxData == 0 {
		cfg.MaxData = DefaultMaxData
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Protocol{cfg: cfg, rate: limit.NewRate(int64(cfg.EventRate), time.Second, 1), started: cfg.Now()}
}

type nobody struct{}

func (nobody) ClientEvent(channel.ID, string, []byte, string, string) {}
func (nobody) CacheMiss(channel.ID)                                   {}

// Hello is what a request says of the client: the State of a session before
// Open.
type Hello struct {
	Key      string
	Protocol string
	Client   string
	Version  string
}

// Name implements hub.Protocol.
func (*Protocol) Name() string { return "pusher" }

// Open implements hub.Protocol.
func (p *Protocol) Open(s *hub.Session) {
	hello, _ := s.State.(Hello)
	c := &client{p: p, s: s}
	s.State = c
	c.open(hello)
}

// of is what Open has made of a session.
func of(s *hub.Session) *client {
	c, _ := s.State.(*client)
	return c
}

// Receive implements hub.Protocol.
func (*Protocol) Receive(s *hub.Session, msg []byte) { of(s).receive(msg) }

// Ping implements hub.Protocol.
func (*Protocol) Ping(s *hub.Session) { of(s).ping() }

// Tell implements hub.Protocol.
func (*Protocol) Tell(s *hub.Session, n hub.Notice) { of(s).tell(n) }

// Farewell implements hub.Parting.
func (*Protocol) Farewell(d hub.Disconnect) hub.Disconnect { return farewell(d) }

// Append implements hub.Protocol.
func (*Protocol) Append(dst []byte, e *hub.Event) []byte {
	switch e.Kind {
	case hub.EventPublication:
		return appendPublication(dst, e.Channel, e.Publication)
	case hub.EventJoin:
		return appendMember(dst, eventMemberAdded, e.Channel, e.Info)
	case hub.EventLeave:
		return appendMember(dst, eventMemberRemoved, e.Channel, e.Info)
	case hub.EventCount:
		return appendCount(dst, e.Channel, e.Count)
	case hub.EventOnline:
		return appendWatchlist(dst, "online", []string{e.Info.User})
	case hub.EventOffline:
		return appendWatchlist(dst, "offline", []string{e.Info.User})
	}
	return dst
}

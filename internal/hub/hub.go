package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// Config is what a Hub is made of. Engine, Namespaces and Auth are required;
// zero values of the rest take the defaults of the constants below.
type Config struct {
	Engine     engine.Engine
	Namespaces *channel.Namespaces
	Auth       Authenticator
	Log        *slog.Logger
	App        string // the App that is always there, and whose Namespaces, Auth and AllowAnonymous these are
	Node       Node
	Metrics    *metrics.Metrics // nil: counted, but shown to nobody
	Observer   Observer         // nil: nobody looks
	Backend    Backend          // nil: none is asked

	Shards  int               // 0: GOMAXPROCS; at most MaxShards
	NewLoop func(*Shard) Loop // nil: NewGoLoop

	AllowAnonymous bool
	TellCounts     bool          // subscribers who asked for it are told how many they are
	PingInterval   time.Duration // between the server's pings
	PongTimeout    time.Duration // until a ping must be answered
	ConnectTimeout time.Duration // until a new connection must have connected
	OutboxMax      int           // bytes; beyond them a session is disconnected with 3008
	MaxSessions    int           // 0: unlimited
	MaxChannels    int           // subscriptions per session
	MaxPending     int           // commands of one session in flight; then reading pauses
	MaxData        int           // bytes of one publication's data
	PublishWait    time.Duration // how long a publication waits at a full gate
	PublishQueue   int64         // cost at which the gate is full
	RecoveryLimit  int           // publications in one page of a recovery
	RecoveryBytes  int           // and their bytes
	RecoveryMax    int           // publications that all pages of one recovery bring
	HistoryLimit   int           // publications in one page of history
	HistoryBytes   int           // and their bytes

	Limits Limits
	Taken  func(app string) int64 // bytes of history on disk that an App has, as Publish goes by; nil: nothing is kept here
}

// Node names this process.
type Node struct {
	UID     string
	Name    string
	Version string
}

// Defaults of Config.
const (
	DefaultPingInterval   = 25 * time.Second
	DefaultPongTimeout    = 8 * time.Second
	DefaultConnectTimeout = 10 * time.Second
	DefaultOutboxMax      = 1 << 20
	DefaultMaxChannels    = 128
	DefaultMaxPending     = 64
	DefaultMaxData        = 256 << 10
	DefaultPublishWait    = time.Second
	DefaultPublishQueue   = 64 << 20
	DefaultRecoveryLimit  = 1000
	DefaultRecoveryBytes  = 512 << 10
	DefaultRecoveryMax    = 100_000
	DefaultHistoryLimit   = 1000
	DefaultHistoryBytes   = 1 << 20
)

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *Config) setDefaults() {
	orDefault(&c.App, channel.DefaultApp)
	orDefault(&c.Shards, min(runtime.GOMAXPROCS(0), MaxShards))
	orDefault(&c.PingInterval, DefaultPingInterval)
	orDefault(&c.PongTimeout, DefaultPongTimeout)
	orDefault(&c.ConnectTimeout, DefaultConnectTimeout)
	orDefault(&c.OutboxMax, DefaultOutboxMax)
	orDefault(&c.MaxChannels, DefaultMaxChannels)
	orDefault(&c.MaxPending, DefaultMaxPending)
	orDefault(&c.MaxData, DefaultMaxData)
	orDefault(&c.PublishWait, DefaultPublishWait)
	orDefault(&c.PublishQueue, DefaultPublishQueue)
	orDefault(&c.RecoveryLimit, DefaultRecoveryLimit)
	orDefault(&c.RecoveryBytes, min(DefaultRecoveryBytes, c.OutboxMax/2))
	orDefault(&c.RecoveryMax, DefaultRecoveryMax)
	orDefault(&c.HistoryLimit, DefaultHistoryLimit)
	orDefault(&c.HistoryBytes, min(DefaultHistoryBytes, c.OutboxMax))
	if c.Metrics == nil {
		c.Metrics = metrics.New(c.Node.Version)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Taken == nil {
		c.Taken = func(string) int64 { return 0 }
	}
	if c.NewLoop == nil {
		c.NewLoop = NewGoLoop
	}
}

func (c *Config) check() error {
	switch {
	case c.Engine == nil || c.Namespaces == nil || c.Auth == nil:
		return errors.New("hub: Engine, Namespaces and Auth are required")
	case c.Shards < 1 || c.Shards > MaxShards:
		return fmt.Errorf("hub: %d shards, 1 to %d are possible", c.Shards, MaxShards)
	case c.PongTimeout >= c.PingInterval:
		return fmt.Errorf("hub: pong timeout %s must be shorter than the ping interval %s", c.PongTimeout, c.PingInterval)
	}
	return nil
}

// Hub is every shard together.
type Hub struct {
	cfg      Config
	log      *slog.Logger
	engine   engine.Engine
	gate     *gate
	topics   *topics
	users    *directory
	emulated *emulated
	audience audience
	members  members
	relays   relays
	limits   *limits
	shards   []*Shard
	started  time.Time
	count    counters
	asked    asked

	told    TellKinds // what the Observer wants
	tenants atomic.Pointer[map[string]*tenant]

	next     atomic.Uint32 // for Any
	open     atomic.Int64  // connections, those under way included
	guests   atomic.Int64  // of them, those that will not be sessions
	leaving  atomic.Bool   // no new connections
	draining atomic.Bool   // nor anything else

	mu        sync.Mutex
	encodings []*Encoding
	protocols int           // different ones among encodings
	empty     chan struct{} // closed when draining and open is 0
}

// New makes a hub and starts its shards; it becomes the engine's Follower.
func New(cfg Config) (*Hub, error) {
	cfg.setDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	h := &Hub{
		cfg:      cfg,
		log:      cfg.Log,
		engine:   cfg.Engine,
		count:    newCounters(cfg.Metrics),
		topics:   newTopics(cfg.Shards),
		users:    newDirectory(),
		emulated: newEmulated(),
		limits:   newLimits(&cfg),
		started:  time.Now(),
		asked:    newAsked(cfg.Backend),

		empty: make(chan struct{}),
	}
	h.members.m = make(map[Member]int)
	h.tenants.Store(&map[string]*tenant{})
	h.SetApp(App{Name: cfg.App, Namespaces: cfg.Namespaces, Auth: cfg.Auth, AllowAnonymous: cfg.AllowAnonymous})
	if cfg.Observer != nil {
		h.told = cfg.Observer.Wants()
	}
	h.gate = &gate{
		limit: cfg.PublishQueue, wait: cfg.PublishWait,
		timedOut: h.count.publishWait, lineFull: h.count.publishQueueFull,
	}
	cfg.Metrics.Users.Bind(func() int64 { return int64(h.users.users()) })
	cfg.Metrics.Channels.Bind(func() int64 { return int64(h.topics.totals().channels) })
	cfg.Metrics.Subscriptions.Bind(func() int64 { return int64(h.topics.totals().subscriptions) })
	for i := range cfg.Shards {
		now := time.Now().UnixMilli()
		h.shards = append(h.shards, &Shard{
			hub: h, index: i, now: now,
			joining: make(map[*Session]*joining),
			unsent:  make(map[*Session][]func()),
			wheel:   newWheel(now),
			scratch: make([]byte, 0, scratchSize),
		})
	}
	for _, sh := range h.shards {
		sh.loop = cfg.NewLoop(sh)
	}
	cfg.Engine.Attach(h)
	return h, nil
}

// NewEncoding registers a protocol in a framing; before the first session. via
// is what its sessions are counted by.
func (h *Hub) NewEncoding(p Protocol, f Framing, via metrics.Via) *Encoding {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &Encoding{Protocol: p, Framing: f, index: len(h.encodings), protocol: h.protocols, open: h.count.Open[via], transport: string(via.Transport)}
	e.personal, _ = p.(Personal)
	e.parting, _ = p.(Parting)
	for _, known := range h.encodings {
		if known.Protocol == p {
			e.protocol = known.protocol
		}
	}
	if e.protocol == h.protocols {
		h.protocols++
	}
	if e.open == nil {
		e.open = new(metrics.Gauge)
	}
	h.encodings = append(h.encodings, e)
	return e
}

// pick names the shard for a new connection and counts it in, until release. The
// peer is named if the node is full. Errors: ErrShutdown (if the node leaves),
// ErrLimitExceeded (connections).
func (h *Hub) pick(peer netip.Addr, leaves bool) (*Shard, error) {
	open := h.open.Add(1)
	switch {
	case leaves:
		h.release()
		h.count.shutdown.Inc()
		return nil, ErrShutdown
	case h.cfg.MaxSessions > 0 && open > int64(h.cfg.MaxSessions):
		h.release()
		h.limits.node.Refused(h.passed(time.Now()), peer.String())
		return nil, ErrLimitExceeded
	}
	return h.Any(), nil
}

// Any names a shard for a connection that will not be a session.
func (h *Hub) Any() *Shard { return h.shards[int(h.next.Add(1))%len(h.shards)] }

// release gives back what pick took.
func (h *Hub) release() {
	h.open.Add(-1)
	h.closeIfEmpty()
}

// Shutdown refuses new connections and publications, disconnects every session
// with DisconnectShutdown, waits for them to be gone or ctx to end, and stops
// the shards. The engine is the caller's to close afterwards.
func (h *Hub) Shutdown(ctx context.Context) error {
	if h.draining.Swap(true) {
		return ErrShutdown
	}
	h.gate.close()
	for _, sh := range h.shards {
		sh.Post(func() {
			for _, s := range slices.Clone(sh.sessions) {
				s.Disconnect(DisconnectShutdown)
			}
			for g := range sh.guests {
				sh.dismiss(g)
			}
		})
	}
	h.closeIfEmpty()
	var err error
	select {
	case <-h.empty:
	case <-ctx.Done():
		err = fmt.Errorf("hub: %d connections were still closing: %w", h.open.Load(), ctx.Err())
	}
	for _, sh := range h.shards {
		sh.loop.Stop()
	}
	h.audience.stop()
	return err
}

func (h *Hub) closeIfEmpty() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining.Load() && h.open.Load() == 0 {
		select {
		case <-h.empty:
		default:
			close(h.empty)
		}
	}
}

// Draining reports whether Shutdown has begun.
func (h *Hub) Draining() bool { return h.draining.Load() }

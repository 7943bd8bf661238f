package webhook

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// The names of events: those of Pusher, and those of sessions and publications.
const (
	ChannelOccupied   = "channel_occupied"
	ChannelVacated    = "channel_vacated"
	MemberAdded       = "member_added"
	MemberRemoved     = "member_removed"
	ClientEvent       = "client_event"
	CacheMiss         = "cache_miss"
	SubscriptionCount = "subscription_count"

	Connected    = "connected"
	Disconnected = "disconnected"
	Subscribed   = "subscribed"
	Unsubscribed = "unsubscribed"
	Published    = "published"
)

// PusherNames lists the events of Pusher Channels, which are told unless others
// are named.
func PusherNames() []string {
	return []string{ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved, ClientEvent, CacheMiss, SubscriptionCount}
}

// Names lists the events that can be told.
func Names() []string {
	return append(PusherNames(), Connected, Disconnected, Subscribed, Unsubscribed, Published)
}

// Event is what is told ("Webhooks" of pusher.com/docs/channels).
type Event struct {
	Name              string  `json:"name"`
	Channel           string  `json:"channel,omitempty"`
	UserID            string  `json:"user_id,omitempty"`
	Event             string  `json:"event,omitempty"`
	Data              *string `json:"data,omitempty"`
	SocketID          string  `json:"socket_id,omitempty"`
	SubscriptionCount int     `json:"subscription_count,omitempty"`

	// Of sessions and publications.

	Client string `json:"client,omitempty"` // the session's id; of a publication, who published
	User   string `json:"user,omitempty"`
	Code   uint32 `json:"code,omitempty"` // of a disconnect, as in docs/codes.md
	Reason string `json:"reason,omitempty"`
	Epoch  string `json:"epoch,omitempty"` // of a publication that is stored
	Offset uint64 `json:"offset,omitempty"`
}

// Log keeps what is to be told; an engine is one.
type Log interface {
	engine.Publisher
	engine.Historian
}

// Config is what a Dispatcher is made of. URLs, Key, Secret, Log, Subscribers and
// IsMember are required.
type Config struct {
	App         string // whose channels are told of; "": channel.DefaultApp
	Key, Secret string
	URLs        []string
	Events      []string // those that are told; none: PusherNames
	Log         Log
	Subscribers func(channel.ID) int    // how many a channel has now, on all nodes
	IsMember    func(m hub.Member) bool // on any node
	// Everyone calls with every channel that has subscribers and every member, on any
	// node; nil: there are none at first.
	Everyone  func(occupied func(channel.ID), member func(hub.Member))
	Logger    *slog.Logger
	Metrics   *metrics.Metrics
	Transport http.RoundTripper // see egress; nil: http.DefaultTransport, which goes anywhere

	// Node is the id of this process among all there ever were; "": one is made up.
	Node string
	// Cluster is what the node is one of several in; nil: it is alone.
	Cluster Cluster

	Debounce time.Duration // how long a channel or a user must be gone to be told of
	Timeout  time.Duration // of one call
	RetryFor time.Duration // how long a call is tried again
	MaxQueue int           // events that are kept; beyond it the oldest are dropped
}

// Cluster is what a Dispatcher knows of other nodes; an engine is one.
type Cluster interface {
	Owner(key string) (node string, mine bool)
	Alive() []string
	Status() engine.Status
}

// maxNoted bounds what has happened and is not yet in the queue.
const maxNoted = 100_000

// Dispatcher takes note of what happens and has it told.
type Dispatcher struct {
	cfg     Config
	log     *slog.Logger
	want    map[string]bool
	started time.Time

	mu      sync.Mutex
	changed map[channel.ID]struct{}
	moved   map[hub.Member]struct{}
	noted   []Event
	wake    chan struct{}

	// Of the goroutine that looks.
	out  outbox
	term *term // nil: another node tells

	closing chan context.Context // by when what has happened must be in the queue
	looks   sync.WaitGroup
}

// New makes a Dispatcher, which takes note of what happens from the beginning.
func New(cfg Config) *Dispatcher {
	if cfg.App == "" {
		cfg.App = channel.DefaultApp
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New("")
	}
	if len(cfg.Events) == 0 {
		cfg.Events = PusherNames()
	}
	if cfg.Node == "" {
		cfg.Node = rand.Text()
	}
	d := &Dispatcher{
		cfg: cfg, log: cfg.Logger, want: make(map[string]bool), wake: make(chan struct{}, 1),
		closing: make(chan context.Context, 1),
	}
	for _, name := range cfg.Events {
		d.want[name] = true
	}
	return d
}

// Start begins to tell, once the hub is there and the engine attached to it; called
// once. Where the queue cannot be read yet, it is tried again until it can.
func (d *Dispatcher) Start() {
	d.started = time.Now()
	d.looks.Go(d.run)
}

// Close takes note of what has happened so far, and returns once it is in the
// queue and no call is under way; a call that is not answered when ctx ends is
// repeated after the next start or by another node, and so is told what is still in
// the queue. What is not in the queue when ctx ends is lost, and counted. The hub is
// shut down before, the engine closed afterwards.
func (d *Dispatcher) Close(ctx context.Context) {
	d.closing <- ctx
	d.looks.Wait()
}

// Changed implements hub.Observer.
func (d *Dispatcher) Changed(ch channel.ID) {
	if ch.App != d.cfg.App || channel.KindOf(ch.Name).Has(channel.KindUser) {
		return
	}
	d.mu.Lock()
	if d.changed == nil {
		d.changed = make(map[channel.ID]struct{})
	}
	d.changed[ch] = struct{}{}
	d.mu.Unlock()
	d.nudge()
}

// Member implements hub.Observer.
func (d *Dispatcher) Member(m hub.Member) {
	if m.Channel.App != d.cfg.App || !channel.KindOf(m.Channel.Name).Has(channel.KindPresence) {
		return
	}
	d.mu.Lock()
	if d.moved == nil {
		d.moved = make(map[hub.Member]struct{})
	}
	d.moved[m] = struct{}{}
	d.mu.Unlock()
	d.nudge()
}

// ClientEvent implements pusher.Teller.
func (d *Dispatcher) ClientEvent(ch channel.ID, event string, data []byte, socketID, user string) {
	if ch.App != d.cfg.App {
		return
	}
	text := string(data)
	d.note(Event{Name: ClientEvent, Channel: ch.Name, Event: event, Data: &text, SocketID: socketID, UserID: user})
}

// CacheMiss implements pusher.Teller.
func (d *Dispatcher) CacheMiss(ch channel.ID) {
	if ch.App == d.cfg.App {
		d.note(Event{Name: CacheMiss, Channel: ch.Name})
	}
}

// Wants implements hub.Observer.
func (d *Dispatcher) Wants() (kinds hub.TellKinds) {
	for kind, name := range tellNames {
		if d.want[name] {
			kinds |= kind
		}
	}
	if d.want[ChannelOccupied] || d.want[ChannelVacated] || d.want[SubscriptionCount] {
		kinds |= hub.TellAudience
	}
	if d.want[MemberAdded] || d.want[MemberRemoved] {
		kinds |= hub.TellMembers
	}
	return kinds
}

var tellNames = map[hub.TellKinds]string{
	hub.TellConnected: Connected, hub.TellDisconnected: Disconnected,
	hub.TellSubscribed: Subscribed, hub.TellUnsubscribed: Unsubscribed, hub.TellPublished: Published,
}

// Tell implements hub.Observer.
func (d *Dispatcher) Tell(t hub.Tell) {
	if t.App != d.cfg.App {
		return
	}
	d.note(Event{
		Name: tellNames[t.Kind], Channel: t.Channel, Event: t.Event, Client: t.Client, User: t.User,
		Code: t.Reason.Code, Reason: t.Reason.Reason, Epoch: t.At.Epoch, Offset: t.At.Offset,
	})
}

func (d *Dispatcher) note(e Event) {
	if !d.want[e.Name] {
		return
	}
	d.mu.Lock()
	full := len(d.noted) >= maxNoted
	if !full {
		d.noted = append(d.noted, e)
	}
	d.mu.Unlock()
	if full {
		d.cfg.Metrics.Drops.Of(metrics.DropWebhookQueue).Inc()
		return
	}
	d.nudge()
}

func (d *Dispatcher) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// happened is what was noted since it was taken last.
type happened struct {
	changed []channel.ID
	moved   []hub.Member
	events  []Event
}

func (d *Dispatcher) take() (h happened) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h.changed, h.moved, h.events = slices.Collect(maps.Keys(d.changed)), slices.Collect(maps.Keys(d.moved)), d.noted
	d.changed, d.moved, d.noted = nil, nil, nil
	return h
}

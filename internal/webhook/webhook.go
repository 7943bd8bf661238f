package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
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

// Config is what a Dispatcher is made of. URLs, Key, Secret, Log and Subscribers
// are required.
type Config struct {
	App         string // whose channels are told of; "": channel.DefaultApp
	Key, Secret string
	URLs        []string
	Events      []string // those that are told; none: PusherNames
	Log         Log
	Subscribers func(channel.ID) int // how many a channel has now
	Logger      *slog.Logger
	Metrics     *metrics.Metrics
	Transport   http.RoundTripper // see egress; nil: http.DefaultTransport, which goes anywhere

	Debounce time.Duration // how long a channel or a user must be gone to be told of
	Timeout  time.Duration // of one call
	RetryFor time.Duration // how long a call is tried again
	MaxQueue int           // events that are kept; beyond it the oldest are dropped
}

// maxNoted bounds what has happened and is not yet in the queue.
const maxNoted = 100_000

// Dispatcher takes note of what happens and has it told.
type Dispatcher struct {
	cfg  Config
	log  *slog.Logger
	want map[string]bool

	mu      sync.Mutex
	changed map[channel.ID]struct{}
	noted   []note
	wake    chan struct{}

	// Of the goroutine that looks, and of Start before it.
	roster *roster
	since  int // events in the queue since the last snapshot
	parts  int // of the last snapshot

	shots []shot // snapshots to be kept, under mu

	more   []chan struct{} // wakes the senders
	unlook context.CancelFunc
	unsend context.CancelFunc
	hangUp context.CancelFunc // on calls under way
	looks  sync.WaitGroup
	sends  sync.WaitGroup
}

// shot is a snapshot whose place in the queue is known.
type shot struct {
	events []Event
	at     engine.Position
}

// note is one thing that happened; a user has come or left when event is zero.
type note struct {
	channel channel.ID
	user    string
	present bool
	event   Event
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
	d := &Dispatcher{cfg: cfg, log: cfg.Logger, want: make(map[string]bool), wake: make(chan struct{}, 1), roster: newRoster()}
	for _, name := range cfg.Events {
		d.want[name] = true
	}
	return d
}

// Start begins to tell, once the hub is there and the engine attached to it;
// called once. It fails when it cannot be read or written where the receivers
// stand; Close is then not needed.
func (d *Dispatcher) Start() error {
	senders := make([]*sender, len(d.cfg.URLs))
	for i, url := range d.cfg.URLs {
		at, err := d.position(context.Background(), url)
		if err != nil {
			return fmt.Errorf("webhook: %w", err)
		}
		senders[i] = newSender(d, url, at)
		d.more = append(d.more, senders[i].more)
	}
	left, err := d.orphans(context.Background())
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	d.roster = left
	var looking, sending, calling context.Context
	looking, d.unlook = context.WithCancel(context.Background())
	sending, d.unsend = context.WithCancel(context.Background())
	calling, d.hangUp = context.WithCancel(context.Background())
	for _, s := range senders {
		d.sends.Go(func() {
			s.run(sending, calling)
			s.client.CloseIdleConnections()
		})
	}
	d.looks.Go(func() { d.run(looking) })
	return nil
}

// Close takes note of what has happened so far, and returns once it is in the
// queue and no call is under way; a call that is not answered when ctx ends is
// repeated after the next start, and so is told what is still in the queue. The
// hub is shut down before, the engine closed afterwards.
func (d *Dispatcher) Close(ctx context.Context) {
	d.unlook()
	d.looks.Wait()
	d.unsend()
	stop := context.AfterFunc(ctx, d.hangUp)
	d.sends.Wait()
	stop()
	d.hangUp()
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
func (d *Dispatcher) Member(ch channel.ID, info *engine.ClientInfo, present bool) {
	if ch.App != d.cfg.App || !channel.KindOf(ch.Name).Has(channel.KindPresence) {
		return
	}
	user := info.User
	if user == "" {
		user = info.Client
	}
	d.note(note{channel: ch, user: user, present: present})
}

// ClientEvent implements pusher.Teller.
func (d *Dispatcher) ClientEvent(ch channel.ID, event string, data []byte, socketID, user string) {
	if ch.App != d.cfg.App {
		return
	}
	text := string(data)
	d.note(note{event: Event{Name: ClientEvent, Channel: ch.Name, Event: event, Data: &text, SocketID: socketID, UserID: user}})
}

// CacheMiss implements pusher.Teller.
func (d *Dispatcher) CacheMiss(ch channel.ID) {
	if ch.App == d.cfg.App {
		d.note(note{event: Event{Name: CacheMiss, Channel: ch.Name}})
	}
}

// Wants implements hub.Observer.
func (d *Dispatcher) Wants() (kinds hub.TellKinds) {
	for kind, name := range tellNames {
		if d.want[name] {
			kinds |= kind
		}
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
	d.note(note{event: Event{
		Name: tellNames[t.Kind], Channel: t.Channel, Event: t.Event, Client: t.Client, User: t.User,
		Code: t.Reason.Code, Reason: t.Reason.Reason, Epoch: t.At.Epoch, Offset: t.At.Offset,
	}})
}

func (d *Dispatcher) note(n note) {
	if n.event.Name != "" && !d.want[n.event.Name] {
		return
	}
	d.mu.Lock()
	full := len(d.noted) >= maxNoted
	if !full {
		d.noted = append(d.noted, n)
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

func (d *Dispatcher) takeShots() []shot {
	d.mu.Lock()
	defer d.mu.Unlock()
	shots := d.shots
	d.shots = nil
	return shots
}

func (d *Dispatcher) take() (changed []channel.ID, noted []note) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ch := range d.changed {
		changed = append(changed, ch)
	}
	noted = d.noted
	d.changed, d.noted = nil, nil
	return changed, noted
}

// run turns what happens into events, on one goroutine, so that those of a
// channel are in order.
func (d *Dispatcher) run(ctx context.Context) {
	w := newWatcher(d.cfg.Debounce, d.enqueue)
	w.want = d.want
	d.bury(w, time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		last := false
		select {
		case <-d.wake:
		case <-timer.C:
		case <-ctx.Done():
			last = true
		}
		d.look(w, time.Now())
		if last {
			w.end()
			return
		}
		if next, waits := w.next(); waits {
			timer.Reset(time.Until(next))
		}
	}
}

// bury tells of the sessions that went with the process before. Channels and
// members have restartGrace to come back before they are told to have gone.
func (d *Dispatcher) bury(w *watcher, now time.Time) {
	w.expect(d.cfg.App, d.roster, now.Add(max(d.cfg.Debounce, restartGrace)))
	for _, e := range d.roster.farewells() {
		w.tell(e)
	}
}

// restartGrace is what clients take to come back to a server that was killed.
const restartGrace = 10 * time.Second

func (d *Dispatcher) look(w *watcher, now time.Time) {
	changed, noted := d.take()
	for _, s := range d.takeShots() {
		d.keep(s.events, s.at)
	}
	slices.SortFunc(changed, func(a, b channel.ID) int { return strings.Compare(a.Name, b.Name) })
	// A channel is occupied before its first member comes, and vacated after its
	// last has left.
	vacant := changed[:0]
	for _, ch := range changed {
		if n := d.cfg.Subscribers(ch); n > 0 {
			w.subscribers(ch, n, now)
		} else {
			vacant = append(vacant, ch)
		}
	}
	for i := range noted {
		if n := &noted[i]; n.event.Name != "" {
			d.enqueue(n.event)
		} else {
			w.member(n.channel, n.user, n.present, now)
		}
	}
	for _, ch := range vacant {
		w.subscribers(ch, 0, now)
	}
	w.expire(now)
}

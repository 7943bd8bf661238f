package hub

import (
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/limit"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// ErrUnknownApp says that no App has this name, or no longer.
var ErrUnknownApp = errors.New("unknown app")

// App is what the hub has to know of a tenant. It is not changed once it is given
// to SetApp: another value takes its place.
type App struct {
	Name           string
	Namespaces     *channel.Namespaces
	Auth           Authenticator
	AllowAnonymous bool       // clients without a token may connect
	MaxSessions    int        // at once; 0: Limits.ConnectionsPerApp
	Publishes      limit.Rate // of clients and backends together; the zero value: Limits.PublishesPerApp
	HistoryBytes   int64      // on disk, as engine.PublishRequest.Quota; 0: Limits.HistoryPerApp
}

// tenant is an App and what it uses.
type tenant struct {
	name      string
	app       atomic.Pointer[App]
	publishes atomic.Pointer[limit.Shared] // nil: no limit
	anonymous *channel.Identity            // of every session without a user; never changed
	sessions  atomic.Int64                 // that have connected
	published atomic.Uint64                // publications accepted
	removed   atomic.Bool
}

// SetApp adds an App, or gives one that is there other settings: those of its
// channels hold for what is asked for from then on.
func (h *Hub) SetApp(a App) {
	orDefault(&a.MaxSessions, h.cfg.Limits.ConnectionsPerApp)
	orDefault(&a.HistoryBytes, h.cfg.Limits.HistoryPerApp)
	if !a.Publishes.Limited() {
		a.Publishes = h.cfg.Limits.PublishesPerApp
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.tenant(a.Name)
	if t == nil {
		t = &tenant{name: a.Name, anonymous: &channel.Identity{App: a.Name}}
		t.set(&a)
		all := maps.Clone(*h.tenants.Load())
		all[a.Name] = t
		h.tenants.Store(&all)
		return
	}
	t.set(&a)
}

func (t *tenant) set(a *App) {
	if before := t.app.Load(); before == nil || before.Publishes != a.Publishes {
		t.publishes.Store(limit.NewShared(a.Publishes))
	}
	t.app.Store(a)
}

// RemoveApp forgets an App and ends its sessions (3503); no session of it begins
// afterwards. What is stored of its channels stays until it expires.
func (h *Hub) RemoveApp(name string) {
	h.mu.Lock()
	t := h.tenant(name)
	if t != nil {
		all := maps.Clone(*h.tenants.Load())
		delete(all, name)
		h.tenants.Store(&all)
		t.removed.Store(true)
	}
	h.mu.Unlock()
	if t == nil {
		return
	}
	for _, sh := range h.shards {
		sh.Post(func() {
			for _, s := range slices.Clone(sh.sessions) {
				if s.tenant == t {
					s.Disconnect(DisconnectForced)
				}
			}
		})
	}
}

// tenant is nil where there is no such App.
func (h *Hub) tenant(name string) *tenant { return (*h.tenants.Load())[name] }

// resolve finds a channel's options. Errors: ErrUnknownChannel for a namespace
// that is not defined, ErrBadRequest for a name that is none.
func (t *tenant) resolve(name string) (*channel.Options, error) {
	opts, err := t.app.Load().Namespaces.Resolve(name)
	switch {
	case errors.Is(err, channel.ErrUnknownNamespace):
		return nil, ErrUnknownChannel
	case err != nil:
		return nil, ErrBadRequest
	}
	return opts, nil
}

// resolve finds the options of an App's channel. Errors: ErrUnknownApp and those of
// tenant.resolve.
func (h *Hub) resolve(app, name string) (*channel.Options, error) {
	t := h.tenant(app)
	if t == nil {
		return nil, ErrUnknownApp
	}
	return t.resolve(name)
}

// identify finds out who a client is that no backend is asked about. Errors:
// ErrUnauthorized and those of Authenticator.
func (t *tenant) identify(r *ConnectRequest) (*channel.Identity, error) {
	app := t.app.Load()
	switch {
	case r.Token != "":
		return t.authenticate(r.Token)
	case app.AllowAnonymous || r.Vouched:
		return t.anonymous, nil
	}
	return nil, ErrUnauthorized
}

// authenticate reads a connection token of the App.
func (t *tenant) authenticate(token string) (*channel.Identity, error) {
	identity, err := t.app.Load().Auth.Connection(token)
	if err == nil && identity.App != t.name { // a verifier of another App: never so, but it must not matter
		return nil, channel.ErrTokenInvalid
	}
	return identity, err
}

// mayPublish takes a publication of the App's rate.
func (h *Hub) mayPublish(t *tenant, now time.Time) bool {
	bucket := t.publishes.Load()
	if bucket == nil {
		return true
	}
	if _, ok := bucket.Take(h.passed(now), 1); !ok {
		h.limits.reports[metrics.PublishesPerApp].Refused(h.passed(now), t.name)
		return false
	}
	return true
}

// AppUse is what an App uses of this node.
type AppUse struct {
	App           string
	Sessions      int // that have connected
	Users         int
	Channels      int
	Subscriptions int
	Published     uint64 // publications accepted since the App is there
	HistoryBytes  int64  // of history on disk, as engine.PublishRequest.Quota counts them
}

// Use is what every App uses of this node, by name.
func (h *Hub) Use() []AppUse {
	tenants, channels := *h.tenants.Load(), h.topics.use()
	list := make([]AppUse, 0, len(tenants))
	for _, name := range slices.Sorted(maps.Keys(tenants)) {
		list = append(list, h.use(tenants[name], channels[name]))
	}
	return list
}

// useOf is what one App uses of this node, which is nothing where it is not there; "":
// every App, as Use.
func (h *Hub) useOf(app string) []AppUse {
	if app == "" {
		return h.Use()
	}
	t := h.tenant(app)
	if t == nil {
		return nil
	}
	return []AppUse{h.use(t, h.topics.useOf(app))}
}

func (h *Hub) use(t *tenant, of channelUse) AppUse {
	return AppUse{
		App: t.name, Sessions: int(t.sessions.Load()), Users: h.users.usersOf(t.name),
		Channels: of.channels, Subscriptions: of.subscriptions, Published: t.published.Load(),
		HistoryBytes: h.cfg.Taken(t.name),
	}
}

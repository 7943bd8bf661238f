package tenant

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Config is what a Registry is made of. Log and Fixed are required.
type Config struct {
	Log    Log
	Fixed  []*App // of the settings
	Logger *slog.Logger

	// Check reports what a namespace that is set at run time cannot ask for; nil:
	// nothing.
	Check func(app *App, o *channel.Options) error
	// Changed is told of every App that there is, before Open returns, and of each
	// that is changed; Removed of each that no longer is. They are called one at a
	// time, and must not call the Registry.
	Changed func(*App)
	Removed func(name string)

	// Later leaves the reading of the log to Refresh, where the log may take a while
	// to be there: until then the Apps are those of the settings, and nothing can be
	// changed (ErrNotRead).
	Later bool

	Now func() time.Time
}

// Registry knows every App. What finds something may be called from any goroutine
// and never waits.
type Registry struct {
	cfg   Config
	fixed map[string]*App
	view  atomic.Pointer[view]

	mu      sync.Mutex // held while the log is read and folded
	loaded  atomic.Bool
	applied uint64 // offset of the entry that was folded last
	epoch   string // of the log; "": it was not read yet
	oldest  uint64 // offset of the first entry that it had
	since   int    // entries since Apps were written down as they are
	every   int    // entries after which they are: writeDownEvery
	state   map[string]*App
	removed map[string]bool
}

// view is what is looked up. It is not changed.
type view struct {
	apps    map[string]*App
	signing map[string]owned            // by the key's id
	secrets map[[sha256.Size]byte]owned // by the digest of a key of the server API
	pusher  map[string]*App             // by the id of Pusher's HTTP API
}

// owned is a key and whose it is.
type owned struct {
	app    *App
	key    *Key
	secret *Secret // of the server API: the one that was found
}

// Open reads the log. Errors: of the Log; ErrExists where two of the settings claim
// the same key, or have the same secret.
func Open(ctx context.Context, cfg Config) (*Registry, error) {
	if cfg.Check == nil {
		cfg.Check = func(*App, *channel.Options) error { return nil }
	}
	if cfg.Changed == nil {
		cfg.Changed = func(*App) {}
	}
	if cfg.Removed == nil {
		cfg.Removed = func(string) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Registry{cfg: cfg, fixed: make(map[string]*App), state: make(map[string]*App), removed: make(map[string]bool), every: writeDownEvery}
	secrets := make(map[string]string) // ids of keys; two with one secret would be each other
	for _, a := range cfg.Fixed {
		for _, k := range a.Keys {
			if r.keyTaken("", k.ID) {
				return nil, fmt.Errorf("key %q of the settings: %w", k.ID, ErrExists)
			}
			for _, s := range k.Secrets {
				if other := secrets[s.id()]; other != "" {
					return nil, fmt.Errorf("key %q of the settings: %w with its secret, key %q", k.ID, ErrExists, other)
				}
				secrets[s.id()] = k.ID
			}
		}
		r.fixed[a.Name], r.state[a.Name] = a, a
	}
	if !cfg.Later {
		if err := r.load(ctx); err != nil {
			return nil, err
		}
		r.loaded.Store(true)
	}
	r.look()
	for _, a := range r.Apps() {
		cfg.Changed(a)
	}
	return r, nil
}

// keyTaken reports whether an App other than one has a key of this id.
func (r *Registry) keyTaken(other, id string) bool {
	for name, a := range r.state {
		if name != other && a.key(id) >= 0 {
			return true
		}
	}
	return false
}

// rulesFor is what the fold of a change to an App is judged by.
func (r *Registry) rulesFor(app string) *rules {
	return &rules{
		check: r.cfg.Check, apps: len(r.state), removed: r.removed,
		pusherID: func(id string) bool {
			for _, a := range r.fixed {
				if a.PusherID == id {
					return true
				}
			}
			return false
		},
		keyTaken: func(id string) bool {
			a := r.state[app]
			return r.keyTaken(app, id) || a != nil && a.key(id) >= 0
		},
	}
}

// look makes the view of the state.
func (r *Registry) look() {
	v := &view{
		apps: maps.Clone(r.state), signing: make(map[string]owned), secrets: make(map[[sha256.Size]byte]owned),
		pusher: make(map[string]*App),
	}
	for _, a := range v.apps {
		if before := v.pusher[a.PusherID]; a.PusherID != "" && (before == nil || a.Fixed) { // the settings go first
			v.pusher[a.PusherID] = a
		}
		for i := range a.Keys {
			k := &a.Keys[i]
			if k.Scope == Sign {
				v.signing[k.ID] = owned{app: a, key: k}
				continue
			}
			for j := range k.Secrets {
				v.secrets[[sha256.Size]byte(k.Secrets[j].Sum)] = owned{a, k, &k.Secrets[j]}
			}
		}
	}
	r.view.Store(v)
}

// Apps are all there are, by name.
func (r *Registry) Apps() []*App {
	v := r.view.Load()
	list := make([]*App, 0, len(v.apps))
	for _, name := range slices.Sorted(maps.Keys(v.apps)) {
		list = append(list, v.apps[name])
	}
	return list
}

// App finds one by its name; nil: there is none.
func (r *Registry) App(name string) *App { return r.view.Load().apps[name] }

// Caller finds the key of the server API that a secret is of. Secrets are looked up
// by their digest, so the time that it takes says nothing of them.
func (r *Registry) Caller(secret string) (app *App, key *Key, found bool) {
	at, found := r.view.Load().secrets[sha256.Sum256([]byte(secret))]
	if !found || !at.secret.Valid(r.cfg.Now()) {
		return nil, nil, false
	}
	return at.app, at.key, true
}

// Callers reports whether there is any key of the server API.
func (r *Registry) Callers() bool { return len(r.view.Load().secrets) > 0 }

// Signer finds the App whose key signs for clients by this id.
func (r *Registry) Signer(id string) (app *App, key *Key, found bool) {
	at, found := r.view.Load().signing[id]
	return at.app, at.key, found
}

// PusherApp finds an App by its id in Pusher's HTTP API.
func (r *Registry) PusherApp(id string) (app *App, found bool) {
	app, found = r.view.Load().pusher[id]
	return app, found
}

// Do makes a change and returns once it is in force here. Errors: ErrBadChange,
// ErrNotFound, ErrExists, ErrFixed and ErrTooMany, with nothing changed; those of the
// Log, after which whether it was stored may be unknown.
func (r *Registry) Do(ctx context.Context, c Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded.Load() {
		return ErrNotRead
	}
	c.At = r.cfg.Now().UTC()
	if _, err := apply(r.state[c.App], &c, r.rulesFor(c.App)); err != nil {
		return err
	}
	// From here on nobody's leaving matters: what is stored has to be in force, too,
	// and what others have made is written down whole or not at all.
	left := context.WithoutCancel(ctx)
	ctx, cancel := context.WithTimeout(left, changeTime)
	defer cancel()
	offset, err := r.append(ctx, &c)
	if err != nil {
		return err
	}
	verdict := errors.New("the change is stored, but was not read again")
	err = r.read(ctx, func(at uint64, c *Change) {
		if err := r.fold(c); at == offset {
			verdict = err
		}
	})
	if errors.Is(err, errReplaced) {
		err = r.reload(ctx)
	}
	if err != nil {
		return err
	}
	r.writeDown(left)
	return verdict
}

// Refresh reads what other nodes have changed, and the first time all there is.
func (r *Registry) Refresh(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded.Load() {
		if err := r.load(ctx); err != nil {
			return err
		}
		r.loaded.Store(true)
		r.look()
		for _, a := range r.Apps() {
			r.cfg.Changed(a)
		}
		return nil
	}
	err := r.read(ctx, func(_ uint64, c *Change) { _ = r.fold(c) }) // who asked for it was told
	if errors.Is(err, errReplaced) {
		return r.reload(ctx)
	}
	return err
}

func (r *Registry) remove(app string) {
	delete(r.state, app)
	r.removed[app] = true
}

// Loaded reports whether what was changed at run time is known.
func (r *Registry) Loaded() bool { return r.loaded.Load() }

// fold puts one change into force.
func (r *Registry) fold(c *Change) error {
	r.since++
	if c.Is != nil {
		r.since = 0
		return nil // it says what is known
	}
	after, err := apply(r.state[c.App], c, r.rulesFor(c.App))
	if err != nil {
		return err
	}
	if after == nil {
		r.remove(c.App)
		r.look()
		r.cfg.Removed(c.App)
		return nil
	}
	r.state[c.App] = after
	r.look()
	r.cfg.Changed(after)
	return nil
}

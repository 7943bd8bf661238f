package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Log is where changes are kept: the engine.
type Log interface {
	engine.Publisher
	engine.Historian
}

// changes is the channel of the log, in an App that no client can name.
var changes = channel.ID{App: "/apps", Name: "changes"}

const (
	// kept is how many entries there are at most, and writeDownEvery after how many
	// the Apps are written down as they are: what is kept always begins before that
	// was done last, with one entry for each of MaxApps.
	keptEntries    = 100_000
	writeDownEvery = 10_000
	keptFor        = channel.MaxHistoryTTL
	pageEntries    = 1000
	pageBytes      = 4 << 20
	// changeTime bounds the storing of a change.
	changeTime = time.Minute
)

// What was written down last is kept until it is written down again, whole.
const _ = uint(keptEntries - writeDownEvery - 2*(MaxApps+MaxRemoved))

func retention() engine.Retention {
	return engine.Retention{Size: keptEntries, TTL: keptFor, MetaTTL: keptFor, Durability: channel.Disk}
}

// append stores an entry and returns its offset.
func (r *Registry) append(ctx context.Context, c *Change) (uint64, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return 0, err
	}
	res, err := engine.Await(ctx, func(done func(engine.PublishResult, error)) {
		r.cfg.Log.Publish(engine.PublishRequest{
			Channel: changes, Retention: retention(), Publication: engine.Publication{Data: data}, FromReserve: c.takesAway(),
		}, done)
	})
	return res.Offset, err
}

// errReplaced says that the log is not the one that was read: it has come over from a
// node that was alone, or more of its beginning has.
var errReplaced = errors.New("the log of apps is another than before")

// read calls fn for every entry after the last that was read, in order. It fails with
// errReplaced.
func (r *Registry) read(ctx context.Context, fn func(offset uint64, c *Change)) error {
	for {
		res, err := engine.Await(ctx, func(done func(engine.HistoryResult, error)) {
			r.cfg.Log.History(engine.HistoryRequest{
				Channel: changes, Retention: retention(),
				Since: &engine.Position{Offset: r.applied}, Limit: pageEntries, MaxBytes: pageBytes,
			}, done)
		})
		if errors.Is(err, engine.ErrReadOnly) { // a channel that is there can be read: nothing was ever changed
			return nil
		}
		known := r.epoch != ""
		switch {
		case known && errors.Is(err, engine.ErrUnrecoverable), err == nil && known && (res.Top.Epoch != r.epoch || res.Oldest < r.oldest):
			return errReplaced
		case err != nil:
			return fmt.Errorf("the log of apps: %w", err)
		}
		r.epoch, r.oldest = res.Top.Epoch, res.Oldest
		for _, pub := range res.Publications {
			c := new(Change)
			if err := json.Unmarshal(pub.Data, c); err != nil {
				return fmt.Errorf("the log of apps: entry %d: %w", pub.Offset, err)
			}
			fn(pub.Offset, c)
			r.applied = pub.Offset
		}
		if len(res.Publications) == 0 || r.applied >= res.Top.Offset {
			return nil
		}
	}
}

// load folds the whole log: for each App what it was when it was written down last,
// and what was changed since.
func (r *Registry) load(ctx context.Context) error {
	r.applied, r.since, r.epoch = 0, 0, "" // a load that failed begins again
	type entry struct {
		offset uint64
		*Change
	}
	var all []entry
	was := make(map[string]*Change)
	err := r.read(ctx, func(offset uint64, c *Change) {
		if c.Is != nil {
			was[c.App] = c
			r.since = 0
			return
		}
		r.since++
		all = append(all, entry{offset, c})
	})
	if err != nil {
		return err
	}
	dropped := func(app string) func(string) {
		return func(what string) {
			r.cfg.Logger.Warn("something made at run time is not in force: the settings contradict it", "app", app, "what", what)
		}
	}
	for name, c := range was {
		if c.Is.Removed {
			r.removed[name] = true
			continue
		}
		if a := restore(r.fixed[name], name, c.Is, r.rulesFor(name), dropped(name)); a != nil {
			r.state[name] = a
		}
	}
	for _, e := range all {
		if c := was[e.App]; c != nil && e.offset <= c.Upto {
			continue
		}
		if fixed := r.fixed[e.App]; e.Remove && fixed != nil {
			// It was not of the settings then. Its keys are not those of its successor.
			r.state[e.App] = fixed
			continue
		}
		after, err := apply(r.state[e.App], e.Change, r.rulesFor(e.App))
		switch {
		case err != nil: // refused when it was made, or contradicted by the settings since
			r.cfg.Logger.Debug("a change is not in force", "app", e.App, "error", err)
		case after == nil:
			r.remove(e.App)
		default:
			r.state[e.App] = after
		}
	}
	return nil
}

// reload reads a log that is another than before.
func (r *Registry) reload(ctx context.Context) error {
	was := r.state
	r.loaded.Store(false) // where it fails, Refresh begins with what the settings say
	r.state, r.removed = maps.Clone(r.fixed), make(map[string]bool)
	if err := r.load(ctx); err != nil {
		return err
	}
	r.loaded.Store(true)
	r.look()
	for name := range was {
		if r.state[name] == nil {
			r.cfg.Removed(name)
		}
	}
	for _, a := range r.Apps() {
		r.cfg.Changed(a)
	}
	return nil
}

// writeDown says what every App is, once in a while, so that the log does not have
// to be kept from its beginning.
func (r *Registry) writeDown(ctx context.Context) {
	if r.since < r.every {
		return
	}
	upto, is := r.applied, make(map[string]*Made)
	for name, a := range r.state {
		is[name] = a.made()
	}
	for name := range r.removed {
		if is[name] == nil { // the settings may have one of that name by now
			is[name] = &Made{Removed: true}
		}
	}
	for name, made := range is {
		if _, err := r.append(ctx, &Change{App: name, At: r.cfg.Now().UTC(), Is: made, Upto: upto}); err != nil {
			r.cfg.Logger.Warn("the log of apps was not shortened", "error", err)
			return
		}
	}
	if err := r.read(ctx, func(_ uint64, c *Change) { _ = r.fold(c) }); err != nil {
		r.cfg.Logger.Warn("the log of apps was not read", "error", err)
	}
}

// until bounds how long the secret before a rotation holds.
func until(now time.Time, overlap time.Duration) time.Time {
	return now.Add(min(max(overlap, 0), MaxOverlap)).UTC().Truncate(time.Second)
}

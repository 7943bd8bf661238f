package tenant

import (
	"encoding/json"
	"fmt"
	"regexp/syntax"
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Change is an entry of the log. One of its members is set.
type Change struct {
	App string    `json:"app"`
	At  time.Time `json:"at"` // by the clock of who asked for it

	Create          *Settings          `json:"create,omitempty"`
	Update          *Settings          `json:"update,omitempty"`
	Remove          bool               `json:"remove,omitempty"` // the App, with its keys and namespaces
	CreateKey       *Key               `json:"create_key,omitempty"`
	RotateKey       *Rotation          `json:"rotate_key,omitempty"`
	RevokeKey       string             `json:"revoke_key,omitempty"`
	SetNamespace    *channel.Namespace `json:"set_namespace,omitempty"`
	RemoveNamespace string             `json:"remove_namespace,omitempty"`

	// Is is what an App was after the entry with the offset Upto: what was before it
	// in the log need not be read.
	Is   *Made  `json:"is,omitempty"`
	Upto uint64 `json:"upto,omitempty"`
}

// takesAway reports whether a change only takes away what there is: it is stored also
// where nothing else is for want of space, because what it closes must be closed. What
// there is is bounded, and nothing comes to it meanwhile, so such changes are few.
func (c *Change) takesAway() bool {
	return c.Remove || c.RevokeKey != "" || c.RemoveNamespace != ""
}

// Rotation gives a key another secret.
type Rotation struct {
	ID     string    `json:"id"`
	Secret Secret    `json:"secret"`
	Until  time.Time `json:"until"` // the secret before holds so long
}

// Made is what of an App is not from the settings.
type Made struct {
	Exists     bool                `json:"exists,omitempty"` // the App itself was made at run time
	Removed    bool                `json:"removed,omitempty"`
	Settings   Settings            `json:"settings"`
	Keys       []Key               `json:"keys,omitempty"`
	Namespaces []channel.Namespace `json:"namespaces,omitempty"`
}

// made takes from an App what is not from the settings.
func (a *App) made() *Made {
	m := &Made{Exists: !a.Fixed, Settings: a.Settings}
	for _, k := range a.Keys {
		if !k.Fixed {
			m.Keys = append(m.Keys, k)
		}
	}
	for _, n := range a.Namespaces {
		if !n.Fixed {
			m.Namespaces = append(m.Namespaces, n.Namespace)
		}
	}
	return m
}

// rules are what a fold asks about a change beside its own state.
type rules struct {
	keyTaken func(id string) bool                     // by any App
	check    func(app *App, o *channel.Options) error // what a namespace may ask for
	pusherID func(id string) bool                     // whether an App has it
	apps     int
	removed  map[string]bool // names that are not used again
}

// apply gives the App as it is after a change; before is nil where there is none, as
// is the result. On an error nothing changes.
func apply(before *App, c *Change, r *rules) (*App, error) {
	if c.Create != nil {
		return create(before, c, r)
	}
	if before == nil {
		return nil, fmt.Errorf("app %q: %w", c.App, ErrNotFound)
	}
	after := before.clone()
	var err error
	switch {
	case c.Update != nil:
		if before.Fixed {
			return before, fmt.Errorf("app %q: %w", c.App, ErrFixed)
		}
		after.Settings, err = *c.Update, c.Update.check()
	case c.Remove:
		if before.Fixed {
			return before, fmt.Errorf("app %q: %w", c.App, ErrFixed)
		}
		return nil, nil
	case c.CreateKey != nil:
		err = after.createKey(c.CreateKey, r)
	case c.RotateKey != nil:
		err = after.rotateKey(c.RotateKey)
	case c.RevokeKey != "":
		err = after.revokeKey(c.RevokeKey)
	case c.SetNamespace != nil:
		err = after.setNamespace(c.SetNamespace, r)
	case c.RemoveNamespace != "":
		err = after.removeNamespace(c.RemoveNamespace)
	default:
		err = fmt.Errorf("%w: it says nothing that is known", ErrBadChange)
	}
	if err != nil {
		return before, err
	}
	return after, nil
}

func create(before *App, c *Change, r *rules) (*App, error) {
	if before != nil {
		return before, fmt.Errorf("app %q: %w", c.App, ErrExists)
	}
	if err := CheckName(c.App); err != nil {
		return nil, err
	}
	if r.removed[c.App] { // what is stored of its channels may still be there, and is not for another
		return nil, fmt.Errorf("app %q: %w: it was removed, and its name is not used again", c.App, ErrExists)
	}
	if r.pusherID(c.App) {
		return nil, fmt.Errorf("app %q: %w: the default one has this app.id", c.App, ErrExists)
	}
	if r.apps >= MaxApps || len(r.removed) >= MaxRemoved {
		return nil, fmt.Errorf("apps: %w, %d are possible, and %d that were removed", ErrTooMany, MaxApps, MaxRemoved)
	}
	return &App{Name: c.App, PusherID: c.App, Settings: *c.Create}, c.Create.check()
}

func (a *App) createKey(k *Key, r *rules) error {
	if err := k.check(); err != nil {
		return err
	}
	if r.keyTaken(k.ID) {
		return fmt.Errorf("key %q: %w", k.ID, ErrExists)
	}
	if len(a.Keys) >= MaxKeys {
		return fmt.Errorf("keys: %w, an app has %d at most", ErrTooMany, MaxKeys)
	}
	a.Keys = append(a.Keys, *k)
	return nil
}

// changeable finds a key that is not of the settings.
func (a *App) changeable(id string) (int, error) {
	i := a.key(id)
	switch {
	case i < 0:
		return i, fmt.Errorf("key %q: %w", id, ErrNotFound)
	case a.Keys[i].Fixed:
		return i, fmt.Errorf("key %q: %w", id, ErrFixed)
	}
	return i, nil
}

func (a *App) rotateKey(r *Rotation) error {
	i, err := a.changeable(r.ID)
	if err != nil {
		return err
	}
	if err := r.Secret.check(a.Keys[i].Scope); err != nil {
		return err
	}
	a.Keys[i] = a.Keys[i].rotated(r.Secret, r.Until)
	return nil
}

func (a *App) revokeKey(id string) error {
	i, err := a.changeable(id)
	if err == nil {
		a.Keys = append(a.Keys[:i], a.Keys[i+1:]...)
	}
	return err
}

// checkSize bounds what a tenant can have the server keep, compile and look through.
// The settings are the operator's own, and not bounded so.
func (a *App) checkSize(n *channel.Namespace) error {
	text, err := json.Marshal(n)
	if err != nil || len(text) > MaxNamespaceBytes {
		return fmt.Errorf("namespace %q: %w, it has %d bytes at most", n.Name, ErrTooMany, MaxNamespaceBytes)
	}
	prefixes := len(n.Prefixes)
	for i := range a.Namespaces {
		if other := &a.Namespaces[i]; other.Name != n.Name {
			prefixes += len(other.Prefixes)
		}
	}
	if prefixes > MaxPrefixes {
		return fmt.Errorf("namespace %q: prefixes: %w, an app has %d at most", n.Name, ErrTooMany, MaxPrefixes)
	}
	if steps := stepsOf(n.ChannelRegex); steps > MaxRegex {
		return fmt.Errorf("namespace %q: channel_regex: %w, it has %d steps, at most %d are possible", n.Name, ErrTooMany, steps, MaxRegex)
	}
	return nil
}

// stepsOf counts the instructions of a regex; what is none has none, and is refused
// by channel.NewNamespaces.
func stepsOf(regex string) int {
	re, err := syntax.Parse(regex, syntax.Perl)
	if err != nil {
		return 0
	}
	p, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0
	}
	return len(p.Inst)
}

func (a *App) setNamespace(n *channel.Namespace, r *rules) error {
	if err := a.checkSize(n); err != nil {
		return err
	}
	at := a.namespace(n.Name)
	switch {
	case at >= 0 && a.Namespaces[at].Fixed:
		return fmt.Errorf("namespace %q: %w", n.Name, ErrFixed)
	case at >= 0:
		a.Namespaces[at].Namespace = *n
	case len(a.Namespaces) >= MaxNamespaces:
		return fmt.Errorf("namespaces: %w, an app has %d at most", ErrTooMany, MaxNamespaces)
	default:
		a.Namespaces = append(a.Namespaces, Namespace{Namespace: *n})
	}
	if _, err := channel.NewNamespaces(a.Without, a.List()); err != nil {
		return fmt.Errorf("%w: %w", ErrBadChange, err)
	}
	if err := r.check(a, &n.Options); err != nil {
		return fmt.Errorf("%w: namespace %q: %w", ErrBadChange, n.Name, err)
	}
	return nil
}

func (a *App) removeNamespace(name string) error {
	i := a.namespace(name)
	switch {
	case i < 0:
		return fmt.Errorf("namespace %q: %w", name, ErrNotFound)
	case a.Namespaces[i].Fixed:
		return fmt.Errorf("namespace %q: %w", name, ErrFixed)
	}
	a.Namespaces = append(a.Namespaces[:i], a.Namespaces[i+1:]...)
	return nil
}

// restore gives the App of the settings, nil where there is none, what was made at
// run time. What the settings define by now is theirs, and dropped tells of it.
func restore(fixed *App, name string, m *Made, r *rules, dropped func(what string)) *App {
	a := fixed
	switch {
	case fixed == nil && !m.Exists:
		return nil // the settings do not have it any more
	case fixed == nil:
		a = &App{Name: name, PusherID: name, Settings: m.Settings}
	}
	for i := range m.Keys {
		k := &m.Keys[i]
		if r.keyTaken(k.ID) || slices.ContainsFunc(k.Secrets, func(s Secret) bool { return s.check(k.Scope) != nil }) {
			dropped(fmt.Sprintf("key %q", k.ID))
			continue
		}
		c := a.clone()
		c.Keys = append(c.Keys, *k)
		a = c
	}
	for i := range m.Namespaces {
		c := a.clone()
		if err := c.setNamespace(&m.Namespaces[i], r); err != nil {
			dropped(err.Error())
			continue
		}
		a = c
	}
	return a
}

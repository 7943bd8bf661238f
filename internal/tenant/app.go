package tenant

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Limits of what there can be.
const (
	MaxApps       = 10_000
	MaxRemoved    = 30_000 // Apps whose names are not used again
	MaxKeys       = 32     // of one App
	MaxNamespaces = 1000   // of one App
	MaxPrefixes   = 1000   // of the namespaces of one App together
	MaxRegex      = 1000   // instructions that a channel_regex is compiled to
	MaxName       = 64     // bytes of an App's name and of a key's id
	MinSecret     = 32     // bytes of a secret that signs tokens, as RFC 7518, 3.2 asks for HS256
	MaxOverlap    = 30 * 24 * time.Hour

	MaxNamespaceBytes = 8 << 10 // of the JSON of one namespace
)

// Errors of changes.
var (
	ErrBadChange = errors.New("cannot be changed so")
	ErrNotFound  = errors.New("there is none")
	ErrExists    = errors.New("there is one already")
	ErrFixed     = errors.New("it is in the settings, which only a new start changes")
	ErrTooMany   = errors.New("too many")
	ErrNotRead   = errors.New("what was changed before is not read yet")
)

// Scope is what a key may do.
type Scope string

// The scopes. A key has one.
const (
	Publish  Scope = "publish"  // publish and broadcast by the server API
	Read     Scope = "read"     // history, presence, lists and counts by the server API
	Admin    Scope = "admin"    // everything of its App by the server API, its keys and namespaces included
	Sign     Scope = "sign"     // signs tokens, channels and sign-ins of clients, and requests of Pusher's HTTP API
	Operator Scope = "operator" // everything of every App; the one key api.key of the settings
)

// Allows reports whether a key of this scope may do what asks for another. Sign is
// no scope of the server API.
func (s Scope) Allows(asked Scope) bool {
	switch s {
	case Operator:
		return asked != Sign
	case Admin:
		return asked == Publish || asked == Read || asked == Admin
	case Publish, Read:
		return s == asked
	case Sign:
	}
	return false
}

// Key is a key of an App. Its ID is public.
type Key struct {
	ID      string    `json:"id"`
	Scope   Scope     `json:"scope"`
	Secrets []Secret  `json:"secrets"` // the newest first, one or two
	Created time.Time `json:"created,omitzero"`
	Fixed   bool      `json:"-"` // by the settings
}

// Secret is one of a Key. Those that sign are kept as they are, because a signature
// cannot be checked otherwise; of the others there is a digest only.
type Secret struct {
	Text  string    `json:"text,omitempty"`
	Sum   []byte    `json:"sum,omitempty"`  // SHA-256
	Until time.Time `json:"until,omitzero"` // zero: until it is revoked
}

// Valid reports whether the secret still holds.
func (s *Secret) Valid(now time.Time) bool { return s.Until.IsZero() || now.Before(s.Until) }

// NewKeyID makes up the id of a key: 20 letters and digits.
func NewKeyID() string { return strings.ToLower(rand.Text())[:20] }

// NewKey makes a key, and the secret, which is given out this once.
func NewKey(id string, scope Scope, now time.Time) (k Key, secret string) {
	k = Key{ID: id, Scope: scope, Created: now.UTC().Truncate(time.Second)}
	kept, secret := newSecret(scope)
	k.Secrets = []Secret{kept}
	return k, secret
}

// FixedKey is a key of the settings.
func FixedKey(id string, scope Scope, secret string) Key {
	return Key{ID: id, Scope: scope, Secrets: []Secret{kept(scope, secret)}, Fixed: true}
}

// secretPrefix begins the keys of the server API, so that they are recognized where
// they should not be.
const secretPrefix = "fanfare_"

func newSecret(scope Scope) (Secret, string) {
	text := secretPrefix + rand.Text()
	if scope == Sign {
		text = rand.Text() + rand.Text() // 52 characters, 260 bits
	}
	return kept(scope, text), text
}

func kept(scope Scope, text string) Secret {
	if scope == Sign {
		return Secret{Text: text}
	}
	sum := sha256.Sum256([]byte(text))
	return Secret{Sum: sum[:]}
}

// id tells secrets apart.
func (s *Secret) id() string { return s.Text + string(s.Sum) }

// rotated is the key with another secret; the one before holds until then.
func (k Key) rotated(next Secret, until time.Time) Key {
	before := k.Secrets[0]
	before.Until = until
	k.Secrets = []Secret{next, before}
	return k
}

// check reports what a key that is not of the settings cannot be.
func (k *Key) check() error {
	if !validName.MatchString(k.ID) {
		return fmt.Errorf("%w: a key's id must match %s", ErrBadChange, validName)
	}
	switch k.Scope {
	case Publish, Read, Admin, Sign:
	case Operator:
		return fmt.Errorf("%w: the operator's key is api.key of the settings", ErrBadChange)
	default:
		return fmt.Errorf("%w: scope %q is none, there are publish, read, admin and sign", ErrBadChange, k.Scope)
	}
	if len(k.Secrets) != 1 {
		return fmt.Errorf("%w: a key has one secret", ErrBadChange)
	}
	return k.Secrets[0].check(k.Scope)
}

func (s *Secret) check(scope Scope) error {
	if scope == Sign && len(s.Text) < MinSecret {
		return fmt.Errorf("%w: a secret that signs has %d bytes at least", ErrBadChange, MinSecret)
	}
	if scope != Sign && len(s.Sum) != sha256.Size {
		return fmt.Errorf("%w: no digest of a secret", ErrBadChange)
	}
	return nil
}

var validName = regexp.MustCompile(`^[-a-zA-Z0-9_]{1,64}$`)

// CheckName reports why an App cannot be called so.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%w: an app's name must match %s", ErrBadChange, validName)
	}
	return nil
}

// Settings are what can be set of an App. They are in the JSON of the server API.
type Settings struct {
	AllowAnonymous bool  `json:"allow_anonymous"` // clients may connect without a token
	Connections    int   `json:"connections"`     // at once; 0: limits.connections_per_app
	Publishes      int   `json:"publishes"`       // in a second, of clients and backends; 0: limits.publishes_per_app
	HistoryBytes   int64 `json:"history_bytes"`   // on disk; 0: limits.history_bytes_per_app
}

// Bounds of Settings.
const (
	MaxConnections = 10_000_000
	MaxPublishes   = 10_000_000
	MaxHistory     = 1 << 50 // bytes
)

func (s *Settings) check() error {
	if s.Connections < 0 || s.Connections > MaxConnections {
		return fmt.Errorf("%w: connections must be 0 to %d", ErrBadChange, MaxConnections)
	}
	if s.Publishes < 0 || s.Publishes > MaxPublishes {
		return fmt.Errorf("%w: publishes must be 0 to %d", ErrBadChange, MaxPublishes)
	}
	if s.HistoryBytes < 0 || s.HistoryBytes > MaxHistory {
		return fmt.Errorf("%w: history_bytes must be 0 to %d", ErrBadChange, int64(MaxHistory))
	}
	return nil
}

// App is a tenant. A value is never changed once it is in a Registry.
type App struct {
	Name string
	Settings
	PusherID   string          // in the paths of Pusher's HTTP API; "": it has none
	Without    channel.Options // of channels without a namespace
	Namespaces []Namespace
	Keys       []Key
	Fixed      bool // by the settings
}

// Namespace is one of an App.
type Namespace struct {
	channel.Namespace

	Fixed bool `json:"-"` // by the settings
}

// List is what the namespaces are without where they come from.
func (a *App) List() []channel.Namespace {
	list := make([]channel.Namespace, len(a.Namespaces))
	for i := range a.Namespaces {
		list[i] = a.Namespaces[i].Namespace
	}
	return list
}

func (a *App) key(id string) int {
	return slices.IndexFunc(a.Keys, func(k Key) bool { return k.ID == id })
}

func (a *App) namespace(name string) int {
	return slices.IndexFunc(a.Namespaces, func(n Namespace) bool { return n.Name == name })
}

// clone is a copy whose lists can be changed.
func (a *App) clone() *App {
	c := *a
	c.Namespaces, c.Keys = slices.Clone(a.Namespaces), slices.Clone(a.Keys)
	return &c
}

package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Tenant are the settings of an App beside the default one; see
// [apps.md](apps.md). Apps can be made by the server API, too.
type Tenant struct {
	Name             string              `koanf:"name"`                            // names the App: the parameter `app` of connections, and `app_id` of Pusher's libraries; letters, digits, - and _
	AllowAnonymous   bool                `koanf:"allow_anonymous"`                 // clients may connect without a token; what they may do is the namespace's to say
	Connections      int                 `koanf:"connections" allow:"0..10000000"` // at once; those beyond are disconnected (3013) and try again; 0: `limits.connections_per_app`
	Publishes        int                 `koanf:"publishes" allow:"0..10000000"`   // publications in a second, of clients and backends together; 0: `limits.publishes_per_app`
	HistoryBytes     Size                `koanf:"history_bytes" allow:"0B..1PiB"`  // of history on disk; 0: `limits.history_bytes_per_app`
	Keys             []AppKey            `koanf:"keys"`                            // as `app.keys`
	WithoutNamespace channel.Options     `koanf:"without_namespace"`               // as `channel.without_namespace`
	Namespaces       []channel.Namespace `koanf:"namespaces"`                      // as `channel.namespaces`
}

// AppKey is one key of an App. Keys of the server API are sent as they are; one with
// the scope sign never leaves the backend, and is named by its id.
type AppKey struct {
	ID         string `koanf:"id"`          // public; no other key of any App has it; Pusher clients connect with that of a key that signs
	Scope      string `koanf:"scope"`       // what it may do: publish, read, admin or sign
	Secret     Secret `koanf:"secret"`      // what is sent, or what signs
	SecretFile string `koanf:"secret_file"` // a file that holds it, in its place
}

// checkApps reports what is wrong with the Apps of the settings.
func (c *Config) checkApps() (errs []error) {
	add := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	names := map[string]bool{channel.DefaultApp: true}
	keys := map[string]bool{c.App.Key: c.App.Key != ""}
	secrets := map[Secret]bool{c.API.Key: true, c.App.Secret: true, c.Tokens.PreviousSecret: true} // "" is not looked up
	check := func(at string, list []AppKey) {
		for i, k := range list {
			at := fmt.Sprintf("%s.keys[%s]", at, nameOf(map[string]any{"name": k.ID}, i))
			add(k.ID != "" && len(k.ID) <= 64 && isPathSegment(k.ID), "%s.id: %q must be letters, digits, - and _", at, k.ID)
			add(!keys[k.ID], "%s.id: %q is the id of another key", at, k.ID)
			add(slices.Contains(scopes, k.Scope), "%s.scope: %q is none, there are %s", at, k.Scope, strings.Join(scopes, ", "))
			add((k.Secret == "") != (k.SecretFile == ""), "%s: set secret or secret_file", at)
			add(!IsPlaceholder(k.Secret), "%s.secret: this is a placeholder, not a secret: make one with openssl rand -hex 32", at)
			add(k.Secret == "" || !secrets[k.Secret], "%s.secret: another key has it", at)
			keys[k.ID], secrets[k.Secret] = true, true
		}
	}
	check("app", c.App.Keys)
	for i := range c.Apps {
		t := &c.Apps[i]
		at := fmt.Sprintf("apps[%s]", nameOf(map[string]any{"name": t.Name}, i))
		add(t.Name != "" && len(t.Name) <= 64 && isPathSegment(t.Name), "%s.name: %q must be letters, digits, - and _", at, t.Name)
		add(!names[t.Name], "%s.name: there is another app %q", at, t.Name)
		add(t.Name != c.App.ID, "%s.name: %q is app.id, which names the default app in the paths of Pusher's HTTP API", at, t.Name)
		names[t.Name] = true
		for _, s := range settings(reflect.TypeFor[Tenant]()) {
			v := reflect.ValueOf(t).Elem().FieldByIndex(s.index)
			add(inRange(v, s.field.Tag.Get("allow")), "%s.%s: %v is not allowed, it must be %s", at, s.key, v.Interface(), allowed(s.field))
		}
		check(at, t.Keys)
		if _, err := channel.NewNamespaces(t.WithoutNamespace, t.Namespaces); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", at, err))
		}
		errs = append(errs, c.Hooks.checkOptions(at+".without_namespace", &t.WithoutNamespace)...)
		for i := range t.Namespaces {
			n := &t.Namespaces[i]
			errs = append(errs, c.Hooks.checkOptions(fmt.Sprintf("%s: namespace %q", at, n.Name), &n.Options)...)
		}
	}
	return errs
}

// scopes are those of keys.
var scopes = []string{"publish", "read", "admin", "sign"}

// ParseNamespace reads a namespace in JSON as the file has it, and refuses what the
// file refuses, hooks without an address among it.
func (c *Config) ParseNamespace(text []byte) (n channel.Namespace, err error) {
	var raw any
	if json.Unmarshal(text, &raw) != nil {
		return n, errors.New("must be JSON")
	}
	d := &decoder{}
	if c.Dev {
		d.base = devOptions()
	}
	n.Options = d.base
	d.value(reflect.ValueOf(&n).Elem(), raw, "namespace")
	if c.Dev {
		dropHistory(&n.Options)
	}
	if len(d.errs) > 0 {
		return n, errors.Join(d.errs...)
	}
	if _, err := channel.NewNamespaces(channel.Options{}, []channel.Namespace{n}); err != nil {
		return n, err
	}
	return n, c.CheckHooks(&n.Options)
}

// CheckHooks reports options that ask a hook that is not set.
func (c *Config) CheckHooks(o *channel.Options) error {
	return errors.Join(c.Hooks.checkOptions("namespace", o)...)
}

// PrintNamespace is a namespace as ParseNamespace reads it, without what is off.
func PrintNamespace(n *channel.Namespace) ([]byte, error) {
	return json.Marshal(group(reflect.ValueOf(*n), true))
}

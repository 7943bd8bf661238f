package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/limit"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/protocol/pusher"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// operatorKey names api.key among the keys of the default App. No key that is made
// at run time can be called so.
const operatorKey = "api.key"

// readAppsFor bounds the reading of what was made at run time, at the start.
const readAppsFor = time.Minute

// openApps reads the Apps and tells the hub of them.
func (a *App) openApps() error {
	fixed, err := fixedApps(&a.cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readAppsFor)
	defer cancel()
	a.apps, err = tenant.Open(ctx, tenant.Config{
		Log: a.engine, Fixed: fixed, Logger: a.log,
		Check:   func(_ *tenant.App, o *channel.Options) error { return a.cfg.CheckHooks(o) },
		Changed: a.setApp, Removed: a.removeApp, Later: a.engine.node != nil,
	})
	if err != nil {
		return err
	}
	a.metrics.Apps.Bind(a.appRows)
	return nil
}

// refreshEvery is how long a change of another node takes to be in force here.
const refreshEvery = time.Second

// followApps reads what other nodes change until ctx ends.
func (a *App) followApps(ctx context.Context) {
	if a.engine.node == nil {
		return // nobody else changes anything
	}
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		if err := a.apps.Refresh(ctx); err != nil && ctx.Err() == nil {
			a.log.Debug("apps were not read", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// fixedApps are the Apps of the settings.
func fixedApps(cfg *config.Config) ([]*tenant.App, error) {
	d := &tenant.App{
		Name: channel.DefaultApp, PusherID: cfg.App.ID, Fixed: true,
		Settings:   tenant.Settings{AllowAnonymous: cfg.Client.AllowAnonymous},
		Without:    cfg.Channel.WithoutNamespace,
		Namespaces: fixedNamespaces(cfg.Channel.Namespaces),
	}
	if cfg.API.Key != "" {
		d.Keys = append(d.Keys, tenant.FixedKey(operatorKey, tenant.Operator, string(cfg.API.Key)))
	}
	if cfg.App.Key != "" {
		d.Keys = append(d.Keys, tenant.FixedKey(cfg.App.Key, tenant.Sign, string(cfg.App.Secret)))
	}
	more, err := fixedKeys(cfg.App.Keys, "app.keys")
	if err != nil {
		return nil, err
	}
	d.Keys = append(d.Keys, more...)
	list := []*tenant.App{d}
	for i := range cfg.Apps {
		t := &cfg.Apps[i]
		keys, err := fixedKeys(t.Keys, "apps["+t.Name+"].keys")
		if err != nil {
			return nil, err
		}
		list = append(list, &tenant.App{
			Name: t.Name, PusherID: t.Name, Fixed: true,
			Settings: tenant.Settings{AllowAnonymous: t.AllowAnonymous, Connections: t.Connections, Publishes: t.Publishes, HistoryBytes: int64(t.HistoryBytes)},
			Without:  t.WithoutNamespace, Namespaces: fixedNamespaces(t.Namespaces), Keys: keys,
		})
	}
	return list, nil
}

func fixedNamespaces(list []channel.Namespace) []tenant.Namespace {
	fixed := make([]tenant.Namespace, len(list))
	for i := range list {
		fixed[i] = tenant.Namespace{Namespace: list[i], Fixed: true}
	}
	return fixed
}

func fixedKeys(list []config.AppKey, at string) ([]tenant.Key, error) {
	keys := make([]tenant.Key, len(list))
	for i, k := range list {
		secret := string(k.Secret)
		if k.SecretFile != "" {
			text, err := readKey(k.SecretFile)
			if err != nil {
				return nil, fmt.Errorf("%s[%s]: %w", at, k.ID, err)
			}
			if secret = strings.TrimRight(string(text), "\r\n"); secret == "" {
				return nil, fmt.Errorf("%s[%s]: %s is empty", at, k.ID, k.SecretFile)
			}
			if config.IsPlaceholder(config.Secret(secret)) {
				return nil, fmt.Errorf("%s[%s]: %s holds a placeholder, not a secret", at, k.ID, k.SecretFile)
			}
		}
		keys[i] = tenant.FixedKey(k.ID, tenant.Scope(k.Scope), secret)
	}
	return keys, nil
}

// setApp tells the hub what an App is now. What is refused here is a fault of this
// program, because the registry has judged it.
func (a *App) setApp(t *tenant.App) {
	without, list := t.Without, t.List()
	anonymous := t.AllowAnonymous
	if a.cfg.Dev && !t.Fixed {
		without, anonymous = config.DevOptions(), true
		if !slices.ContainsFunc(list, func(n channel.Namespace) bool { return n.Name == channel.AnyNamespace }) {
			list = append(list, config.DevNamespace())
		}
	}
	ns, err := channel.NewNamespaces(without, list)
	if err != nil {
		a.log.Error("an app's namespaces were not taken", "app", t.Name, "error", err)
		return
	}
	a.hub.SetApp(hub.App{
		Name: t.Name, Namespaces: ns, Auth: a.verifierOf(t), AllowAnonymous: anonymous,
		MaxSessions: t.Connections, Publishes: limit.NewRate(int64(t.Publishes), a.cfg.Limits.Burst, 1), HistoryBytes: t.HistoryBytes,
	})
}

func (a *App) removeApp(name string) { a.hub.RemoveApp(name) }

// verifierOf makes what judges the tokens of an App. Keys in files and at identity
// providers are the default App's.
func (a *App) verifierOf(t *tenant.App) *auth.Verifier {
	c := auth.Config{App: t.Name, UserClaim: a.tokens.UserClaim, Leeway: a.tokens.Leeway}
	except := ""
	if t.Name == channel.DefaultApp {
		c, except = a.tokens, a.cfg.App.Key
	}
	c.Keys = append(slices.Clone(c.Keys), signingKeys(t, except)...)
	return auth.New(c)
}

// signingKeys are the keys of an App that verify tokens, but for one.
func signingKeys(t *tenant.App, except string) (keys []auth.Key) {
	for _, s := range t.Signing() {
		if s.KeyID == except {
			continue
		}
		k := auth.AppSecret("key "+s.KeyID, []byte(s.Text))
		k.Until = s.Until
		keys = append(keys, k)
	}
	return keys
}

// appRows are the numbers of each App for the metrics.
func (a *App) appRows() []metrics.AppRow {
	use := a.hub.Use()
	rows := make([]metrics.AppRow, len(use))
	for i := range use {
		rows[i] = metrics.AppRow(use[i])
	}
	return rows
}

// appKeys are the Apps and keys as the Pusher protocol asks for them.
type appKeys struct{ *tenant.Registry }

// App implements pusher.Keys.
func (k appKeys) App(key string) (string, bool) {
	app, _, known := k.Signer(key)
	if !known {
		return "", false
	}
	return app.Name, true
}

// Signed implements pusher.Keys.
func (k appKeys) Signed(key, text, signature string) bool {
	_, found, known := k.Signer(key)
	if !known {
		return false
	}
	now := time.Now()
	return slices.ContainsFunc(found.Secrets, func(s tenant.Secret) bool {
		return s.Valid(now) && pusher.Signed(s.Text, text, signature)
	})
}

// ByID implements pusherapi.Apps.
func (k appKeys) ByID(id string) (string, bool) {
	app, known := k.PusherApp(id)
	if !known {
		return "", false
	}
	return app.Name, true
}

// pusherApp names the App that a Pusher client's key is of; the default one for keys
// of none, which the protocol then refuses in its own words.
func (a *App) pusherApp(r *http.Request) string {
	name, _ := appKeys{a.apps}.App(r.PathValue("key"))
	return name
}

package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// Apps are what the methods about Apps, keys and namespaces show and change:
// *tenant.Registry.
type Apps interface {
	Apps() []*tenant.App
	App(name string) *tenant.App
	Do(ctx context.Context, c tenant.Change) error
	CreateKey(ctx context.Context, app, id string, scope tenant.Scope) (k tenant.Key, secret string, err error)
	RotateKey(ctx context.Context, app, id string, overlap time.Duration) (secret string, holds time.Time, err error)
}

// oneApp refuses what is about Apps where there is no registry of them.
var oneApp = notSupported("this method", "there is one app")

// appRequest names an App; "": that of the key.
type appRequest struct{ app string }

func appFields[T any](of func(*T) *appRequest) []field[T] {
	return []field[T]{{"app", text(func(r *T) *string { return &of(r).app })}}
}

// named is the App that a request is about. A key that is not the operator's is told
// the same of Apps that there are and that there are not.
func (h *call) named(r *appRequest) (*tenant.App, error) {
	if h.apps == nil {
		return nil, oneApp
	}
	name := r.app
	if name == "" {
		name = h.app
	}
	if name != h.app && h.scope != tenant.Operator {
		return nil, final(codePermissionDenied, http.StatusForbidden, "this key is for another app")
	}
	a := h.apps.App(name)
	if a == nil {
		return nil, final(codeNotFound, http.StatusNotFound, "there is no app of this name")
	}
	return a, nil
}

// changed names an error of the registry.
func changed(err error) error {
	for _, is := range []struct {
		err    error
		code   uint32
		status int
	}{
		{tenant.ErrNotFound, codeNotFound, http.StatusNotFound},
		{tenant.ErrExists, codeBadRequest, http.StatusConflict},
		{tenant.ErrFixed, codeBadRequest, http.StatusConflict},
		{tenant.ErrTooMany, codeLimitExceeded, http.StatusRequestEntityTooLarge},
		{tenant.ErrBadChange, codeBadRequest, http.StatusBadRequest},
	} {
		if errors.Is(err, is.err) {
			return final(is.code, is.status, err.Error())
		}
	}
	if errors.Is(err, tenant.ErrNotRead) {
		return temporary(codeTooManyRequests, http.StatusServiceUnavailable, "the log of apps is not read yet: try again")
	}
	return err
}

// do makes a change and answers {}.
func (h *call) change(ctx context.Context, change tenant.Change, out []byte) ([]byte, error) {
	if h.apps == nil {
		return out, oneApp
	}
	if err := h.apps.Do(ctx, change); err != nil {
		return out, changed(err)
	}
	return append(out, "{}"...), nil
}

type appsRequest struct{}

// run lists the Apps that the key may see, with what they use of all nodes.
func (r *appsRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if h.apps == nil {
		return out, oneApp
	}
	var list []*tenant.App
	app := h.app
	if h.scope == tenant.Operator {
		list, app = h.apps.Apps(), ""
	} else if own := h.apps.App(app); own != nil { // it may have been removed just now
		list = []*tenant.App{own}
	}
	all, err := h.hub.UseOfAll(ctx, app)
	if err != nil {
		return out, err
	}
	use := make(map[string]hub.AppUse)
	for _, u := range all {
		use[u.App] = u
	}
	out = append(out, `{"apps":[`...)
	for _, a := range list {
		if out[len(out)-1] != '[' {
			out = append(out, ',')
		}
		u := use[a.Name]
		out = appendText(append(out, '{'), "name", a.Name)
		if a.Fixed {
			out = appendRaw(out, "fixed", []byte("true"))
		}
		if a.AllowAnonymous {
			out = appendRaw(out, "allow_anonymous", []byte("true"))
		}
		out = appendNumber(out, "connections", uint64(a.Connections))
		out = appendNumber(out, "publishes", uint64(a.Publishes))
		out = appendNumber(out, "history_bytes", uint64(a.HistoryBytes))
		out = appendNumber(out, "num_keys", uint64(len(a.Keys)))
		out = appendNumber(out, "num_namespaces", uint64(len(a.Namespaces)))
		out = appendNumber(out, "num_clients", uint64(u.Sessions))
		out = appendNumber(out, "num_users", uint64(u.Users))
		out = appendNumber(out, "num_channels", uint64(u.Channels))
		out = appendNumber(out, "num_subs", uint64(u.Subscriptions))
		out = appendNumber(out, "num_published", u.Published)
		out = append(appendNumber(out, "num_history_bytes", uint64(max(u.HistoryBytes, 0))), '}')
	}
	return append(out, `]}`...), nil
}

// appSettings is what app_create and app_update have in common.
type appSettings struct {
	appRequest
	anonymous   bool
	connections int64
	publishes   int64
	history     int64
}

func appSettingsFields[T any](of func(*T) *appSettings) []field[T] {
	return append(appFields(func(r *T) *appRequest { return &of(r).appRequest }), []field[T]{
		{"allow_anonymous", flag(func(r *T) *bool { return &of(r).anonymous })},
		{"connections", number(func(r *T) *int64 { return &of(r).connections })},
		{"publishes", number(func(r *T) *int64 { return &of(r).publishes })},
		{"history_bytes", number(func(r *T) *int64 { return &of(r).history })},
	}...)
}

func (s *appSettings) settings() *tenant.Settings {
	return &tenant.Settings{AllowAnonymous: s.anonymous, Connections: int(s.connections), Publishes: int(s.publishes), HistoryBytes: s.history}
}

type appCreateRequest struct{ appSettings }

func (r *appCreateRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	return h.change(ctx, tenant.Change{App: r.app, Create: r.settings()}, out)
}

func (r *appCreateRequest) audited() audit.Entry {
	return audit.Entry{Action: "app_create", App: r.app}
}

type appUpdateRequest struct{ appSettings }

func (r *appUpdateRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	return h.change(ctx, tenant.Change{App: r.app, Update: r.settings()}, out)
}

func (r *appUpdateRequest) audited() audit.Entry {
	return audit.Entry{Action: "app_update", App: r.app}
}

type appRemoveRequest struct{ appRequest }

func (r *appRemoveRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	return h.change(ctx, tenant.Change{App: r.app, Remove: true}, out)
}

func (r *appRemoveRequest) audited() audit.Entry {
	return audit.Entry{Action: "app_remove", App: r.app}
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/channel"
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

// Namespaces reads and writes namespaces in the form of the settings.
type Namespaces struct {
	Parse func([]byte) (channel.Namespace, error)
	Print func(*channel.Namespace) ([]byte, error)
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

type keysRequest struct{ appRequest }

// run lists keys without their secrets.
func (r *keysRequest) run(_ context.Context, h *call, out []byte) ([]byte, error) {
	a, err := h.named(&r.appRequest)
	if err != nil {
		return out, err
	}
	out = append(out, `{"keys":[`...)
	for i := range a.Keys {
		k := &a.Keys[i]
		if k.Scope == tenant.Operator && h.scope != tenant.Operator {
			continue
		}
		if out[len(out)-1] != '[' {
			out = append(out, ',')
		}
		out = appendText(append(out, '{'), "id", k.ID)
		out = appendText(out, "scope", string(k.Scope))
		if k.Fixed {
			out = appendRaw(out, "fixed", []byte("true"))
		}
		if !k.Created.IsZero() {
			out = appendText(out, "created", k.Created.Format(time.RFC3339))
		}
		for _, s := range k.Secrets {
			if !s.Until.IsZero() {
				out = appendText(out, "previous_until", s.Until.Format(time.RFC3339))
			}
		}
		out = append(out, '}')
	}
	return append(out, `]}`...), nil
}

type keyCreateRequest struct {
	appRequest
	id, scope string
	madeUp    bool // the id
}

func keyCreateFields() []field[keyCreateRequest] {
	type R = keyCreateRequest
	return append(appFields(func(r *R) *appRequest { return &r.appRequest }), []field[R]{
		{"id", text(func(r *R) *string { return &r.id })},
		{"scope", text(func(r *R) *string { return &r.scope })},
	}...)
}

func (r *keyCreateRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	a, err := h.named(&r.appRequest)
	if err != nil {
		return out, err
	}
	id := r.name()
	if !r.madeUp && h.scope != tenant.Operator {
		// Ids are of all Apps together: who could choose them would learn of others'
		// keys, and have the Pusher clients of one that was revoked.
		return out, final(codePermissionDenied, http.StatusForbidden, "only the operator's key chooses the id of a key: leave id out")
	}
	k, secret, err := h.apps.CreateKey(ctx, a.Name, id, tenant.Scope(r.scope))
	if err != nil {
		return out, changed(err)
	}
	out = appendText(append(out, '{'), "id", k.ID)
	out = appendText(out, "scope", string(k.Scope))
	return append(appendText(out, "secret", secret), '}'), nil
}

// name is the id that is asked for, or one that is made up, once.
func (r *keyCreateRequest) name() string {
	if r.id == "" {
		r.id, r.madeUp = tenant.NewKeyID(), true
	}
	return r.id
}

func (r *keyCreateRequest) audited() audit.Entry {
	return audit.Entry{Action: "key_create", App: r.app, Detail: "key " + r.name() + ", scope " + r.scope}
}

type keyRotateRequest struct {
	appRequest
	id, overlap string
}

func keyRotateFields() []field[keyRotateRequest] {
	type R = keyRotateRequest
	return append(appFields(func(r *R) *appRequest { return &r.appRequest }), []field[R]{
		{"id", text(func(r *R) *string { return &r.id })},
		{"overlap", text(func(r *R) *string { return &r.overlap })},
	}...)
}

// DefaultOverlap is how long the secret before a rotation holds where nothing is
// said: a day for backends to be given the new one.
const DefaultOverlap = 24 * time.Hour

func (r *keyRotateRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	a, err := h.named(&r.appRequest)
	if err != nil {
		return out, err
	}
	overlap := DefaultOverlap
	if r.overlap != "" {
		if overlap, err = time.ParseDuration(r.overlap); err != nil {
			return out, badRequest("overlap must be a duration such as 24h, and 0s for none")
		}
	}
	secret, holds, err := h.apps.RotateKey(ctx, a.Name, r.id, overlap)
	if err != nil {
		return out, changed(err)
	}
	out = appendText(append(out, '{'), "id", r.id)
	out = appendText(out, "secret", secret)
	return append(appendText(out, "previous_until", holds.Format(time.RFC3339)), '}'), nil
}

func (r *keyRotateRequest) audited() audit.Entry {
	return audit.Entry{Action: "key_rotate", App: r.app, Detail: "key " + r.id}
}

type keyRevokeRequest struct {
	appRequest
	id string
}

func keyRevokeFields() []field[keyRevokeRequest] {
	type R = keyRevokeRequest
	return append(appFields(func(r *R) *appRequest { return &r.appRequest }),
		field[R]{"id", text(func(r *R) *string { return &r.id })})
}

func (r *keyRevokeRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	a, err := h.named(&r.appRequest)
	if err != nil {
		return out, err
	}
	if r.id == "" {
		return out, badRequest("id is required")
	}
	return h.change(ctx, tenant.Change{App: a.Name, RevokeKey: r.id}, out)
}

func (r *keyRevokeRequest) audited() audit.Entry {
	return audit.Entry{Action: "key_revoke", App: r.app, Detail: "key " + r.id}
}

type namespacesRequest struct{ appRequest }

func (r *namespacesRequest) run(_ context.Context, h *call, out []byte) ([]byte, error) {
	a, err := h.named(&r.appRequest)
	if err != nil {
		return out, err
	}
	out = append(out, `{"namespaces":[`...)
	for i := range a.Namespaces {
		if i > 0 {
			out = append(out, ',')
		}
		n := &a.Namespaces[i]
		out = append(out, '{')
		if n.Fixed {
			out = appendRaw(out, "fixed", []byte("true"))
		}
		printed, err := h.namespaces.Print(&n.Namespace)
		if err != nil {
			return out, err
		}
		out = append(appendRaw(out, "namespace", printed), '}')
	}
	return append(out, `]}`...), nil
}

type namespaceSetRequest struct {
	appRequest
	namespace []byte
}

func namespaceSetFields() []field[namespaceSetRequest] {
	type R = namespaceSetRequest
	return append(appFields(func(r *R) *appRequest { return &r.appRequest }),
		field[R]{"namespace", func(r *R, v []byte) error {
			if v[0] != '{' {
				return badRequest("must be an object, is %s", kind(v))
			}
			r.namespace = v
			return nil
		}})
}

func (r *namespaceSetRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	a, err := h.named(&r.appRequest)
	if err != nil {
		return out, err
	}
	if r.namespace == nil {
		return out, badRequest(`namespace is required, as in {"namespace": {"name": "chat", "presence": true}}`)
	}
	if len(r.namespace) > tenant.MaxNamespaceBytes {
		return out, limitExceeded("a namespace has at most %d bytes", tenant.MaxNamespaceBytes)
	}
	n, err := h.namespaces.Parse(r.namespace)
	if err != nil {
		return out, badRequest("%s", err)
	}
	return h.change(ctx, tenant.Change{App: a.Name, SetNamespace: &n}, out)
}

func (r *namespaceSetRequest) audited() audit.Entry {
	var named struct{ Name string }
	_ = json.Unmarshal(r.namespace, &named) // what is no namespace has no name
	return audit.Entry{Action: "namespace_set", App: r.app, Detail: "namespace " + named.Name}
}

type namespaceRemoveRequest struct {
	appRequest
	name string
}

func namespaceRemoveFields() []field[namespaceRemoveRequest] {
	type R = namespaceRemoveRequest
	return append(appFields(func(r *R) *appRequest { return &r.appRequest }),
		field[R]{"name", text(func(r *R) *string { return &r.name })})
}

func (r *namespaceRemoveRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	a, err := h.named(&r.appRequest)
	if err != nil {
		return out, err
	}
	if r.name == "" {
		return out, badRequest("name is required")
	}
	return h.change(ctx, tenant.Change{App: a.Name, RemoveNamespace: r.name}, out)
}

func (r *namespaceRemoveRequest) audited() audit.Entry {
	return audit.Entry{Action: "namespace_remove", App: r.app, Detail: "namespace " + r.name}
}

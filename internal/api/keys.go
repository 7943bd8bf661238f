package api

import (
	"context"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// This file is the methods about the keys of an App.

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

package api

import (
	"context"
	"encoding/json"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// This file is the methods about the namespaces of an App.

// Namespaces reads and writes namespaces in the form of the settings.
type Namespaces struct {
	Parse func([]byte) (channel.Namespace, error)
	Print func(*channel.Namespace) ([]byte, error)
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

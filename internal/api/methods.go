package api

import (
	"context"

	"github.com/fanfare-push/fanfare/internal/tenant"
)

// command is a request that was decoded; run does it and appends the result
// object. Nothing that outlives run may be in the memory of the request's body.
type command interface {
	run(ctx context.Context, h *call, out []byte) ([]byte, error)
}

// method is one method of the API.
type method struct {
	names    []string     // of its request's fields
	scope    tenant.Scope // that a key must have
	optional bool         // an empty body is as good as {}
	decode   func(v []byte) (command, error)
}

// requestOf is a pointer to R that is a command.
type requestOf[R any] interface {
	*R
	command
}

func newMethod[R any, P requestOf[R]](fields []field[R]) *method {
	m := &method{decode: func(v []byte) (command, error) {
		r := P(new(R))
		return r, decode(v, (*R)(r), fields)
	}}
	for _, f := range fields {
		m.names = append(m.names, f.name)
	}
	return m
}

// scopes are what a key must have for a method. A batch takes any: its commands are
// judged one by one.
var scopes = map[string]tenant.Scope{
	"publish": tenant.Publish, "broadcast": tenant.Publish, "batch": anyScope,
	"presence": tenant.Read, "presence_stats": tenant.Read, "history": tenant.Read, "channels": tenant.Read,
	"info": tenant.Read, "dead_letters": tenant.Read, "apps": tenant.Read,
	"subscribe": tenant.Admin, "unsubscribe": tenant.Admin, "disconnect": tenant.Admin, "refresh": tenant.Admin,
	"rpc": tenant.Admin, "history_remove": tenant.Admin,
	"keys": tenant.Admin, "key_create": tenant.Admin, "key_rotate": tenant.Admin, "key_revoke": tenant.Admin,
	"namespaces": tenant.Admin, "namespace_set": tenant.Admin, "namespace_remove": tenant.Admin,
	"app_create": tenant.Operator, "app_update": tenant.Operator, "app_remove": tenant.Operator, "history_import": tenant.Operator,
	"cluster": tenant.Operator, "drain": tenant.Operator,
}

// anyScope is that of what any key of the server API may call.
const anyScope tenant.Scope = ""

// newMethods is every method by name. A new one is added here, to openapi.json
// and to the table of its test.
func (h *Handler) newMethods() map[string]*method {
	methods := map[string]*method{
		"publish":        newMethod(publishFields()),
		"broadcast":      newMethod(broadcastFields()),
		"batch":          newMethod(h.batchFields()),
		"subscribe":      newMethod(subscribeFields()),
		"unsubscribe":    newMethod(unsubscribeFields()),
		"disconnect":     newMethod(disconnectFields()),
		"presence":       newMethod(presenceFields()),
		"presence_stats": newMethod(presenceStatsFields()),
		"history":        newMethod(historyFields()),
		"history_remove": newMethod(historyRemoveFields()),
		"history_import": newMethod(h.historyImportFields()),
		"channels":       newMethod(channelsFields()),
		"dead_letters":   newMethod(deadLettersFields()),
		"info":           newMethod([]field[infoRequest]{}),
		"refresh":        newMethod(refreshFields()),
		"rpc":            newMethod(rpcFields()),

		"cluster": newMethod([]field[clusterRequest]{}),
		"drain":   newMethod(drainFields()),

		"apps":             newMethod([]field[appsRequest]{}),
		"app_create":       newMethod(appSettingsFields(func(r *appCreateRequest) *appSettings { return &r.appSettings })),
		"app_update":       newMethod(appSettingsFields(func(r *appUpdateRequest) *appSettings { return &r.appSettings })),
		"app_remove":       newMethod(appFields(func(r *appRemoveRequest) *appRequest { return &r.appRequest })),
		"keys":             newMethod(appFields(func(r *keysRequest) *appRequest { return &r.appRequest })),
		"key_create":       newMethod(keyCreateFields()),
		"key_rotate":       newMethod(keyRotateFields()),
		"key_revoke":       newMethod(keyRevokeFields()),
		"namespaces":       newMethod(appFields(func(r *namespacesRequest) *appRequest { return &r.appRequest })),
		"namespace_set":    newMethod(namespaceSetFields()),
		"namespace_remove": newMethod(namespaceRemoveFields()),
	}
	for name, m := range methods {
		m.scope = scopes[name]
	}
	methods["apps"].optional = true
	methods["cluster"].optional = true
	methods["drain"].optional = true
	methods["keys"].optional = true
	methods["namespaces"].optional = true
	methods["channels"].optional = true
	methods["dead_letters"].optional = true
	methods["info"].optional = true
	return methods
}

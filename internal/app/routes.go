package app

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/internal/admin"
	"github.com/fanfare-push/fanfare/internal/api"
	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/tenant"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// routes is the table of paths: a contract with users and tests.
func (a *App) routes(version string) (*http.ServeMux, error) {
	mux := http.NewServeMux()
	origins, err := transport.NewOrigins(a.cfg.Client.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	if err := a.centrifuge(mux, version, origins); err != nil {
		return nil, err
	}
	if err := a.pusher(mux, origins); err != nil {
		return nil, err
	}
	a.api = a.serverAPI()
	mux.Handle(api.Prefix, a.api)
	mux.HandleFunc("GET /health", a.health)
	mux.HandleFunc("GET /ready", a.ready)
	mux.Handle("GET /metrics", a.guarded(a.metrics.Handler()))
	page := a.page(version)
	for _, path := range []string{"/", "/client.js", "/client.d.ts"} { // clients need the last two, see clientPaths
		mux.Handle(path, page)
	}
	return mux, nil
}

func (a *App) serverAPI() *api.Handler {
	c := a.cfg.API
	return api.New(api.Config{
		Keys: a.apps, Apps: a.apps,
		Namespaces: api.Namespaces{Parse: a.cfg.ParseNamespace, Print: config.PrintNamespace},
		Limits: api.Limits{
			MaxBody: int(c.MaxBodySize), MaxData: int(a.cfg.PublishMaxDataSize),
			MaxCommands: c.MaxCommands, MaxChannels: c.MaxChannels, MaxPage: c.MaxPage,
		},
		Observer: calls{a.metrics}, DeadLetters: a.deadLetters(), Allow: a.requestLimit(), Import: a.importer(),
		Auditor: a.auditor(), Node: operated{a},
	}, a.hub, a.log)
}

// calls counts calls of the server API, and those without the right key among
// what was refused.
type calls struct{ *metrics.Metrics }

// APIRequest implements api.Observer.
func (c calls) APIRequest(method string, status int, took time.Duration) {
	c.Metrics.APIRequest(method, status, took)
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		c.Refused.Of(metrics.RefuseAPIKey).Inc()
	}
}

func (a *App) page(version string) http.Handler {
	cluster := ""
	if a.engine.node != nil {
		cluster = a.clusterName()
	}
	return admin.New(admin.Config{
		Cluster: cluster, Overview: a.overview,
		Dev: a.cfg.Dev, Operator: a.operator(), Version: version,
		Password: a.password, SessionTTL: a.cfg.Admin.SessionTTL, Client: clientPrefix, Refused: a.refusedAdmin,
	}, a.hub, a.log)
}

// operator reports whether a request brings the operator's key; nil: there is none.
func (a *App) operator() func(*http.Request) bool {
	if a.cfg.API.Key == "" {
		return nil
	}
	return func(r *http.Request) bool { return api.Opens(a.apps, tenant.Operator, r) }
}

// guarded asks for the API key, but not in dev mode.
func (a *App) guarded(next http.Handler) http.Handler {
	if a.cfg.Dev {
		return next
	}
	refused := a.metrics.Refused.Of(metrics.RefuseAPIKey)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		let := false
		api.Protect(a.apps, tenant.Operator, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			let = true
			next.ServeHTTP(w, r)
		})).ServeHTTP(w, r)
		if !let {
			refused.Inc()
			a.refusedKey(r)
		}
	})
}

// health says that the process lives, and nothing about what it can do.
func (a *App) health(w http.ResponseWriter, _ *http.Request) {
	writeStatus(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready says whether the node can do its job: 503 while the store cannot be
// written, the cluster is not joined, or the node is draining or stopping.
func (a *App) ready(w http.ResponseWriter, _ *http.Request) {
	if reason := a.unready(); reason != "" {
		writeStatus(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": reason})
		return
	}
	writeStatus(w, http.StatusOK, map[string]string{"status": "ready"})
}

func writeStatus(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a reader that has left is not our error
}

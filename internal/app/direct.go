package app

import (
	"context"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/internal/api"
	"github.com/fanfare-push/fanfare/internal/transport/direct"
)

// front is the table of paths, and before it what answers busy backends on the
// loops, where the engine can.
func (a *App) front(routes http.Handler) http.Handler {
	if !a.transport.Releases() {
		return routes
	}
	a.direct = direct.New(direct.Config{
		Hub: a.hub, Engine: a.transport, Next: routes, Path: api.Prefix + api.MethodPublish, Log: a.log,
		Serve: func(r *direct.Request, done func([]byte)) bool {
			return a.api.Begin(string(r.APIKey), string(r.Authorization), r.Body, done)
		},
		IdleTimeout: idleTimeout, RequestTimeout: readHeaderTimeout,
	})
	return a.direct
}

// closeDirect ends the connections of backends; those that have asked are
// answered before the hub refuses.
func (a *App) closeDirect(ctx context.Context) {
	if a.direct == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, directPatience)
	defer cancel()
	if err := a.direct.Close(ctx); err != nil {
		a.log.Warn("backends have not read their answers", "waited", directPatience.Round(time.Millisecond))
	}
}

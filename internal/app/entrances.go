package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// entrance is an address that is listened on, and the server behind it.
type entrance struct {
	listener net.Listener
	server   *http.Server
	unused   unused
}

// listenAll takes the addresses: the one for clients, and the one for backends
// and operators where that is another.
func (a *App) listenAll() error {
	c := &a.cfg
	var err error
	if a.public.listener, err = listen(c.Listen); err != nil {
		return err
	}
	a.public.listener = a.behindProxies(a.public.listener)
	if a.public.listener, err = a.securePublic(a.public.listener); err != nil || c.Internal.Listen == "" {
		return err
	}
	a.internal = &entrance{}
	if a.internal.listener, err = listen(c.Internal.Listen); err != nil {
		return fmt.Errorf("internal.listen: %w", err)
	}
	a.internal.listener = a.behindProxies(a.internal.listener)
	a.internal.listener, err = a.secure(a.internal.listener, c.Internal.CertFile, c.Internal.KeyFile, c.Internal.ClientCAFile)
	return err
}

// entrances are all there are.
func (a *App) entrances() []*entrance {
	if a.internal == nil {
		return []*entrance{&a.public}
	}
	return []*entrance{&a.public, a.internal}
}

// serveAll makes the servers behind the addresses; their requests end with ctx.
func (a *App) serveAll(ctx context.Context, routes *http.ServeMux) {
	all := readable(responseTimeout, a.front(a.outer(routes)))
	if a.internal == nil {
		a.serveHTTP(ctx, &a.public, all)
		a.openDirect(&a.public)
		return
	}
	a.serveHTTP(ctx, &a.public, readable(responseTimeout, a.outer(clientsOnly(routes))))
	a.serveHTTP(ctx, a.internal, all)
	a.openDirect(a.internal)
}

// openDirect lets a server's connections be moved to the loops.
func (a *App) openDirect(e *entrance) {
	if a.direct != nil {
		e.server.ConnContext = a.direct.ConnContext
		a.busy = e.server
	}
}

// serveHTTP makes the server of an entrance.
func (a *App) serveHTTP(ctx context.Context, e *entrance, h http.Handler) {
	e.unused.conns = make(map[net.Conn]struct{})
	e.server = &http.Server{
		ConnState:         e.unused.note,
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: http2Silence, PingTimeout: http2Patience, WriteByteTimeout: http2Silence},
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
}

// shutdownHTTP waits for requests that are under way, and cuts them when ctx ends.
func (a *App) shutdownHTTP(ctx context.Context) error {
	var all error
	for _, e := range a.entrances() {
		late := time.AfterFunc(unusedPatience, e.unused.close)
		if err := e.server.Shutdown(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("requests were still under way: %w", err), e.server.Close())
		}
		late.Stop()
	}
	return all
}

// clientPaths are the patterns of what clients need. With a listener of its own
// for backends and operators nothing else is found at the public one: a path that
// is new is shut there until it is named here.
var clientPaths = map[string]bool{
	"/connection/websocket": true, "/connection/http_stream": true, "/connection/sse": true, "/emulation": true,
	"/connection/uni_websocket": true, "/connection/uni_http_stream": true, "/connection/uni_sse": true,
	"/sse": true, "/poll": true, "/client.js": true, "/client.d.ts": true,
	"/app/{key}":              true,
	xhrPath + "xhr_streaming": true,
	xhrPath + "xhr":           true,
	xhrPath + "xhr_send":      true,
	"GET /health":             true,
	"GET /ready":              true,
}

// clientsOnly serves what clients need, and knows nothing else.
func clientsOnly(routes *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := routes.Handler(r); !clientPaths[pattern] {
			http.NotFound(w, r)
			return
		}
		routes.ServeHTTP(w, r)
	})
}

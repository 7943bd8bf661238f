package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/api"
	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/auth/jwks"
	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/engine/local"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
	"github.com/fanfare-push/fanfare/internal/transport/direct"
	"github.com/fanfare-push/fanfare/internal/webhook"
)

// App is one running server.
type App struct {
	cfg       config.Config
	log       *slog.Logger
	metrics   *metrics.Metrics
	listener  net.Listener
	engine    *local.Engine
	transport transport.Engine
	direct    *direct.Handler // nil: net/http answers every request
	hub       *hub.Hub
	webhook   *webhook.Dispatcher // nil: nobody is told
	telling   bool                // the webhook has started
	api       *api.Handler
	verifier  *auth.Verifier
	keys      *jwks.Set // nil: none are fetched
	server    *http.Server
	stop      context.CancelFunc // ends the streams of the page
}

// Limits of the HTTP server.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
	http2Silence      = 30 * time.Second // of a peer, until it is asked for a sign of life
	http2Patience     = 10 * time.Second // for the answer
	directPatience    = time.Second      // when stopping, for answers to what was asked
)

// New builds a server and begins to listen; nothing is answered before Run.
// version is the program's. The address is taken first, so that a port in use
// leaves the data directory alone.
func New(cfg config.Config, version string, log *slog.Logger) (*App, error) {
	a := &App{cfg: cfg, log: log, metrics: metrics.New(version), transport: newTransport(&cfg)}
	if err := a.build(version); err != nil {
		a.abandon()
		return nil, err
	}
	return a, nil
}

func (a *App) build(version string) (err error) {
	if a.listener, err = listen(a.cfg.Listen); err != nil {
		return err
	}
	if a.listener, err = a.secure(a.listener); err != nil {
		return err
	}
	namespaces, err := a.cfg.Namespaces()
	if err != nil {
		return err
	}
	if a.verifier, a.keys, err = NewVerifier(&a.cfg, a.log); err != nil {
		return err
	}
	if a.engine, err = local.Open(a.engineConfig()); err != nil {
		return err
	}
	a.bindEngine()
	node := hub.Node{UID: rand.Text(), Name: nodeName(), Version: version}
	a.webhook = a.webhooks()
	if a.hub, err = hub.New(a.hubConfig(namespaces, node)); err != nil {
		return err
	}
	if err := a.startWebhooks(); err != nil {
		return err
	}
	routes, err := a.routes(version)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.server = &http.Server{
		Handler:           readable(responseTimeout, a.front(routes)),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: http2Silence, PingTimeout: http2Patience, WriteByteTimeout: http2Silence},
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	if a.direct != nil {
		a.server.ConnContext = a.direct.ConnContext
	}
	return nil
}

// abandon gives back what a failed New had taken.
func (a *App) abandon() {
	if a.hub != nil {
		_ = a.hub.Shutdown(context.Background()) // there is no session to wait for
	}
	a.stopWebhooks(context.Background())
	if a.engine != nil {
		_ = a.engine.Close()
	}
	if a.listener != nil {
		_ = a.listener.Close()
	}
}

// Addr is the address that is listened on, with the port that was chosen.
func (a *App) Addr() string { return a.listener.Addr().String() }

// Run serves until ctx ends, then stops gracefully: no new connections, every
// client is told to come back (3001), what was accepted is stored. It is called
// once.
func (a *App) Run(ctx context.Context) error {
	a.warn()
	returning, cancel := context.WithCancel(ctx)
	defer cancel()
	var background sync.WaitGroup
	background.Go(func() { a.returnMemory(returning) })
	fetching := a.fetchKeys(returning)
	defer func() { cancel(); <-fetching; background.Wait() }()
	failed := make(chan error, 1)
	go func() { failed <- a.server.Serve(a.listener) }()
	if a.direct != nil {
		background.Go(func() { _ = a.server.Serve(a.direct.Listener()) }) // it ends when the other does
	}
	select {
	case <-ctx.Done():
		a.log.Info("stopping", "timeout", a.cfg.ShutdownTimeout)
		err := a.shutdown()
		if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), a.shutdown())
	}
}

// shutdown is the reverse of New: clients first, the store last.
func (a *App) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.ShutdownTimeout)
	defer cancel()
	a.closeDirect(ctx)
	hubErr := a.hub.Shutdown(ctx)
	a.stop() // not sooner: a response that carries a session would take it for the client's end
	httpErr := a.server.Shutdown(ctx)
	if httpErr != nil {
		httpErr = errors.Join(fmt.Errorf("requests were still under way: %w", httpErr), a.server.Close())
	}
	transportErr := a.transport.Close(ctx)
	a.stopWebhooks(ctx)
	err := errors.Join(hubErr, httpErr, transportErr, a.engine.Close())
	a.log.Info("stopped")
	return err
}

// warn says what is shut for want of a setting; a server that refuses everything
// should say why.
func (a *App) warn() {
	if a.cfg.Dev {
		return
	}
	t := &a.cfg.Tokens
	noKey := a.cfg.App.Secret == "" && t.PreviousSecret == "" && len(t.SecretFiles)+len(t.PublicKeys) == 0 && t.JWKSURL == ""
	if noKey && !a.cfg.Client.AllowAnonymous {
		a.log.Warn("no client can connect: set app.secret or another key for tokens, or client.allow_anonymous")
	}
	if a.cfg.API.Key == "" {
		a.log.Warn("the server API, the lists and /metrics refuse everybody: set api.key")
	}
}

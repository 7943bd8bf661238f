package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/api"
	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/auth/jwks"
	"github.com/fanfare-push/fanfare/internal/certs"
	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/survey"
	"github.com/fanfare-push/fanfare/internal/hook"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/tenant"
	"github.com/fanfare-push/fanfare/internal/transport"
	"github.com/fanfare-push/fanfare/internal/transport/direct"
	"github.com/fanfare-push/fanfare/internal/transport/proxies"
	"github.com/fanfare-push/fanfare/internal/webhook"
)

// App is one running server.
type App struct {
	cfg       config.Config
	log       *slog.Logger
	metrics   *metrics.Metrics
	public    entrance
	internal  *entrance // nil: everything is found at public
	engine    *deployment
	uid       string // of this process, among all there ever were
	transport transport.Engine
	direct    *direct.Handler // nil: net/http answers every request
	hub       *hub.Hub
	webhook   *webhook.Dispatcher // nil: nobody is told
	telling   bool                // the webhook has started
	asking    *hook.Client        // nil: the backend is asked nothing
	api       *api.Handler
	audit     *audit.Log  // nil: none is kept
	tokens    auth.Config // of the default App, but for keys of Apps
	apps      *tenant.Registry
	keys      *jwks.Set    // nil: none are fetched
	busy      *http.Server // serves what direct gives back
	certs     []*certs.Files
	acme      *certs.ACME // nil: certificates are in files, or there are none
	proxies   *proxies.Proxies
	survey    *survey.Survey // nil: the node is alone
	troubles  troubles
	draining  draining
	password  func(string) bool  // of the page's login; nil: there is none
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
	if err := a.admit(); err != nil {
		return err
	}
	if err := a.listenAll(); err != nil {
		return err
	}
	if a.audit, err = a.openAudit(); err != nil {
		return err
	}
	namespaces, err := a.cfg.Namespaces()
	if err != nil {
		return err
	}
	if a.tokens, a.keys, err = verifierConfig(&a.cfg, a.log); err != nil {
		return err
	}
	a.uid = rand.Text()
	if err := a.openEngine(); err != nil {
		return err
	}
	a.bindEngine()
	node := hub.Node{UID: a.uid, Name: a.nodeName(), Version: version}
	if a.webhook, err = a.webhooks(); err != nil {
		return err
	}
	if a.asking, err = a.hooks(); err != nil {
		return err
	}
	if a.hub, err = hub.New(a.hubConfig(namespaces, node)); err != nil {
		return err
	}
	if err := a.openApps(); err != nil {
		return err
	}
	a.startWebhooks()
	a.bindCluster()
	if err := a.openSurvey(); err != nil {
		return err
	}
	routes, err := a.routes(version)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.serveAll(ctx, routes)
	return nil
}

// abandon gives back what a failed New had taken.
func (a *App) abandon() {
	if a.hub != nil {
		_ = a.hub.Shutdown(context.Background()) // there is no session to wait for
	}
	a.stopWebhooks(context.Background())
	a.stopHooks()
	a.closeSurvey()
	if a.engine != nil {
		_ = a.engine.Close()
	}
	for _, e := range a.entrances() {
		if e.listener != nil {
			_ = e.listener.Close()
		}
	}
	_ = a.audit.Close()
}

// Addr is the address that is listened on, with the port that was chosen.
func (a *App) Addr() string { return a.public.listener.Addr().String() }

// InternalAddr is that of internal.listen; "": there is none.
func (a *App) InternalAddr() string {
	if a.internal == nil {
		return ""
	}
	return a.internal.listener.Addr().String()
}

// Run serves until ctx ends, then stops gracefully: no new connections, every
// client is told to come back (3001), on one node of several at a rate, and what
// was accepted is stored. It is called once.
func (a *App) Run(ctx context.Context) error {
	a.warn()
	returning, cancel := context.WithCancel(ctx)
	defer cancel()
	var background sync.WaitGroup
	background.Go(func() { a.returnMemory(returning) })
	fetching := a.fetchKeys(returning)
	defer func() { cancel(); <-fetching; background.Wait() }()
	a.watchCerts(returning, &background)
	background.Go(func() { a.followApps(returning) })
	background.Go(func() { a.watchNode(returning) })
	background.Go(func() { a.watchLogs(returning) })
	entrances := a.entrances()
	failed := make(chan error, len(entrances))
	for _, e := range entrances {
		go func() { failed <- e.server.Serve(e.listener) }()
	}
	if a.direct != nil {
		background.Go(func() { _ = a.busy.Serve(a.direct.Listener()) }) // it ends when the other does
	}
	select {
	case <-ctx.Done():
		a.log.Info("stopping", "timeout", a.cfg.ShutdownTimeout)
		err := a.shutdown(true)
		return errors.Join(err, served(failed, len(entrances)))
	case err := <-failed:
		err = errors.Join(fmt.Errorf("serve: %w", err), a.shutdown(false))
		return errors.Join(err, served(failed, len(entrances)-1))
	}
}

// served waits for n servers that were told to end.
func served(failed <-chan error, n int) (all error) {
	for range n {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// shutdown is the reverse of New: clients first, the store last. leave says that
// there is time for clients to leave one after the other.
func (a *App) shutdown(leave bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.ShutdownTimeout)
	defer cancel()
	a.endDrain()
	if leave {
		a.leave(ctx)
	}
	a.closeDirect(ctx)
	hubErr := a.hub.Shutdown(ctx)
	a.stopHooks()
	a.stop() // not sooner: a response that carries a session would take it for the client's end
	httpErr := a.shutdownHTTP(ctx)
	transportErr := a.transport.Close(ctx)
	a.stopWebhooks(ctx)
	a.closeSurvey()
	err := errors.Join(hubErr, httpErr, transportErr, a.engine.Close(), a.audit.Close())
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
	if noKey && !a.cfg.Client.AllowAnonymous && a.cfg.Hooks.ConnectURL == "" {
		a.log.Warn("no client can connect: set app.secret or another key for tokens, hooks.connect_url, or client.allow_anonymous")
	}
	if a.asking != nil && a.cfg.Hooks.Secret == "" {
		a.log.Warn("a backend cannot tell the questions of its hooks from forged ones: set hooks.secret")
	}
	switch {
	case a.cfg.API.Key == "" && len(a.cfg.App.Keys)+len(a.cfg.Apps) > 0:
		a.log.Warn("the lists and /metrics refuse everybody, and nobody can manage apps: set api.key")
	case a.cfg.API.Key == "":
		a.log.Warn("the server API, the lists and /metrics refuse everybody: set api.key")
	}
}

package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Config is what a Handler is made of.
type Config struct {
	// Dev opens numbers and lists to the machine's own user, without a key; the
	// key then opens nothing, as everybody knows it.
	Dev bool
	// Operator reports whether a request brings the operator's API key, which opens
	// numbers and lists; nil: there is no such key, and who cannot sign in is refused.
	Operator func(*http.Request) bool
	// Password tells whether a password is the right one, by which the page is then
	// signed in to; the API key still opens numbers and lists to tools. nil: there is
	// no login. It is called by one goroutine at a time. Dev does without.
	Password   func(string) bool
	SessionTTL time.Duration // of a login; 0: 12 hours
	// Client is whom wrong passwords are counted for; nil: all are one.
	Client  func(*http.Request) netip.Prefix
	Version string
	App     string // whose channels are listed; "": channel.DefaultApp
	Cluster string // that the node is one of; "": it is alone
	// Overview is how all nodes of it are, with which Cluster comes.
	Overview func(context.Context) (engine.Overview, error)
	// Refused is told of every request that was refused, to be counted and audited;
	// nil: nobody. It may wait for a disk, but not for a client.
	Refused func(*http.Request, Refusal)
}

// Refusal says why a request was refused.
type Refusal string

// The reasons to refuse.
const (
	RefusedKey      Refusal = "api_key"  // missing or wrong
	RefusedPeer     Refusal = "peer"     // in Dev: not from this machine, or on behalf of another site
	RefusedWatchers Refusal = "watchers" // MaxWatchers are there already
	RefusedPassword Refusal = "password" // wrong
	RefusedGuess    Refusal = "guess"    // too many wrong passwords from one address
	RefusedCSRF     Refusal = "csrf"     // a change that another site may have asked for
)

// Handler serves the page; mount it at "/".
type Handler struct {
	cfg       Config
	hub       hub.API
	log       *slog.Logger
	mux       *http.ServeMux
	watchers  chan struct{} // as many tokens as there are watchers
	listing   chan struct{} // its one token is held while channels are listed
	surveying chan struct{} // and this one while other nodes are asked
	snapshot  snapshot
	sessions  *sessions
	attempts  *attempts
	checking  chan struct{} // its one token is held while a password is checked
}

// defaultSessionTTL is a working day, and a little more.
const defaultSessionTTL = 12 * time.Hour

// New makes the handler. Streams end with their request's context: a server that
// stops must end the context that requests are based on.
func New(cfg Config, h hub.API, log *slog.Logger) *Handler {
	if cfg.App == "" {
		cfg.App = channel.DefaultApp
	}
	if cfg.Refused == nil {
		cfg.Refused = func(*http.Request, Refusal) {}
	}
	if cfg.Client == nil {
		cfg.Client = func(*http.Request) netip.Prefix { return netip.Prefix{} }
	}
	if cfg.SessionTTL == 0 {
		cfg.SessionTTL = defaultSessionTTL
	}
	a := &Handler{
		cfg: cfg, hub: h, log: log,
		mux: http.NewServeMux(), watchers: make(chan struct{}, MaxWatchers),
		listing: make(chan struct{}, 1), surveying: make(chan struct{}, 1), checking: make(chan struct{}, 1),
		sessions: newSessions(cfg.SessionTTL), attempts: newAttempts(log),
	}
	a.routes()
	return a
}

func (a *Handler) routes() {
	for path, f := range pageFiles() {
		a.mux.Handle(path, f)
	}
	a.mux.HandleFunc("/admin/access", a.access)
	a.mux.HandleFunc("/admin/request", requestSize)
	a.mux.HandleFunc(loginPath, a.login)
	a.mux.HandleFunc(logoutPath, a.guard(a.logout))
	a.mux.HandleFunc("/admin/live", a.guard(a.live))
	a.mux.HandleFunc("/admin/channels", a.guard(a.channels))
	a.mux.HandleFunc("/admin/cluster", a.guard(a.cluster))
	a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, "there is nothing here")
	})
}

// What is posted to; everything else is only read.
const (
	loginPath  = "/admin/login"
	logoutPath = "/admin/logout"
)

// ServeHTTP answers GET and HEAD of the page, its files and /admin/…, and POST of
// login and logout.
func (a *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	_, pattern := a.mux.Handler(r)
	posted := pattern == loginPath || pattern == logoutPath
	switch {
	case posted && r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		writeError(w, http.StatusMethodNotAllowed, "use POST, not "+r.Method)
	case pattern != "/" && !posted && changes(r):
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, http.StatusMethodNotAllowed, "use GET, not "+r.Method)
	default:
		a.mux.ServeHTTP(w, r)
	}
}

// setHeaders fences the page in: nothing from elsewhere, no inline script or
// style, no frame around it. 'self' of connect-src covers WebSockets of the same
// origin (CSP Level 3, section 6.7.2.8). Files override Cache-Control.
func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "+
		"require-trusted-types-for 'script'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY") // for what does not know frame-ancestors
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a reader that has left is not our error
}

func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{"code": status, "message": message}})
}

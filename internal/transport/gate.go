package transport

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/limit"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// Gate is what the request of a new connection passes, whatever carries it: it
// bounds those that are not yet with their shard, and asks the hub for a place.
type Gate struct {
	hub      *hub.Hub
	most     int64
	underWay atomic.Int64
	full     *limit.Report
	started  time.Time
}

// NewGate lets so many connections at once be under way.
func NewGate(h *hub.Hub, most int, m *metrics.Metrics, log *slog.Logger) *Gate {
	full := limit.NewReport("max_handshakes", m.Drops.Of(metrics.DropHandshakeLimit).Inc, log)
	return &Gate{hub: h, most: int64(most), full: full, started: time.Now()}
}

// Denial is why a connection is not accepted. All but 404 are temporary.
type Denial struct {
	Status int           // 404, 429 or 503
	After  time.Duration // for Retry-After
	Err    error         // hub.ErrUnknownApp, hub.ErrTooManyRequests, hub.ErrLimitExceeded, hub.ErrShutdown, ErrGateFull
}

// Final says that another try is of no use.
func (d *Denial) Final() bool { return d.Status == http.StatusNotFound }

// ErrGateFull says that too many connections are being accepted at once.
var ErrGateFull = errors.New("too many connections at once")

// retrySpread is how far apart those who are denied together come back.
const retrySpread = 5 * time.Second

// SetHeader tells when to try again: not all at the same time.
func (d *Denial) SetHeader(h http.Header) {
	if d.Final() {
		return
	}
	after := max(d.After, time.Second) + rand.N(retrySpread)
	h.Set("Retry-After", strconv.Itoa(int(after/time.Second)))
}

// Begin counts a request that is under way; nil: Done follows.
func (g *Gate) Begin(r *http.Request) *Denial {
	if g.underWay.Add(1) > g.most {
		g.underWay.Add(-1)
		g.full.Refused(time.Since(g.started), r.RemoteAddr)
		return &Denial{Status: http.StatusServiceUnavailable, Err: ErrGateFull}
	}
	return nil
}

// Done says that the request is with its shard, or has failed.
func (g *Gate) Done() { g.underWay.Add(-1) }

// UnderWay is how many requests are.
func (g *Gate) UnderWay() int { return int(g.underWay.Load()) }

// AppOf names the App that a request is for by its parameter app; "": the one that
// is always there.
func AppOf(r *http.Request) string {
	if !strings.Contains(r.URL.RawQuery, "app=") { // most requests have no such parameter, and need no map
		return ""
	}
	return r.URL.Query().Get("app")
}

// Enter takes a place for a new session of an App; the request is under way.
func (g *Gate) Enter(r *http.Request, app string) (hub.Place, *Denial) {
	place, err := g.hub.Enter(app, peerOf(r))
	if err == nil {
		return place, nil
	}
	d := &Denial{Status: http.StatusServiceUnavailable, Err: err}
	if errors.Is(err, hub.ErrUnknownApp) {
		d.Status = http.StatusNotFound
	}
	var crowded *hub.Crowded
	if errors.As(err, &crowded) {
		d.Status, d.After = http.StatusTooManyRequests, crowded.After
	}
	return hub.Place{}, d
}

// peerOf is the client's address as net/http knows it; the zero address where it
// knows none, as on a Unix socket.
func peerOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
}

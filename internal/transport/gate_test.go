package transport

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

func TestPeerOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[fe80::1%eth0]:80": "fe80::1%eth0",
		"@": "invalid IP", "": "invalid IP", "192.0.2.1": "invalid IP",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		if got := peerOf(r).String(); got != want {
			t.Errorf("%q: %s, want %s", remote, got, want)
		}
	}
}

// Clients that are denied together do not come back together, and none sooner than
// it is worth it.
func TestDenialsAreSpread(t *testing.T) {
	for _, after := range []time.Duration{0, 700 * time.Millisecond, 30 * time.Second} {
		seen := map[string]bool{}
		for range 500 {
			h := http.Header{}
			(&Denial{Status: http.StatusTooManyRequests, After: after, Err: hub.ErrTooManyRequests}).SetHeader(h)
			seconds, err := strconv.Atoi(h.Get("Retry-After"))
			if least := max(after, time.Second); err != nil || time.Duration(seconds)*time.Second < least || time.Duration(seconds)*time.Second > least+retrySpread {
				t.Fatalf("after %s: %q", after, h.Get("Retry-After"))
			}
			seen[h.Get("Retry-After")] = true
		}
		if len(seen) < 3 {
			t.Errorf("after %s: %d different times", after, len(seen))
		}
	}
}

func TestGateIsFull(t *testing.T) {
	var log strings.Builder
	m := metrics.New("")
	g := NewGate(nil, 1, m, slog.New(slog.NewTextHandler(&log, nil)))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if d := g.Begin(r); d != nil {
		t.Fatalf("%+v", d)
	}
	for range 3 {
		if d := g.Begin(r); d == nil || d.Status != http.StatusServiceUnavailable || !errors.Is(d.Err, ErrGateFull) {
			t.Errorf("%+v", d)
		}
	}
	g.Done()
	if d := g.Begin(r); d != nil || g.UnderWay() != 1 {
		t.Errorf("%+v, %d under way", d, g.UnderWay())
	}
	if n := m.Drops.Of(metrics.DropHandshakeLimit).Value(); n != 3 || strings.Count(log.String(), "limit=max_handshakes") != 1 {
		t.Errorf("%d refused, logged\n%s", n, &log)
	}
}

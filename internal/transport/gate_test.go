package transport

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
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
	g := &Gate{most: 1, full: &metrics.Counter{}}
	if d := g.Begin(); d != nil {
		t.Fatalf("%+v", d)
	}
	if d := g.Begin(); d == nil || d.Status != http.StatusServiceUnavailable || !errors.Is(d.Err, ErrGateFull) {
		t.Errorf("%+v", d)
	}
	g.Done()
	if d := g.Begin(); d != nil || g.UnderWay() != 1 || g.full.Value() != 1 {
		t.Errorf("%+v, %d under way, %d refused", d, g.UnderWay(), g.full.Value())
	}
}

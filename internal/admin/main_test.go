package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/api"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHub answers what the page asks. What it does not know would panic.
type fakeHub struct {
	hub.API
	infos, lists atomic.Int64
	listTakes    time.Duration
	query        atomic.Value // the last hub.ChannelQuery
	rows         []hub.ChannelInfo
	more         bool
	err          error
}

func (f *fakeHub) Info() hub.Info {
	n := f.infos.Add(1)
	return hub.Info{
		UID: "u1", Name: "node", Version: "hub", Clients: 3, Users: 2, Channels: 5, Subs: 7,
		Uptime: 90 * time.Second, Published: uint64(10 * n), Delivered: uint64(100 * n),
	}
}

// Nodes is one: this.
func (f *fakeHub) Nodes(context.Context, string) ([]hub.Info, error) {
	return []hub.Info{f.Info()}, f.err
}

func (f *fakeHub) Channels(_ context.Context, q hub.ChannelQuery) ([]hub.ChannelInfo, bool, error) {
	f.lists.Add(1)
	f.query.Store(q)
	if f.listTakes > 0 {
		<-time.After(f.listTakes)
	}
	return f.rows, f.more, f.err
}

// keyed opens to one key of the operator, by the way of the server API.
func keyed(secret string) func(*http.Request) bool {
	return func(r *http.Request) bool { return api.Opens(onlyKey(secret), tenant.Operator, r) }
}

// onlyKey is the secret of the only key that there is.
type onlyKey string

func (k onlyKey) Caller(secret string) (*tenant.App, *tenant.Key, bool) {
	return &tenant.App{}, &tenant.Key{Scope: tenant.Operator}, secret == string(k)
}

func (onlyKey) Callers() bool { return true }

func newHandler(cfg Config, h *fakeHub) *Handler {
	return New(cfg, h, slog.New(slog.DiscardHandler))
}

// local is a request as a program on the same machine makes it.
func local(method, target string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = "127.0.0.1:4711"
	r.Host = "127.0.0.1:8000"
	return r
}

func get(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wire is a ResponseWriter with a deadline, as the server's is.
type wire struct {
	*httptest.ResponseRecorder
	deadline time.Time
	fail     error
}

func newWire() *wire { return &wire{ResponseRecorder: httptest.NewRecorder()} }

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

func (w *wire) Write(p []byte) (int, error) {
	if w.fail != nil {
		return 0, w.fail
	}
	return w.ResponseRecorder.Write(p)
}

// watch reads the stream until ctx ends.
func watch(ctx context.Context, h http.Handler) *wire {
	w := newWire()
	h.ServeHTTP(w, local(http.MethodGet, "/admin/live").WithContext(ctx))
	return w
}

package tells

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

const (
	apiKey  = "tells"
	timeout = 40 * time.Second
)

// bin is the binary under test, built once.
var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("tells")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// backend is told of events.
type backend struct {
	mu      sync.Mutex
	down    bool
	ids     map[string]bool // of calls that were taken
	events  []event
	changed chan struct{}
}

type event struct {
	Name    string `json:"name"`
	Channel string `json:"channel"`
	Client  string `json:"client"`
	Code    uint32 `json:"code"`
	Offset  uint64 `json:"offset"`
}

// ServeHTTP takes each call once: one that is made again has the same id.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call struct{ Events []event }
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, json.Unmarshal(body, &call)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	if id := r.Header.Get("X-Fanfare-Webhook-Id"); !b.ids[id] {
		b.ids[id] = true
		b.events = append(b.events, call.Events...)
	}
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *backend) goDown(down bool) {
	b.mu.Lock()
	b.down = down
	b.mu.Unlock()
}

// until waits for the events to be as they should, and gives those after the first
// skip.
func (b *backend) until(t *testing.T, skip int, what string, holds func([]event) bool) []event {
	t.Helper()
	deadline := time.After(timeout)
	for {
		b.mu.Lock()
		events := slices.Clone(b.events[skip:])
		b.mu.Unlock()
		if holds(events) {
			return events
		}
		select {
		case <-b.changed:
		case <-deadline:
			t.Fatalf("waited in vain for %s: %v", what, events)
		}
	}
}

func count(events []event, name string) (n int) {
	for _, e := range events {
		if e.Name == name {
			n++
		}
	}
	return n
}

const config = `
app: {id: tells, key: tells, secret: tells-secret}
api: {key: ` + apiKey + `}
client: {allow_anonymous: true}
webhook:
  urls: ["%s"]
  trusted_hosts: [127.0.0.1]
  debounce: 100ms
  events: [connected, disconnected, subscribed, unsubscribed, published, channel_occupied, channel_vacated]
channel:
  without_namespace:
    history_size: 1000
    history_ttl: 1h
    allow_subscribe_for_client: true
    allow_subscribe_for_anonymous: true
`

// TestKilledServerTellsAtItsNextStart: whoever was there when the server was killed
// is told to have gone, once, and what was published while the backend was away is
// told in order.
func TestKilledServerTellsAtItsNextStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*timeout)
	defer cancel()
	b := &backend{ids: make(map[string]bool), changed: make(chan struct{}, 1)}
	receiver := httptest.NewServer(b)
	defer receiver.Close()
	opts := server.Options{Bin: bin, Dir: t.TempDir(), Config: fmt.Sprintf(config, receiver.URL), APIKey: apiKey}
	srv, err := server.Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	const clients = 20
	for range clients {
		c, err := wire.Connect(ctx, srv.WebSocketURL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Drop)
		if err := c.Send(ctx, `{"id":2,"subscribe":{"channel":"room"}}`); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Reply(ctx, 2); err != nil || m.Subscribe == nil {
			t.Fatalf("subscribe: %s, %v", m.Raw, err)
		}
	}
	before := b.until(t, 0, "subscriptions", func(all []event) bool { return count(all, "subscribed") == clients })
	b.goDown(true)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	api := srv.API(&http.Client{Transport: transport, Timeout: timeout})
	const published = 250
	for range published {
		if err := api.Do(ctx, "publish", map[string]any{"channel": "room", "data": 1}, nil); err != nil {
			t.Fatal(err)
		}
	}
	srv.Kill()
	b.goDown(false)
	if srv, err = server.Start(ctx, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Kill)
	after := b.until(t, len(before), "the end of all", func(all []event) bool {
		return count(all, "disconnected") == clients && count(all, "channel_vacated") == 1
	})
	if n := count(after, "unsubscribed"); n != clients {
		t.Errorf("%d told to be unsubscribed", n)
	}
	gone := make(map[string]bool)
	var offsets []uint64
	for _, e := range after {
		switch e.Name {
		case "disconnected":
			if gone[e.Client] || e.Code != 3000 {
				t.Errorf("told again, or wrongly: %+v", e)
			}
			gone[e.Client] = true
		case "published":
			offsets = append(offsets, e.Offset)
		}
	}
	for _, e := range before {
		if e.Name == "connected" && !gone[e.Client] {
			t.Errorf("%s is not told to have gone", e.Client)
		}
	}
	// The last few milliseconds before the kill may be missing, nothing else.
	for i, offset := range offsets {
		if offset != uint64(i+1) {
			t.Fatalf("publication %d is told as the %d.", offset, i+1)
		}
	}
	if len(offsets) < published-10 {
		t.Errorf("%d of %d publications are told", len(offsets), published)
	}
	if code, err := srv.Stop(ctx); err != nil || code != 0 {
		t.Errorf("stop: %d, %v\n%s", code, err, srv.Output())
	}
	if strings.Contains(srv.Output(), "tells-secret") {
		t.Error("the secret is in the log")
	}
}

// A receiver's name that has come to lead inside is not called: whoever has the name
// would have the server call what only it can reach.
func TestReceiverInsideIsNotCalled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	inside, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{})
	go func() {
		if c, err := inside.Accept(); err == nil {
			_ = c.Close()
			arrived <- struct{}{}
		}
		close(arrived)
	}()
	_, port, err := net.SplitHostPort(inside.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: t.TempDir(), Config: fmt.Sprintf(config, "https://localhost:"+port+"/"), APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Kill)
	c, err := wire.Connect(ctx, srv.WebSocketURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Drop)
	for !strings.Contains(srv.Output(), "the address is not public") {
		select {
		case <-arrived:
			t.Fatal("it was called")
		case <-ctx.Done():
			t.Fatalf("it was not tried:\n%s", srv.Output())
		case <-time.After(10 * time.Millisecond):
		}
	}
	_ = inside.Close()
	if _, called := <-arrived; called {
		t.Error("it was called")
	}
}

package badinput

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

const (
	apiKey  = "bad-input"
	timeout = 20 * time.Second
)

const serverConfig = `
app:
  id: bad-app
  key: bad-key
  secret: bad-input-secret
pusher:
  client_events: true
api:
  key: ` + apiKey + `
client:
  allow_anonymous: true
  allowed_origins: ["https://app.example.org"]
  connect_timeout: 1s
channel:
  namespaces:
    - name: open
      history_size: 10
      history_ttl: 1h
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
      allow_publish_for_client: true
      allow_publish_for_anonymous: true
      allow_history_for_client: true
      allow_history_for_anonymous: true
    - name: plain
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
      channel_regex: "^[a-z]+$"
    - name: closed
`

// bin is the binary under test, built once.
var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("badinput")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// fixture is a server with a session that expects to be left alone.
type fixture struct {
	srv     *server.Server
	api     *server.API
	http    *http.Client
	healthy *wire.Conn
	told    int
}

func start(t *testing.T) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: t.TempDir(), Config: serverConfig, APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	f := &fixture{srv: srv, http: &http.Client{Transport: transport, Timeout: timeout}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if code, err := srv.Stop(ctx); err != nil || code != 0 {
			t.Errorf("stop: exit code %d, %v\n%s", code, err, srv.Output())
		}
	})
	f.api = srv.API(f.http)
	f.healthy = f.subscriber(ctx, t, "open:healthy")
	return f
}

// subscriber connects and subscribes.
func (f *fixture) subscriber(ctx context.Context, t *testing.T, channel string) *wire.Conn {
	t.Helper()
	c, err := wire.Connect(ctx, f.srv.WebSocketURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Drop)
	if err := c.Send(ctx, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, channel)); err != nil {
		t.Fatal(err)
	}
	if m, err := c.Reply(ctx, 2); err != nil || m.Subscribe == nil {
		t.Fatalf("subscribe: %s, %v", m.Raw, err)
	}
	return c
}

// unharmed checks that the session beside still gets what is published, each
// publication once.
func (f *fixture) unharmed(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	f.told++
	want := fmt.Sprintf("still here %d", f.told)
	if err := f.api.Do(ctx, "publish", map[string]any{"channel": "open:healthy", "data": want}, nil); err != nil {
		t.Fatalf("the server no longer publishes: %v\n%s", err, f.srv.Output())
	}
	for {
		m, err := f.healthy.Next(ctx)
		if err != nil {
			t.Fatalf("the session beside is gone: %v\n%s", err, f.srv.Output())
		}
		if m.Push == nil || m.Push.Pub == nil {
			continue
		}
		if got := string(m.Push.Pub.Data); got != fmt.Sprintf("%q", want) {
			t.Fatalf("the session beside got %s, want %q", got, want)
		}
		return
	}
}

// quiet checks that nothing of the server's insides is in a text for outsiders.
func quiet(t *testing.T, text string) {
	t.Helper()
	for _, inside := range []string{"goroutine ", ".go:", "panic", "pebble", "0xc0"} {
		if strings.Contains(text, inside) {
			t.Errorf("tells of its insides: %.200s", text)
		}
	}
}

package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge-go"

	"github.com/fanfare-push/fanfare/test/server"
)

const (
	patience = 30 * time.Second
	apiKey   = "sdk"
)

const settings = `{
  "api": {"key": "sdk"},
  "client": {"allow_anonymous": true, "ping_interval": "1s", "pong_timeout": "500ms"},
  "channel": {"without_namespace": {
    "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
    "allow_publish_for_client": true, "allow_publish_for_anonymous": true,
    "allow_history_for_client": true, "allow_history_for_anonymous": true,
    "allow_presence_for_client": true, "allow_presence_for_anonymous": true,
    "presence": true, "history_size": 20000, "history_ttl": "1h", "history_durability": "memory",
    "force_recovery": true, "allow_tags_filter": true, "allowed_delta_types": ["fossil"]
  }}
}`

var (
	bin    string // the server under test
	binErr error
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fanfare-sdk-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin, binErr = build(dir)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build is what FANFARE_BIN names, or else a binary of the tree around this
// module.
func build(dir string) (string, error) {
	if named := os.Getenv("FANFARE_BIN"); named != "" {
		return named, nil
	}
	out := filepath.Join(dir, "fanfare")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", out, "./cmd/fanfare")
	cmd.Dir = filepath.Join("..", "..")
	if printed, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, printed)
	}
	return out, nil
}

// house is a server and the network to it.
type house struct {
	t       *testing.T
	server  *server.Server
	network network
}

// network are the connections of clients, which can be cut.
type network struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (n *network) dial(ctx context.Context, kind, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, kind, addr)
	if err == nil {
		n.mu.Lock()
		n.conns = append(n.conns, c)
		n.mu.Unlock()
	}
	return c, err
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}

func newHouse(t *testing.T) *house {
	t.Helper()
	if binErr != nil {
		t.Fatal(binErr)
	}
	s, err := server.Start(t.Context(), server.Options{Bin: bin, Dir: t.TempDir(), Config: settings, ConfigName: "fanfare.json", APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return &house{t: t, server: s}
}

// call calls the server API.
func (h *house) call(method string, request, result any) {
	h.t.Helper()
	if err := h.server.API(http.DefaultClient).Do(h.t.Context(), method, request, result); err != nil {
		h.t.Fatal(err)
	}
}

type object = map[string]any

// publish publishes the numbers from first to last, in one call.
func (h *house) publish(channel string, first, last int) {
	h.t.Helper()
	var commands []object
	for n := first; n <= last; n++ {
		data := object{"n": n, "text": "what stays the same in every message, and Größe", "square": n * n}
		commands = append(commands, object{"publish": object{"channel": channel, "data": data, "tags": object{"digit": fmt.Sprint(n % 10)}}})
	}
	h.call("batch", object{"commands": commands}, nil)
}

// connect makes a client of one of the SDK's encodings.
func (h *house) connect(encoding string) *centrifuge.Client {
	h.t.Helper()
	url := "ws://" + h.server.Addr() + "/connection/websocket"
	cfg := centrifuge.Config{
		NetDialContext: h.network.dial, MinReconnectDelay: 10 * time.Millisecond, MaxReconnectDelay: 100 * time.Millisecond,
	}
	c := centrifuge.NewJsonClient(url, cfg)
	if encoding == "protobuf" {
		c = centrifuge.NewProtobufClient(url, cfg)
	}
	h.t.Cleanup(c.Close)
	if err := c.Connect(); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// heard is what a subscription was told.
type heard struct {
	*centrifuge.Subscription

	mu      sync.Mutex
	numbers []int
	lost    int // times it came back without what it missed
}

func (h *house) subscribe(c *centrifuge.Client, channel string, cfg centrifuge.SubscriptionConfig) *heard {
	h.t.Helper()
	cfg.MinResubscribeDelay, cfg.MaxResubscribeDelay = 10*time.Millisecond, 100*time.Millisecond
	sub, err := c.NewSubscription(channel, cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &heard{Subscription: sub}
	ready := make(chan struct{}, 64)
	sub.OnSubscribed(func(e centrifuge.SubscribedEvent) {
		s.mu.Lock()
		if e.WasRecovering && !e.Recovered {
			s.lost++
		}
		s.mu.Unlock()
		ready <- struct{}{}
	})
	sub.OnPublication(func(e centrifuge.PublicationEvent) {
		var data struct{ N int }
		err := json.Unmarshal(e.Data, &data)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			data.N = -1
		}
		s.numbers = append(s.numbers, data.N)
	})
	if err := sub.Subscribe(); err != nil {
		h.t.Fatal(err)
	}
	select {
	case <-ready:
	case <-time.After(patience):
		h.t.Fatal("not subscribed")
	}
	return s
}

func (s *heard) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.numbers)
}

// until waits for a condition.
func (h *house) until(what string, holds func() bool) {
	h.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatal("not in time: ", what)
		}
	}
}

// heardAll checks that a subscription was told every number up to n, once and in
// order.
func (h *house) heardAll(s *heard, n int) {
	h.t.Helper()
	h.until(fmt.Sprint(n, " publications"), func() bool { return s.count() >= n })
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, got := range s.numbers {
		if got != i+1 {
			h.t.Fatalf("%d in the place of %d", got, i+1)
		}
	}
	if s.lost > 0 {
		h.t.Fatalf("%d times not recovered", s.lost)
	}
}

package session

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
)

const (
	apiKey  = "session-suite"
	secret  = "session-suite-secret"
	timeout = 60 * time.Second
)

const serverConfig = `
app:
  id: app
  key: key
  secret: ` + secret + `
api:
  key: ` + apiKey + `
client:
  allow_anonymous: true
  ping_interval: 2s
  pong_timeout: 1900ms
channel:
  namespaces:
    - name: history
      prefixes: ["hist-"]
      history_size: 1000
      history_ttl: 1h
      force_recovery: true
      presence: true
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
    - name: small
      prefixes: ["small-"]
      history_size: 3
      history_ttl: 1h
      force_recovery: true
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
    - name: mixed
      prefixes: ["mixed-"]
      history_size: 20000
      history_ttl: 1h
      force_recovery: true
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
    - name: closed
      prefixes: ["closed-"]
`

// wanted are the cells of the matrix: what each transport must carry.
var wanted = map[string][]string{
	"WebSocket": {
		"Centrifuge, JSON", "Centrifuge, Protobuf", "Centrifuge, unidirectional", "Pusher",
	},
	"HTTP stream":   {"Centrifuge, JSON", "Centrifuge, Protobuf", "Centrifuge, unidirectional"},
	"SSE":           {"Centrifuge, JSON", "Centrifuge, unidirectional", "plain"},
	"long poll":     {"plain"},
	"XHR streaming": {"Pusher"},
	"XHR polling":   {"Pusher"},
}

// way is a client of one cell.
type way struct {
	transport, protocol string
	// open listens to channels, from resume on where that is not nil.
	open func(e *env, channels []string, resume any) (listener, error)
	// without are the cases that make no sense for it, and why.
	without map[string]string
}

func (w way) String() string { return w.transport + "/" + w.protocol }

// listener is one open session.
type listener interface {
	// next waits for what happens next. Liveness is the listener's own business.
	next(ctx context.Context) (event, error)
	// cut ends the session as a lost network does.
	cut()
	// where is what open takes to resume after the last event; nil: there is no such
	// thing.
	where() any
}

// event is what a client is told.
type event struct {
	kind      kind
	channel   string
	data      string // message: JSON
	offset    uint64 // message; 0: there is none
	recovered bool   // subscribed
	code      int    // refused, ended
}

type kind string

const (
	subscribed kind = "subscribed"
	message    kind = "message"
	refused    kind = "refused"
	ended      kind = "ended"
)

// env is what a case runs in.
type env struct {
	*testing.T
	server *server.Server
	http   *http.Client
	api    *server.API
	user   string // whom the clients speak for; "": nobody
}

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("session")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// bin is the binary under test, built once.
var bin string

func TestEveryCellIsThere(t *testing.T) {
	have := map[string][]string{}
	for _, w := range ways {
		have[w.transport] = append(have[w.transport], w.protocol)
	}
	for transport, protocols := range wanted {
		for _, p := range protocols {
			if !slices.Contains(have[transport], p) {
				t.Errorf("no client speaks %s over %s", p, transport)
			}
		}
	}
	for _, w := range ways {
		if !slices.Contains(wanted[w.transport], w.protocol) {
			t.Errorf("%s is not in the matrix", w)
		}
		for name, why := range w.without {
			if why == "" || !slices.ContainsFunc(cases, func(c testCase) bool { return c.name == name }) {
				t.Errorf("%s does without %q: %q", w, name, why)
			}
		}
	}
}

func TestSessions(t *testing.T) {
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			srv, err := server.Start(t.Context(), server.Options{Bin: bin, Dir: t.TempDir(), Config: serverConfig, APIKey: apiKey})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(srv.Kill)
			for _, c := range cases {
				if why := w.without[c.name]; why != "" {
					t.Logf("without %q: %s", c.name, why)
					continue
				}
				t.Run(c.name, func(t *testing.T) { c.run(newEnv(t, srv), w) })
			}
		})
	}
}

func newEnv(t *testing.T, srv *server.Server) *env {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	return &env{T: t, server: srv, http: client, api: srv.API(client)}
}

// channel is one that no other case uses.
func (e *env) channel(prefix string, n int) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' || r == ',' {
			return '_'
		}
		return r
	}, e.Name())
	return fmt.Sprintf("%s-%s_%d", prefix, name[len(name)-min(len(name), 60):], n)
}

func (e *env) publish(channel string, data any) {
	e.Helper()
	if err := e.tryPublish(channel, data); err != nil {
		e.Fatal(err)
	}
}

func (e *env) tryPublish(channel string, data any) error {
	return e.api.Do(e.Context(), "publish", map[string]any{"channel": channel, "data": data}, nil)
}

// listen opens a session and waits until it is subscribed to everything.
func (e *env) listen(w way, channels []string, resume any) *hearer {
	e.Helper()
	l, err := w.open(e, channels, resume)
	if err != nil {
		e.Fatal(err)
	}
	h := &hearer{e: e, l: l}
	e.Cleanup(l.cut)
	for range channels {
		ev := h.next()
		if ev.kind != subscribed {
			e.Fatalf("%+v, want subscribed", ev)
		}
		h.recovered = append(h.recovered, ev.recovered)
	}
	return h
}

// hearer is a listener within a case.
type hearer struct {
	e         *env
	l         listener
	recovered []bool
}

func (h *hearer) next() event {
	h.e.Helper()
	ctx, cancel := context.WithTimeout(h.e.Context(), timeout)
	defer cancel()
	ev, err := h.l.next(ctx)
	if err != nil {
		h.e.Fatal(err)
	}
	return ev
}

// messages reads n of them.
func (h *hearer) messages(n int) []event {
	h.e.Helper()
	var list []event
	for len(list) < n {
		ev := h.next()
		if ev.kind != message {
			h.e.Fatalf("%+v after %d messages, want %d", ev, len(list), n)
		}
		list = append(list, ev)
	}
	return list
}

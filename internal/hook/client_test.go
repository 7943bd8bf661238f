package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/egress"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answered is what done was told.
type answered struct {
	answer hub.Answer
	err    error
}

// newClient asks one address for every hook.
func newClient(t *testing.T, url string, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		Hooks: map[hub.Hook]Endpoint{}, Metrics: metrics.New(""),
		HTTP: egress.New(egress.Config{Trusted: []string{"127.0.0.1"}, MaxIdle: 16}),
	}
	for _, name := range metrics.Hooks() {
		cfg.Hooks[hub.Hook(name)] = Endpoint{URL: url, Timeout: 10 * time.Second}
	}
	if change != nil {
		change(&cfg)
	}
	c := New(cfg)
	t.Cleanup(c.Close)
	return c
}

// serve runs a backend.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

func asking(c *Client, q hub.Question) <-chan answered {
	ch := make(chan answered, 1)
	c.Ask(q, func(a hub.Answer, err error) { ch <- answered{a, err} })
	return ch
}

func ask(t *testing.T, c *Client, q hub.Question) (hub.Answer, error) {
	t.Helper()
	select {
	case got := <-asking(c, q):
		return got.answer, got.err
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
		panic("unreachable")
	}
}

func count(c *Client, hook hub.Hook, o metrics.HookOutcome) uint64 {
	return c.cfg.Metrics.HookCalls.Of(metrics.HookCall{Hook: string(hook), Outcome: o}).Value()
}

func TestQuestion(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "{\"result\": {\"user\": \"56\",\n\"data\": {\"a\": 1}}}")
	})
	c := newClient(t, url, func(cfg *Config) {
		cfg.Secret, cfg.Headers, cfg.ClientHeaders = []byte("s3cret"), []string{"cookie", "X-Both"}, []string{"authorization", "x-both", "X-Fanfare-Hook"}
	})
	a, err := ask(t, c, hub.Question{
		Hook: hub.HookConnect, Client: "c1", Transport: "websocket", Protocol: "json", Encoding: "json", Data: []byte(`{"x":"<"}`),
		Header:       map[string][]string{"Cookie": {"sid=1"}, "X-Other": {"no"}, "X-Both": {"header"}},
		ClientHeader: map[string]string{"Authorization": "Bearer x", "X-Both": "client", "Cookie": "sid=2", "X-Fanfare-Hook": "rpc", "Evil": "a\r\nb"},
	})
	if err != nil || a.User != "56" || string(a.Data) != `{"a":1}` {
		t.Fatalf("%+v, %v", a, err)
	}
	want := `{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","data":{"x":"<"}}`
	if strings.TrimSpace(string(body)) != want {
		t.Errorf("asked %s", body)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Cookie": "sid=1", "X-Both": "header", "Authorization": "Bearer x", "X-Other": "",
		HeaderHook: "connect", "Idempotency-Key": "",
	} {
		if got.Header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), value)
		}
	}
	if s := Sign([]byte("s3cret"), got.Header.Get(HeaderTimestamp), hub.HookConnect, body); got.Header.Get(HeaderSignature) != s {
		t.Errorf("signature %q, want %q", got.Header.Get(HeaderSignature), s)
	}
	if _, err := ask(t, c, hub.Question{Hook: hub.HookPublish, Data: []byte{0xff}, Binary: true}); err != nil {
		t.Error(err)
	}
	var q map[string]any
	if err := json.Unmarshal(body, &q); err != nil || q["b64data"] != "/w==" || q["data"] != nil || q["user"] != "" {
		t.Errorf("asked %s", body)
	}
}

// The example of the documentation.
func TestSignatureIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "hooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	sign := Sign([]byte("hooks-example-secret"), "1750000000", hub.HookSubscribe, []byte(`{"client":"c1","channel":"chat:1"}`))
	if !strings.Contains(string(page), "`"+sign+"`") {
		t.Errorf("docs/hooks.md does not say %s", sign)
	}
}

// A value that cannot be a header never is one.
func TestClientHeaderThatIsNone(t *testing.T) {
	h := http.Header{}
	passOn(h, nil, []string{"Authorization", "Host", "Content-Length"}, &hub.Question{ClientHeader: map[string]string{
		"Authorization": "a\r\nX-Injected: b", "host": "inside", "CONTENT-LENGTH": "0",
	}})
	if len(h) != 0 {
		t.Errorf("%v", h)
	}
}

// How a backend may fail, and what is counted.
func TestFailures(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		outcome metrics.HookOutcome
	}{
		{"status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, metrics.HookStatus},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://10.0.0.1/", http.StatusTemporaryRedirect)
		}, metrics.HookStatus},
		{"cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, metrics.HookBroken},
		{"huge", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2000)) }, metrics.HookTooLarge},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, metrics.HookMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, serve(t, tt.handler), func(cfg *Config) { cfg.MaxReply = 1000 })
			if _, err := ask(t, c, hub.Question{Hook: hub.HookPublish}); !errors.Is(err, hub.ErrNoAnswer) {
				t.Errorf("%v", err)
			}
			if n := count(c, hub.HookPublish, tt.outcome); n != 1 {
				t.Errorf("%s is counted %d times", tt.outcome, n)
			}
		})
	}
}

func TestSlowBackend(t *testing.T) {
	asked := make(chan struct{}, 8)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // then the server sees the client leave
		asked <- struct{}{}
		<-r.Context().Done()
	})
	c := newClient(t, url, func(cfg *Config) {
		cfg.Hooks[hub.HookConnect] = Endpoint{URL: url, Timeout: 50 * time.Millisecond}
		cfg.MaxConcurrent = 1
	})
	if _, err := ask(t, c, hub.Question{Hook: hub.HookConnect}); !errors.Is(err, hub.ErrNoAnswer) || count(c, hub.HookConnect, metrics.HookTimeout) != 1 {
		t.Errorf("slow: %v", err)
	}
	<-asked
	l := c.lines[lineID{hub.HookConnect, ""}]
	l.lanes.of[""].places <- struct{}{} // somebody has the only place
	if _, err := ask(t, c, hub.Question{Hook: hub.HookConnect}); !errors.Is(err, hub.ErrNoAnswer) || count(c, hub.HookConnect, metrics.HookBusy) != 1 {
		t.Errorf("busy: %v", err)
	}
	for range MaxWaiting {
		l.lanes.enter("", time.Now())
	}
	if _, err := ask(t, c, hub.Question{Hook: hub.HookConnect}); !errors.Is(err, hub.ErrNoAnswer) || count(c, hub.HookConnect, metrics.HookBusy) != 2 {
		t.Errorf("a full line: %v", err)
	}
	held := asking(c, hub.Question{Hook: hub.HookRPC}) // another hook has places of its own
	<-asked
	c.Close() // ends what is under way
	if got := <-held; !errors.Is(got.err, hub.ErrNoAnswer) || count(c, hub.HookRPC, metrics.HookStopping) != 1 {
		t.Errorf("%v", got.err)
	}
	if _, err := ask(t, c, hub.Question{Hook: hub.HookRPC}); !errors.Is(err, hub.ErrNoAnswer) {
		t.Errorf("after Close: %v", err)
	}
}

// flaky fails to connect so many times.
type flaky struct {
	fails atomic.Int64
	to    string
}

func (f *flaky) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	if f.fails.Add(-1) >= 0 {
		return nil, errors.New("connection refused")
	}
	return (&net.Dialer{}).DialContext(ctx, network, f.to)
}

// What has not been sent is sent again; what may have been is not.
func TestRetries(t *testing.T) {
	var calls atomic.Int64
	var cut atomic.Bool
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		if cut.Load() {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"result":{}}`)
	})
	f := &flaky{to: strings.TrimPrefix(url, "http://")}
	c := newClient(t, url, func(cfg *Config) { cfg.HTTP = &http.Client{Transport: &http.Transport{DialContext: f.dial}} })
	f.fails.Store(maxAttempts - 1)
	if _, err := ask(t, c, hub.Question{Hook: hub.HookPublish}); err != nil || calls.Load() != 1 || c.cfg.Metrics.HookRetries.Value() != maxAttempts-1 {
		t.Errorf("%v after %d calls and %d retries", err, calls.Load(), c.cfg.Metrics.HookRetries.Value())
	}
	cut.Store(true)
	for _, hook := range []hub.Hook{hub.HookPublish, hub.HookRPC} {
		calls.Store(0)
		cut.Store(false)
		_, _ = ask(t, c, hub.Question{Hook: hook}) // leaves a connection to be used again
		cut.Store(true)
		if _, err := ask(t, c, hub.Question{Hook: hook}); !errors.Is(err, hub.ErrNoAnswer) || calls.Load() != 2 {
			t.Errorf("%s: %v after %d calls", hook, err, calls.Load())
		}
	}
	c.cfg.HTTP.CloseIdleConnections()
	f.fails.Store(maxAttempts)
	calls.Store(0)
	if _, err := ask(t, c, hub.Question{Hook: hub.HookPublish}); !errors.Is(err, hub.ErrNoAnswer) || calls.Load() != 0 || count(c, hub.HookPublish, metrics.HookUnreachable) != 1 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestBreakerOpensForOneHook(t *testing.T) {
	var calls atomic.Int64
	var down atomic.Bool
	down.Store(true)
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, `{"error":{"code":404,"message":"no"}}`)
	})
	c := newClient(t, url, func(cfg *Config) { cfg.BreakerFailures, cfg.BreakerPause = 3, time.Hour })
	for range 10 {
		_, _ = ask(t, c, hub.Question{Hook: hub.HookRPC})
	}
	if calls.Load() != 3 || count(c, hub.HookRPC, metrics.HookBreakerOpen) != 7 || c.cfg.Metrics.HookBreaker["rpc"].Value() != stateOpen {
		t.Errorf("asked %d times", calls.Load())
	}
	down.Store(false)
	var said *hub.BackendError
	if _, err := ask(t, c, hub.Question{Hook: hub.HookSubscribe}); !errors.As(err, &said) || said.Code != 404 {
		t.Errorf("another hook: %v", err)
	}
}

// What one App has asked and is not answered opens the breaker, and takes the places, of
// that App alone.
func TestAppsHoldUpThemselves(t *testing.T) {
	asked, answer := make(chan struct{}, 8), make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var q question
		_ = json.NewDecoder(r.Body).Decode(&q)
		switch q.App {
		case "down":
			w.WriteHeader(http.StatusBadGateway)
			return
		case "slow":
			asked <- struct{}{}
			<-answer
		}
		_, _ = io.WriteString(w, `{"result":{}}`)
	})
	c := newClient(t, url, func(cfg *Config) { cfg.BreakerFailures, cfg.BreakerPause, cfg.MaxConcurrent = 2, time.Hour, 1 })
	of := func(app string) hub.Question { return hub.Question{Hook: hub.HookSubscribe, App: app} }
	for range 5 {
		_, _ = ask(t, c, of("down"))
	}
	if n := count(c, hub.HookSubscribe, metrics.HookBreakerOpen); n != 3 || c.cfg.Metrics.HookBreaker["subscribe"].Value() != stateOpen {
		t.Errorf("%d questions met an open breaker, which is %d", n, c.cfg.Metrics.HookBreaker["subscribe"].Value())
	}
	held := []<-chan answered{asking(c, of("slow")), asking(c, of("slow"))}
	<-asked // the other one waits for its place
	for _, app := range []string{"well", "default"} {
		if _, err := ask(t, c, of(app)); err != nil {
			t.Errorf("%s: %v", app, err)
		}
	}
	close(answer)
	for _, h := range held {
		if got := <-h; got.err != nil {
			t.Error(got.err)
		}
	}
}

// However many Apps there are, lanes are bounded, and Apps without one can still ask.
func TestLanesAreBounded(t *testing.T) {
	c := newClient(t, "http://127.0.0.1:0", nil)
	l, now := &c.lines[lineID{hub.HookConnect, ""}].lanes, time.Unix(1000, 0)
	enter := func(app string) *lane {
		t.Helper()
		at, room := l.enter(app, now)
		if !room {
			t.Fatalf("%s may not ask", app)
		}
		return at
	}
	all := make([]*lane, maxLanes)
	for i := range all {
		all[i] = enter(fmt.Sprint("app", i))
	}
	if beyond := enter("beyond"); beyond.app != "" || enter("another") != beyond || len(l.of) != maxLanes {
		t.Errorf("%d lanes, and those beyond have %q", len(l.of), beyond.app)
	}
	for range 20 {
		all[0].breaker.failed(now) // opens
	}
	for _, at := range all {
		l.leave(at)
	}
	now = now.Add(sweepEvery)
	if at := enter("beyond"); at.app != "beyond" || len(l.of) != 2 || l.of["app0"] == nil {
		t.Errorf("of lanes that nobody needs %d are left, besides one whose breaker is open", len(l.of))
	}
}

// One App that asks without end leaves others their share.
func TestShareOfWaiting(t *testing.T) {
	c := newClient(t, "http://127.0.0.1:0", nil)
	l, now := &c.lines[lineID{hub.HookConnect, ""}].lanes, time.Unix(1000, 0)
	fill := func(app string) (n int) {
		for {
			if _, room := l.enter(app, now); !room {
				return n
			}
			n++
		}
	}
	if n := fill("greedy"); n != MaxWaiting {
		t.Errorf("one alone has %d", n)
	}
	if n := fill("modest"); n != MaxWaiting/2 {
		t.Errorf("the other of two has %d", n)
	}
	if n := fill("late"); n != MaxWaiting/3 {
		t.Errorf("the third has %d", n)
	}
}

// A namespace's own backend is asked in place of the hook's, with its own secret, time
// and breaker.
func TestNamedBackends(t *testing.T) {
	own := []byte("own secret")
	var stranger atomic.Bool
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		hook, at := hub.Hook(r.Header.Get(HeaderHook)), r.Header.Get(HeaderTimestamp)
		if r.Header.Get(HeaderSignature) != Sign(own, at, hook, body) {
			stranger.Store(true)
		}
		_, _ = io.WriteString(w, `{"result":{"data":"named"}}`)
	})
	dead := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	c := newClient(t, dead, func(cfg *Config) {
		cfg.BreakerFailures, cfg.BreakerPause, cfg.Secret = 1, time.Hour, []byte("shared")
		delete(cfg.Hooks, hub.HookPublish)
		cfg.Backends = map[string]Endpoint{"other": {URL: other, Secret: own}, "dead": {URL: dead}}
	})
	for _, name := range []string{"", DefaultBackend, "dead", "nobody"} {
		if _, err := ask(t, c, hub.Question{Hook: hub.HookSubscribe, Backend: name}); !errors.Is(err, hub.ErrNoAnswer) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if b := c.cfg.Metrics.HookBreaker["subscribe"]; b.Value() != stateOpen || count(c, hub.HookSubscribe, metrics.HookBreakerOpen) != 1 {
		t.Errorf("the breaker is %d", b.Value())
	}
	for _, name := range Named() {
		if a, err := ask(t, c, hub.Question{Hook: name, Backend: "other"}); err != nil || name != hub.HookSubRefresh && string(a.Data) != `"named"` {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	if stranger.Load() {
		t.Error("it is signed with the secret of another")
	}
	if !c.Asks(hub.HookPublish) || c.lines[lineID{hub.HookRPC, "other"}] != nil {
		t.Error("named backends are asked about channels, and nothing else")
	}
}

// An answer that makes no sense, or says no in HTTP, keeps the breaker closed: one
// client could ask for it again and again.
func TestBreakerStaysClosed(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusNotFound, http.StatusFound} {
		var calls atomic.Int64
		c := newClient(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "nonsense")
		}), func(cfg *Config) { cfg.BreakerFailures = 2 })
		for range 5 {
			_, _ = ask(t, c, hub.Question{Hook: hub.HookRPC})
		}
		if calls.Load() != 5 {
			t.Errorf("%d: asked %d times", status, calls.Load())
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	var most, now atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		now.Add(-1)
		_, _ = io.WriteString(w, `{"result":{"user":""}}`)
	})
	c := newClient(t, url, func(cfg *Config) { cfg.MaxConcurrent = 4 })
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if got := <-asking(c, hub.Question{Hook: hub.HookConnect}); got.err != nil {
				t.Error(got.err)
			}
		})
	}
	wg.Wait()
	if most.Load() > 4 {
		t.Errorf("%d questions at once", most.Load())
	}
	if w, o := c.cfg.Metrics.HooksWait.Value(), c.cfg.Metrics.HooksOpen.Value(); w != 0 || o != 0 {
		t.Errorf("%d wait, %d are open", w, o)
	}
}

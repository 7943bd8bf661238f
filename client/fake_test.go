package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what a test waits for; nothing is decided by it.
const patience = 10 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// peer is the server's side of one connection.
type peer struct {
	t   *testing.T
	ctx context.Context
	ws  *websocket.Conn
}

// send sends lines as one frame.
func (p *peer) send(lines ...string) {
	_ = p.ws.Write(p.ctx, websocket.MessageText, []byte(strings.Join(lines, "\n")))
}

// expect reads a frame that must be want.
func (p *peer) expect(want string) {
	p.t.Helper()
	_, data, err := p.ws.Read(p.ctx)
	if err != nil || string(data) != want {
		p.t.Errorf("server read %s (%v), want %s", data, err, want)
	}
}

func (p *peer) close(code int, reason string) { _ = p.ws.Close(websocket.StatusCode(code), reason) }

// welcome answers connect, and expects it to be plain.
func (p *peer) welcome() {
	p.t.Helper()
	p.expect(`{"id":1,"connect":{}}`)
	p.send(`{"id":1,"connect":{"client":"c1","version":"0","ping":25,"pong":true}}`)
}

// wait returns once the client has gone.
func (p *peer) wait() {
	for {
		if _, _, err := p.ws.Read(p.ctx); err != nil {
			return
		}
	}
}

// serve makes a server whose n-th connection follows the n-th script, and is cut
// at its end. More connections than scripts are a fault.
func serve(t *testing.T, scripts ...func(p *peer)) (addr string) {
	t.Helper()
	ctx := testContext(t)
	var mu sync.Mutex
	var running sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		mu.Lock()
		if len(scripts) == 0 {
			mu.Unlock()
			t.Error("a connection too many")
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		script := scripts[0]
		scripts = scripts[1:]
		mu.Unlock()
		if script == nil { // a proxy without its server
			http.Error(w, "later", http.StatusBadGateway)
			return
		}
		if r.URL.Path != "/connection/websocket" {
			t.Errorf("path %s", r.URL.Path)
		}
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow()
		script(&peer{t, ctx, ws})
	}))
	t.Cleanup(func() {
		srv.Close()
		running.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(scripts) > 0 {
			t.Errorf("%d connections were not made", len(scripts))
		}
	})
	return srv.URL
}

// apiServer answers calls by method; what is asked is kept.
func apiServer(t *testing.T, answer func(method string, body map[string]any) (status int, reply string)) *API {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("X-API-Key") != "secret" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s with key %q, type %q", r.Method, r.Header.Get("X-API-Key"), r.Header.Get("Content-Type"))
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("body: %v", err)
		}
		status, reply := answer(strings.TrimPrefix(r.URL.Path, "/api/"), body)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(reply))
	}))
	t.Cleanup(srv.Close)
	a, err := NewAPI(srv.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

package httpstream

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// serveXHR has a server of its own, with the paths that pusher-js asks for.
func (f *fixture) serveXHR() { f.serveXHROn(noEngine{}, "") }

// serveXHROn is a node of that id on an engine.
func (f *fixture) serveXHROn(nodes engine.Engine, uid string) *XHR {
	f.t.Helper()
	var eng transport.Engine = transport.NewGoroutines(transport.Options{SendBuffer: 4 << 10})
	if !f.mode.goroutines {
		eng = transport.New(transport.Options{SendBuffer: 4 << 10})
	}
	ns, err := channel.NewNamespaces(channel.Options{}, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.proto, f.count = &echo{opened: make(chan *hub.Session, 16)}, metrics.New("")
	f.hub, err = hub.New(hub.Config{
		Engine: nodes, Namespaces: ns, Auth: nobody{}, NewLoop: eng.NewLoop, Shards: 2,
		ConnectTimeout: time.Hour, Metrics: f.count, OutboxMax: 4 << 20, Node: hub.Node{UID: uid},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.hub.SetApp(hub.App{Name: "other", Namespaces: ns, Auth: nobody{}})
	x, err := NewXHR(XHRConfig{
		Config: Config{
			Hub: f.hub, Engine: eng, Metrics: f.count, MaxBody: 64 << 10,
			Hello: func(r *http.Request) (any, error) { return "hello " + r.PathValue("key"), nil },
		},
		Protocol: f.proto,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/{key}/{server}/{session}/xhr_streaming", x.Streaming())
	mux.Handle("/{key}/{server}/{session}/xhr", x.Polling())
	mux.Handle("/{key}/{server}/{session}/xhr_send", x.Send())
	f.listen(mux)
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(f.hub.Shutdown(ctx), eng.Close(ctx)); err != nil && !errors.Is(err, hub.ErrShutdown) {
			f.t.Error(err)
		}
	})
	return x
}

func eachXHRMode(t *testing.T, fn func(f *fixture)) {
	t.Helper()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			f := &fixture{t: t, mode: m}
			f.serveXHR()
			fn(f)
		})
	}
}

func (f *fixture) post(path, body string) *response {
	f.t.Helper()
	return f.ask(http.MethodPost, body, func(r *http.Request) { r.URL.Path = path })
}

func (f *fixture) say(session, body string, status int) {
	f.t.Helper()
	if res := f.post(session+"/xhr_send", body); res.StatusCode != status {
		f.t.Errorf("%s is answered with %d %s, want %d", body, res.StatusCode, res.rest(), status)
	}
}

func (f *fixture) url(path string) string {
	if f.mode.tls {
		return "https://" + f.addr + path
	}
	return "http://" + f.addr + path
}

func (f *fixture) until(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			f.t.Fatalf("never: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func (r *response) expect(lines ...string) {
	r.t.Helper()
	for _, want := range lines {
		if got := r.line(); got != want {
			r.t.Errorf("line %s, want %s", got, want)
		}
	}
}

func TestXHRStreaming(t *testing.T) {
	eachXHRMode(t, func(f *fixture) {
		const session = "/key/1/abc"
		s := f.post(session+"/xhr_streaming", "")
		if s.StatusCode != http.StatusOK || !strings.HasPrefix(s.Header.Get("Content-Type"), "application/javascript") {
			t.Errorf("%d %v", s.StatusCode, s.Header)
		}
		s.expect("o", `a["hello key"]`)
		f.say(session, `["one","tw\"o"]`, http.StatusNoContent)
		s.expect(`a["one"]`, `a["tw\"o"]`)
		f.say(session, `["ü€🎉\n"]`, http.StatusNoContent)
		s.expect(`a["\u00fc\u20ac\ud83c\udf89\u000a"]`)
		f.say(session, `[]`, http.StatusNoContent)
		s.expect(`a[]`)
		f.say(session, `["bye"]`, http.StatusNoContent)
		s.expect(`c[3503,"force disconnect"]`)
		if rest := s.rest(); rest != "" {
			t.Errorf("after the end: %q", rest)
		}
		f.ended()
		f.say(session, `["one"]`, http.StatusNotFound)
	})
}

func TestXHRPolling(t *testing.T) {
	eachXHRMode(t, func(f *fixture) {
		const session = "/key/1/abc"
		first := f.post(session+"/xhr", "")
		first.expect("o", `a["hello key"]`)
		if rest := first.rest(); rest != "" {
			t.Errorf("a poll goes on: %q", rest)
		}
		f.say(session, `["one"]`, http.StatusNoContent)
		f.say(session, `["two","three"]`, http.StatusNoContent)
		got := ""
		for want := "a[\"one\"]\na[\"two\"]\na[\"three\"]\n"; len(got) < len(want); {
			got += f.post(session+"/xhr", "").rest()
			if !strings.HasPrefix(want, got) {
				t.Fatalf("polled %q, want %q", got, want)
			}
		}
		f.say(session, `["bye"]`, http.StatusNoContent)
		if got := f.post(session+"/xhr", "").rest(); got != "c[3503,\"force disconnect\"]\n" {
			t.Errorf("polled %q", got)
		}
		f.ended()
	})
}

// A stream takes no more than its client reads, and ends with a whole line; the
// next one goes on where it ended.
func TestXHRStreamIsFollowed(t *testing.T) {
	eachXHRMode(t, func(f *fixture) {
		const session, messages = "/key/1/abc", 100
		s := f.post(session+"/xhr_streaming", "")
		s.expect("o", `a["hello key"]`)
		hs := <-f.proto.opened
		text := strings.Repeat("é", 1500)
		on(hs, func() {
			for range messages {
				hs.Send([]byte(text))
			}
		})
		seen, streams := 0, 1
		for read := len("o\n") + len(`a["hello key"]`) + 1; seen < messages; {
			if read > xhrStream {
				s.leave()
				s = f.post(session+"/xhr_streaming", "")
				read, streams = 0, streams+1
			}
			line := s.line()
			read += len(line) + 1
			var got []string
			if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "a")), &got); err != nil || len(got) != 1 || got[0] != text {
				t.Fatalf("line %d is %.40q…: %v", seen, line, err)
			}
			seen++
		}
		if streams != 4 {
			t.Errorf("%d streams for %d characters", streams, messages*(6*1500+6))
		}
		f.say(session, `["still there"]`, http.StatusNoContent)
		s.expect(`a["still there"]`)
	})
}

// A client that leaves a stream, or a poll, which had more to bring is gone.
func TestXHRClientLeaves(t *testing.T) {
	eachXHRMode(t, func(f *fixture) {
		s := f.post("/key/1/abc/xhr_streaming", "")
		s.expect("o", `a["hello key"]`)
		s.leave()
		f.ended()
		f.post("/key/2/abc/xhr", "").expect("o", `a["hello key"]`)
		left := make(chan struct{})
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			defer close(left)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url("/key/2/abc/xhr"), http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			if res, err := f.client.Do(req); err == nil {
				_ = res.Body.Close()
			}
		}()
		<-f.proto.opened
		hs := <-f.proto.opened
		f.until("the poll waits", func() bool {
			waits := false
			on(hs, func() { waits = hs.Conn().(*carrier).now != nil })
			return waits
		})
		leave()
		<-left
		f.ended()
	})
}

// A session that nobody asks for any more ends.
func TestXHRWindow(t *testing.T) {
	f := &fixture{t: t, mode: modes()[0]}
	f.serveXHR()
	f.post("/key/1/abc/xhr", "").expect("o", `a["hello key"]`)
	hs := <-f.proto.opened
	on(hs, func() {
		c := hs.Conn().(*carrier)
		if c.timer == nil || !c.timer.Stop() {
			t.Error("nothing would end the session")
		}
		c.expire()
	})
	f.ended()
	f.say("/key/1/abc", `["one"]`, http.StatusNotFound)
}

// While a session takes no messages they wait, a bounded number of bytes.
func TestXHRPaused(t *testing.T) {
	f := &fixture{t: t, mode: modes()[0]}
	f.serveXHR()
	s := f.post("/key/1/abc/xhr_streaming", "")
	s.expect("o", `a["hello key"]`)
	hs := <-f.proto.opened
	c := hs.Conn().(*carrier)
	on(hs, c.Pause)
	f.say("/key/1/abc", `["one","two"]`, http.StatusNoContent)
	on(hs, func() {
		if len(c.held) != 2 {
			t.Errorf("held %q", c.held)
		}
		c.Resume()
	})
	s.expect(`a["one"]`, `a["two"]`)
	on(hs, c.Pause)
	for range maxXHRHeld/(60<<10) + 1 {
		f.say("/key/1/abc", `["`+strings.Repeat("x", 60<<10)+`"]`, http.StatusNoContent)
	}
	s.expect(`c[3013,"too many requests"]`)
	f.ended()
}

func TestXHRRefuses(t *testing.T) {
	f := &fixture{t: t, mode: modes()[0]}
	f.serveXHR()
	f.post("/key/1/abc/xhr_streaming", "").expect("o")
	tests := []struct {
		name, method, path, body string
		status                   int
	}{
		{"no such session", http.MethodPost, "/key/2/abc/xhr_send", "[]", http.StatusNotFound},
		{"another key", http.MethodPost, "/yek/1/abc/xhr_send", "[]", http.StatusNotFound},
		{"no array", http.MethodPost, "/key/1/abc/xhr_send", "{}", http.StatusBadRequest},
		{"no texts", http.MethodPost, "/key/1/abc/xhr_send", "[1]", http.StatusBadRequest},
		{"a long session", http.MethodPost, "/key/1/" + strings.Repeat("x", 64) + "/xhr_streaming", "", http.StatusNotFound},
		{"another method", http.MethodGet, "/key/1/abc/xhr_streaming", "", http.StatusMethodNotAllowed},
	}
	for _, tt := range tests {
		res := f.ask(tt.method, tt.body, func(r *http.Request) { r.URL.Path = tt.path })
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, res.StatusCode, res.rest(), tt.status)
		}
	}
	res := f.ask(http.MethodPost, "", func(r *http.Request) {
		r.URL.Path = "/key/3/abc/xhr_streaming"
		r.Header.Set("Origin", "https://elsewhere.example")
	})
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("another site's page: %d", res.StatusCode)
	}
}

func FuzzXHRFraming(f *testing.F) {
	f.Add("hello")
	f.Add("\"\\\n\xff ü€🎉")
	f.Fuzz(func(t *testing.T, text string) {
		line := string(xhrFraming{}.AppendFrame(nil, []byte(text)))
		for _, c := range []byte(line[:len(line)-1]) {
			if c < ' ' || c > '~' && c != 0x7f {
				t.Fatalf("%q holds %q", line, c)
			}
		}
		var got []string
		if err := json.Unmarshal([]byte(line[1:]), &got); err != nil || len(got) != 1 || got[0] != strings.ToValidUTF8(text, "\ufffd") && !strings.Contains(got[0], "\ufffd") {
			t.Fatalf("%q is %q, %v", text, got, err)
		}
	})
}

package httpstream

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

func TestStream(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		r := f.ask(http.MethodPost, "hello", nil)
		if r.StatusCode != http.StatusOK || r.Header.Get("X-Accel-Buffering") != "no" || !strings.Contains(r.Header.Get("Cache-Control"), "no-transform") {
			t.Fatalf("%d %v", r.StatusCode, r.Header)
		}
		if got := r.line(); got != "hello" || (r.ProtoMajor == 2) != f.mode.http2 {
			t.Fatalf("%q by %s", got, r.Proto)
		}
		s := <-f.proto.opened
		long := strings.Repeat("y", 40<<10)
		for _, text := range []string{"one", long, "two"} {
			on(s, func() { s.Send([]byte(text)) })
			if got := r.line(); got != text {
				t.Fatalf("%.40q, want %.40q", got, text)
			}
		}
		on(s, func() { s.Disconnect(hub.DisconnectForced) })
		if got := r.rest(); got != "goodbye force disconnect\n" {
			t.Fatalf("%q", got)
		}
		f.ended()
	})
}

func TestFirstMessage(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		if got := f.ask(http.MethodGet, "hello", nil).line(); got != "hello" {
			t.Errorf("in the query: %q", got)
		}
		r := f.ask(http.MethodPost, "hello\n", func(r *http.Request) { r.Header.Set("Content-Type", "application/octet-stream; x=y") })
		if got := r.line(); got != "hello" || r.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("by media type: %q, %v", got, r.Header)
		}
		r = f.ask(http.MethodPost, "bye", nil)
		if got := r.rest(); r.StatusCode != http.StatusOK || got != "goodbye force disconnect\n" {
			t.Errorf("refused: HTTP %d %q", r.StatusCode, got)
		}
	})
}

// What the protocol refuses before it has said anything is an HTTP error, unless
// it has a goodbye of its own.
func TestRefusals(t *testing.T) {
	hello := func(r *http.Request) (any, error) {
		if q := r.URL.RawQuery; q != "" {
			return strings.TrimPrefix(q, "first="), nil
		}
		return nil, errors.New("say something")
	}
	change := func(c *Config) { c.Hello, c.Variants[0].Refuse, c.Method = hello, true, http.MethodGet }
	eachMode(t, change, func(f *fixture) {
		t := f.t
		tests := []struct {
			method, body string
			status       int
			want         string
		}{
			{http.MethodGet, "bye", http.StatusForbidden, `{"error":{"code":3503,"message":"force disconnect"}}`},
			{http.MethodGet, "", http.StatusBadRequest, `{"error":{"code":107,"message":"say something"}}`},
			{http.MethodPost, "x", http.StatusMethodNotAllowed, `{"error":{"code":104,"message":"this endpoint takes GET"}}`},
		}
		for _, tt := range tests {
			r := f.ask(tt.method, tt.body, nil)
			if got := r.rest(); r.StatusCode != tt.status || got != tt.want+"\n" || r.Header.Get("Content-Type") != jsonType {
				t.Errorf("%s %s: HTTP %d %q, want %d %q", tt.method, tt.body, r.StatusCode, got, tt.status, tt.want)
			}
		}
		if got := f.ask(http.MethodGet, "hello", nil).line(); got != "hello" {
			t.Errorf("%q", got)
		}
	})
}

// A whole response is sent when its session ends, and leaves its connection as
// good as before.
func TestWholeResponses(t *testing.T) {
	change := func(c *Config) {
		c.Variants[0].Format, c.Variants[0].Goodbye, c.Variants[0].ContentType = Whole, nil, jsonType
	}
	eachMode(t, change, func(f *fixture) {
		t := f.t
		for _, text := range []string{"{}", strings.Repeat("z", 100<<10)} {
			done := make(chan struct{})
			go func() {
				defer close(done)
				s := <-f.proto.opened
				on(s, func() { s.Send([]byte(text)); s.Disconnect(hub.DisconnectClosed) })
			}()
			r := f.ask(http.MethodPost, "wait", nil)
			if got := r.rest(); got != text || r.ContentLength != int64(len(text)) || r.Close {
				t.Errorf("%.40q of %d bytes, close %v", got, r.ContentLength, r.Close)
			}
			<-done
		}
	})
}

func TestHTTP10(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		c := f.raw()
		_, _ = io.WriteString(c, "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
		s := <-f.proto.opened
		on(s, func() { s.Disconnect(hub.DisconnectForced) })
		b, err := io.ReadAll(c)
		head, body, _ := strings.Cut(string(b), "\r\n\r\n")
		if err != nil || body != "hello\ngoodbye force disconnect\n" || strings.Contains(head, "chunked") {
			t.Errorf("%q %q, %v", head, body, err)
		}
	})
}

func TestClientLeaves(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		r := f.ask(http.MethodPost, "hello", nil)
		r.line()
		if n := f.hub.Info().Clients; n != 1 {
			t.Fatalf("%d clients", n)
		}
		r.leave()
		f.ended()
	})
}

// A client that goes on talking after its request is not one of ours.
func TestNothingFollowsTheRequest(t *testing.T) {
	for _, m := range modes() {
		if m.writer {
			continue // net/http reads there, and takes it for the next request
		}
		t.Run(m.name, func(t *testing.T) {
			f := newFixture(t, m, nil)
			c := f.raw()
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, "\r\nGET / HTTP/1.1\r\n")
			b, err := io.ReadAll(res.Body)
			if err != nil || string(b) != "hello\ngoodbye bad request\n" {
				t.Errorf("%q, %v", b, err)
			}
			_ = res.Body.Close()
			f.ended()
		})
	}
}

// A client that does not read costs its outbox and is then disconnected, as slow.
func TestSlowReader(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		c := f.raw()
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
		s := <-f.proto.opened
		text := []byte(strings.Repeat("x", 16<<10))
		slow := f.count.Disconnects.Of(hub.DisconnectSlow.Code)
		for deadline := time.Now().Add(patience); slow.Value() == 0; {
			if time.Now().After(deadline) {
				t.Fatal("still connected")
			}
			on(s, func() { s.Send(text) })
		}
		_ = c.Close()
		f.ended()
	})
}

func TestShutdownSaysGoodbye(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		r := f.ask(http.MethodPost, "hello", nil)
		r.line()
		if err := f.hub.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.rest(); got != "goodbye shutdown\n" {
			t.Errorf("%q", got)
		}
		if r := f.ask(http.MethodPost, "hello", nil); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
			t.Errorf("HTTP %d %v", r.StatusCode, r.Header)
		}
	})
}

func TestBodies(t *testing.T) {
	eachMode(t, func(c *Config) { c.MaxBody = 10; c.BodyTimeout = 50 * time.Millisecond }, func(f *fixture) {
		t := f.t
		r := f.ask(http.MethodPost, strings.Repeat("x", 11), nil)
		if got := r.rest(); r.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(got, "10 bytes") {
			t.Errorf("HTTP %d %q", r.StatusCode, got)
		}
		if f.mode.writer {
			return // its connection knows no deadlines
		}
		c := f.raw()
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhell")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != http.StatusRequestTimeout {
			t.Fatalf("%v, %v", res, err)
		}
		_ = res.Body.Close()
	})
}

func TestTooManyAtOnce(t *testing.T) {
	f := newFixture(t, mode{goroutines: true}, func(c *Config) { c.MaxHandshakes = 1 })
	h, err := New(Config{Hub: f.hub, Engine: transport.NewGoroutines(transport.Options{}), Variants: []Variant{{Protocol: f.proto, Format: Lines}}})
	if err != nil {
		t.Fatal(err)
	}
	h.gate = transport.NewGate(f.hub, 0, f.count, slog.New(slog.DiscardHandler))
	f.listen(h)
	if r := f.ask(http.MethodPost, "hello", nil); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("HTTP %d %v", r.StatusCode, r.Header)
	}
	if f.hub.Info().Clients != 0 || h.gate.UnderWay() != 0 {
		t.Error("a place was not given back")
	}
}

func TestOrigins(t *testing.T) {
	origins, err := transport.NewOrigins([]string{"https://*.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, mode{goroutines: true}, func(c *Config) { c.Origins = origins })
	from := func(origin string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Origin", origin) }
	}
	const friend = "https://app.example.org"
	tests := []struct {
		method, origin string
		status         int
		shared         string
	}{
		{http.MethodPost, "", http.StatusOK, ""},
		{http.MethodPost, "http://" + f.addr, http.StatusOK, ""},
		{http.MethodPost, friend, http.StatusOK, friend},
		{http.MethodPost, "https://evil.example", http.StatusForbidden, ""},
		{http.MethodPost, "null", http.StatusForbidden, ""},
		{http.MethodOptions, friend, http.StatusNoContent, friend},
		{http.MethodOptions, "https://evil.example", http.StatusForbidden, ""},
		{http.MethodDelete, friend, http.StatusMethodNotAllowed, friend},
	}
	for _, tt := range tests {
		r := f.ask(tt.method, "hello", from(tt.origin))
		if r.StatusCode != tt.status || r.Header.Get("Access-Control-Allow-Origin") != tt.shared || r.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s from %q: HTTP %d %v", tt.method, tt.origin, r.StatusCode, r.Header)
		}
		if r.Header.Get("Vary") != "Origin" {
			t.Errorf("%s from %q: may be cached for others: %v", tt.method, tt.origin, r.Header)
		}
	}
	if n := f.count.Refused.Of(metrics.RefuseOrigin).Value(); n != 3 {
		t.Errorf("%d refused origins are counted", n)
	}
}

func TestStatuses(t *testing.T) {
	for code, want := range map[uint32]int{
		100: 500, 101: 401, 102: 404, 103: 403, 106: 400, 107: 400, 109: 401, 111: 429, 112: 416,
		3001: 503, 3005: 401, 3008: 503, 3013: 429, 3504: 429, 3500: 401, 3501: 400, 3502: 408, 3503: 403, 9: 503,
	} {
		if got := statusOf(code); got != want {
			t.Errorf("%d: HTTP %d, want %d", code, got, want)
		}
	}
}

package badinput

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

// limited starts a server with limits; the session beside is not limited by them.
func limited(t *testing.T, limits string) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: t.TempDir(), Config: serverConfig + "limits:\n  burst: 1s\n" + limits, APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	f := &fixture{srv: srv, http: &http.Client{Transport: transport, Timeout: timeout}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop(t, srv)
	})
	f.api = srv.API(f.http)
	return f
}

// refusals reads how often a limit refused.
func (f *fixture) refusals(t *testing.T, limit string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.srv.Addr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", apiKey)
	res, err := f.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), fmt.Sprintf("fanfare_limited_total{limit=%q} ", limit))
	number, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(number)
	if !found || err != nil {
		t.Fatalf("no metric of %s: %v", limit, err)
	}
	return n
}

// reported checks that a limit has refused, and that the operator can see it: counted
// each time, logged once a second at most.
func (f *fixture) reported(t *testing.T, limit string, atLeast int) {
	t.Helper()
	if n := f.refusals(t, limit); n < atLeast {
		t.Errorf("%s refused %d times, want %d at least", limit, n, atLeast)
	}
	if lines := strings.Count(f.srv.Output(), "limit="+limit+" "); lines == 0 || lines > 1+int(timeout.Seconds()) {
		t.Errorf("%d lines of the log tell of %s:\n%s", lines, limit, f.srv.Output())
	}
}

// A client that does more than it may in a second gets errors that say so is
// temporary, and keeps its connection.
func TestLimitedCommands(t *testing.T) {
	tests := []struct{ limit, command string }{
		{"subscribes_per_connection", `"subscribe":{"channel":"open:%d"}`},
		{"publishes_per_connection", `"publish":{"channel":"open:x","data":%d}`},
		{"publishes_per_app", `"publish":{"channel":"open:x","data":%d}`},
		{"rpcs_per_connection", `"rpc":{"method":"m%d"}`},
	}
	for _, tt := range tests {
		t.Run(tt.limit, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			limits := "  " + tt.limit + ": 1\n"
			if tt.limit == "publishes_per_app" { // or that of a connection refuses first
				limits += "  publishes_per_connection: 0\n"
			}
			f := limited(t, limits)
			c, err := wire.Connect(ctx, f.srv.WebSocketURL())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Drop()
			const many = 200 // far more than come in the time that this takes
			refused := 0
			for i := range many {
				if err := c.Send(ctx, fmt.Sprintf(`{"id":%d,`+tt.command+`}`, i+2, i)); err != nil {
					t.Fatal(err)
				}
			}
			for answered := 0; answered < many; { // what is refused is answered first
				m, err := c.Next(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if m.ID != 0 {
					answered++
				}
				if m.Error != nil && m.Error.Code == 111 {
					refused++
				}
			}
			if refused < many/2 || refused == many {
				t.Errorf("%d of %d were refused", refused, many)
			}
			f.reported(t, tt.limit, refused)
		})
	}
}

// A client that sends too many bytes is cut off, and others are not.
func TestLimitedBytes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	f := limited(t, "  bytes_per_connection: 1KiB\n")
	f.healthy = f.subscriber(ctx, t, "open:healthy")
	c, err := wire.Connect(ctx, f.srv.WebSocketURL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Drop()
	large := fmt.Sprintf(`{"id":2,"send":{"data":%q}}`, strings.Repeat("x", 900<<10))
	for range 2 { // one fits: client.max_message_size is 1 MiB
		if err := c.Send(ctx, large); err != nil {
			break
		}
	}
	for err == nil {
		_, err = c.Next(ctx)
	}
	var closed *wire.Closed
	if !errors.As(err, &closed) || closed.Code != 3013 {
		t.Errorf("ended with %v, want 3013", err)
	}
	f.reported(t, "bytes_per_connection", 1)
	f.unharmed(t)
}

// Frames between messages count, too.
func TestLimitedPings(t *testing.T) {
	t.Parallel()
	f := limited(t, "  bytes_per_connection: 1KiB\n")
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	var end sync.WaitGroup
	end.Go(func() { // until it is cut off; it is allowed 1 MiB at once
		pings := []byte(strings.Repeat("\x89\x80\x00\x00\x00\x00", 10_000))
		_, err := c.Write([]byte(upgrade + text(`{"id":1,"connect":{}}`)))
		for err == nil {
			_, err = c.Write(pings)
		}
	})
	said, _ := io.ReadAll(c) // ends with a reset, as the client goes on
	end.Wait()
	f.reported(t, "bytes_per_connection", 1)
	if !strings.HasPrefix(string(said), "HTTP/1.1 101") {
		t.Errorf("%.100q", said)
	}
}

// Who connects too often, or too many times at once, is refused before the
// handshake, over every transport, and told when to come back.
func TestLimitedConnections(t *testing.T) {
	for _, limit := range []string{"connections_per_ip", "connects_per_ip"} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			f := limited(t, "  "+limit+": 1\n")
			first, err := wire.Connect(ctx, f.srv.WebSocketURL())
			if err != nil {
				t.Fatal(err)
			}
			defer first.Drop()
			for denied, tries := false, 0; !denied; tries++ { // a second may pass
				if tries == 50 {
					t.Fatal("nobody is refused")
				}
				c, err := wire.Dial(ctx, f.srv.WebSocketURL(), nil)
				if err == nil {
					t.Cleanup(c.Drop)
					continue
				}
				var refusal *wire.Refusal
				if !errors.As(err, &refusal) || refusal.Status != http.StatusTooManyRequests || refusal.Header.Get("Retry-After") == "" {
					t.Fatalf("%v, %v", err, refusal)
				}
				denied = true
			}
			denied := 0
			for range 10 {
				for _, path := range []string{"/connection/uni_sse", "/poll?channel=open:x&wait=0s", "/connection/uni_http_stream"} {
					denied += f.denied(ctx, t, path)
				}
			}
			if denied < 10 {
				t.Errorf("%d of 30 requests of other transports were refused", denied)
			}
			f.reported(t, limit, 1+denied)
		})
	}
}

// denied asks for a session in a response; 1: it is refused for now.
func (f *fixture) denied(ctx context.Context, t *testing.T, path string) int {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	method := http.MethodGet
	if strings.Contains(path, "http_stream") {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+f.srv.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := f.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusTooManyRequests {
		return 0
	}
	if res.Header.Get("Retry-After") == "" {
		t.Errorf("%s: no Retry-After", path)
	}
	return 1
}

// A backend that asks too often gets 429, also when its connection has been moved
// away from net/http.
func TestLimitedAPI(t *testing.T) {
	t.Parallel()
	f := limited(t, "  api_requests_per_key: 20\n")
	let, refused := 0, 0
	for range 500 {
		status, code, text := f.ask(t, request{body: `{"channel":"open:x","data":1}`})
		switch {
		case status == http.StatusOK && code == 0:
			let++
		case status == http.StatusTooManyRequests && code == 111:
			refused++
		default:
			t.Fatalf("HTTP %d, error %d: %s", status, code, text)
		}
	}
	if let < 20 || refused < 100 {
		t.Errorf("%d let through, %d refused", let, refused)
	}
	f.reported(t, "api_requests_per_key", refused)
}

// What one user has too many of is told in each transport's own terms, and a
// connection that ends makes room for another.
func TestLimitedUsers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	f := limited(t, "  connections_per_user: 1\n")
	token := f.token(ctx, t, "ann")
	connect := func() (*wire.Conn, error) {
		c, err := wire.Dial(ctx, f.srv.WebSocketURL(), nil)
		if err != nil {
			return nil, err
		}
		if err := c.Send(ctx, fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, token)); err != nil {
			return c, err
		}
		_, err = c.Reply(ctx, 1)
		return c, err
	}
	first, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	second, err := connect()
	var closed *wire.Closed
	if !errors.As(err, &closed) || closed.Code != 3504 {
		t.Errorf("a second connection: %v, want 3504", err)
	}
	second.Drop()
	if f.denied(ctx, t, "/poll?channel=open:x&wait=0s&token="+token) != 1 {
		t.Error("a poll is not refused")
	}
	f.reported(t, "connections_per_user", 2)
	first.Drop()
	for { // until the server has seen it
		c, err := connect()
		if err == nil {
			c.Drop()
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("no room after the first has left: %v", err)
		}
	}
}

// token makes a connection token of a user.
func (f *fixture) token(ctx context.Context, t *testing.T, user string) string {
	t.Helper()
	code, printed, err := server.Run(ctx, server.Options{Bin: bin, Dir: t.TempDir(), Env: []string{"FANFARE_APP_SECRET=bad-input-secret"}}, "token", "--user", user)
	if err != nil || code != 0 {
		t.Fatalf("token: %d, %v: %s", code, err, printed)
	}
	for word := range strings.FieldsSeq(printed) {
		if strings.Count(word, ".") == 2 && strings.HasPrefix(word, "ey") {
			return word
		}
	}
	t.Fatalf("no token in %q", printed)
	return ""
}

// Whatever carried a session, its address has its place back when it is over.
func TestLimitedPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	f := limited(t, "  connections_per_ip: 1\n")
	ways := []string{
		"/connection/uni_sse", "/connection/uni_http_stream", "/connection/sse?cf_connect=%7B%7D", "/sse?channel=open:x",
		"/poll?channel=open:x&wait=0s", "/poll?channel=nowhere:x", "/connection/websocket",
	}
	for range 3 {
		for _, path := range ways {
			for f.opens(ctx, t, path) { // until there is room
				if ctx.Err() != nil {
					t.Fatalf("%s: the place of the session before is not given back", path)
				}
			}
		}
	}
}

// opens asks for a session and leaves it; true: it is refused for now.
func (f *fixture) opens(ctx context.Context, t *testing.T, path string) bool {
	t.Helper()
	if path != "/connection/websocket" {
		return f.denied(ctx, t, path) == 1
	}
	c, err := wire.Connect(ctx, f.srv.WebSocketURL())
	if err != nil {
		return true
	}
	c.Drop()
	return false
}

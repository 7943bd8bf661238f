package badinput

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

// forged is what an attacker would like to see as a line of its own.
const forged = "time=2026-01-01T00:00:00Z level=INFO msg=forged"

// TestLogLinesCannotBeForged: whatever clients and backends send, a line of the log
// is one that the server wrote, and holds nothing that a terminal obeys.
func TestLogLinesCannotBeForged(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			srv, err := server.Start(ctx, server.Options{
				Bin: bin, Dir: t.TempDir(), Config: serverConfig, APIKey: apiKey, Args: []string{"--log-level", "debug", "--log-format", format},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(srv.Kill)
			hostileClient(ctx, t, srv)
			if code, err := srv.Stop(ctx); err != nil || code != 0 {
				t.Fatal(code, err)
			}
			lines := 0
			for line := range strings.Lines(srv.Output()) {
				lines++
				line = strings.TrimSuffix(line, "\n")
				if format == "json" && !json.Valid([]byte(line)) || format == "text" && !strings.HasPrefix(line, "time=") || strings.HasPrefix(line, forged) {
					t.Errorf("no line of ours: %q", line)
				}
				if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
					t.Errorf("control characters: %q", line)
				}
			}
			if lines < 3 {
				t.Errorf("nothing is logged:\n%s", srv.Output())
			}
		})
	}
}

// hostileClient sends control characters wherever something may be logged.
func hostileClient(ctx context.Context, t *testing.T, srv *server.Server) {
	t.Helper()
	evil := "\n" + forged + "\r\n\x1b[2J\u009b31m\x7f"
	quoted, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	for _, frame := range []string{
		`{"id":1,"connect":{"token":` + string(quoted) + `}}`,
		`{"id":1,"connect":{"name":` + string(quoted) + `,"version":` + string(quoted) + `}}` + "\n" +
			`{"id":2,"subscribe":{"channel":"closed:x","token":` + string(quoted) + `}}` + "\n" +
			`{"id":3,"subscribe":{"channel":` + string(quoted) + `}}` + "\n" +
			`{"id":4,"rpc":{"method":` + string(quoted) + `}}` + "\n" + `{"id":5,` + string(quoted) + `:1}`,
	} {
		c, err := wire.Dial(ctx, srv.WebSocketURL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(ctx, frame); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = c.Next(ctx)
		}
		c.Drop()
	}
	api := srv.API(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: timeout})
	for method, body := range map[string]string{
		"disconnect": `{"user":` + string(quoted) + `,"disconnect":{"code":4000,"reason":` + string(quoted) + `}}`,
		"rpc":        `{"method":` + string(quoted) + `}`,
		"publish":    `{"channel":` + string(quoted) + `,"data":1}`,
	} {
		if _, err := api.Post(ctx, method, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for _, head := range []string{
		"GET /connection/websocket HTTP/1.1\r\nHost: h\r\nOrigin: http://x\x1b[2J\u009b31m\r\nConnection: close\r\n\r\n",
		"GET /%0a" + strings.ReplaceAll(forged, " ", "%20") + "%1b%5b2J HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"G\x1b[2JT / HTTP/1.1\r\nHost: h\r\n\r\n",
		"\x16\x03\x01\x1b[2J\n" + forged + "\n\r\n\r\n",
	} {
		exchange(ctx, t, srv.Addr(), head)
	}
}

// exchange sends bytes and gives everything that comes back, until the server has
// closed; an answer that has come is enough where it does not.
func exchange(ctx context.Context, t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(bufio.NewReader(io.LimitReader(conn, 1<<20)))
	if err != nil && len(answer) == 0 {
		t.Fatalf("%q: %v", request, err)
	}
	return string(answer)
}

// TestHeadersCannotBeInjected: nothing of a request becomes a header of its answer,
// and no path leads out of the tree.
func TestHeadersCannotBeInjected(t *testing.T) {
	f := start(t)
	const crlf = "%0d%0aX-Injected:%20yes"
	paths := []string{
		"/" + crlf, "/" + crlf + "/", "/connection/websocket?x=" + crlf, "/connection/sse?cf_connect=" + crlf, "/sse?channel=" + crlf,
		"/poll?channel=" + crlf, "/app/" + crlf, "/apps/" + crlf + "/channels", "/pusher/app/" + crlf + "/000/abc/xhr", "/api/" + crlf, "/client.js" + crlf,
		"//evil.example.org/" + crlf, "/admin/../" + crlf,
	}
	for _, path := range append(paths, outside...) {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		answer := exchange(ctx, t, f.srv.Addr(), fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nX-Api-Key: %s\r\nOrigin: http://%s\r\nConnection: close\r\n\r\n",
			path, f.srv.Addr(), apiKey, f.srv.Addr()))
		cancel()
		head, body, _ := strings.Cut(answer, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 ") || strings.Contains(head, "\nX-Injected") {
			t.Errorf("%s: %q", path, head)
		}
		if strings.Contains(body, "root:") || strings.Contains(body, "secret:") || strings.Contains(body, "format 1") {
			t.Errorf("%s leads out of the tree: %.200q", path, body)
		}
		if location := header(head, "Location"); strings.HasPrefix(location, "//") || strings.Contains(location, "://") {
			t.Errorf("%s leads to another site: %s", path, location)
		}
	}
	f.unharmed(t)
}

// outside are paths that would be outside of what is served, if there were files.
var outside = []string{
	"/../../../../etc/passwd", "/..%2f..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/client.js/../../../../etc/passwd",
	"/..%5c..%5cetc%5cpasswd", "/%00/etc/passwd", "/data/FORMAT", "/../fanfare.yaml", "/..%2ffanfare.yaml", "/.git/config",
	"/apps/..%2f..%2ffanfare.yaml/channels", "/app/..%2f..%2ffanfare.yaml",
}

// header is the value of a header in the head of an answer.
func header(head, name string) string {
	for line := range strings.Lines(head) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(key, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestTricklingHead: who sends a head byte by byte holds one connection and nothing
// else, and not for long.
func TestTricklingHead(t *testing.T) {
	f := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*timeout)
	defer cancel()
	conns := make([]net.Conn, 50)
	for i := range conns {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.srv.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "GET /connection/websocket HTTP/1.1\r\nHost: h\r\nX-"); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, conn := range conns {
		for {
			f.unharmed(t)
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, _ = io.WriteString(conn, "a")
			if _, err := io.ReadAll(conn); !errors.Is(err, os.ErrDeadlineExceeded) {
				break // the server has ended it
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("a connection without a head is kept")
			}
		}
	}
}

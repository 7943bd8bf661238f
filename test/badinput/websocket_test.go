package badinput

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/test/wire"
)

// deep is JSON that is nested n levels.
func deep(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// TestCommands: a command that makes sense but cannot be done gets an error; the
// connection stays.
func TestCommands(t *testing.T) {
	f := start(t)
	long := strings.Repeat("c", 300)
	tests := []struct {
		name    string
		command string
		code    uint32
	}{
		{"unknown namespace", `"subscribe":{"channel":"nowhere:x"}`, 102},
		{"unknown namespace, publish", `"publish":{"channel":"nowhere:x","data":1}`, 102},
		{"unknown namespace, history", `"history":{"channel":"nowhere:x"}`, 102},
		{"nothing allowed", `"subscribe":{"channel":"closed:x"}`, 103},
		{"publish not allowed", `"publish":{"channel":"plain:x","data":1}`, 103},
		{"private without token", `"subscribe":{"channel":"$open:x"}`, 103},
		{"subscription token that is none", `"subscribe":{"channel":"$open:x","token":"nonsense"}`, 103},
		{"channel with control characters", `"subscribe":{"channel":"open:\u0007"}`, 107},
		{"channel too long", `"subscribe":{"channel":"open:` + long + `"}`, 107},
		{"channel that the regex refuses", `"subscribe":{"channel":"plain:X1"}`, 107},
		{"data too large", `"publish":{"channel":"open:x","data":"` + strings.Repeat("x", 300<<10) + `"}`, 106},
		{"no history", `"history":{"channel":"plain:x"}`, 103},
		{"history of another epoch", `"history":{"channel":"open:healthy","limit":1,"since":{"epoch":"other","offset":1}}`, 112},
		{"no presence", `"presence":{"channel":"open:x"}`, 103},
		{"no backend for rpc", `"rpc":{"method":"x"}`, 108},
		{"ping is the server's", `"ping":{}`, 108},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			c, err := wire.Connect(ctx, f.srv.WebSocketURL())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Drop()
			id := uint32(i + 10)
			if err := c.Send(ctx, fmt.Sprintf(`{"id":%d,%s}`, id, tt.command)); err != nil {
				t.Fatal(err)
			}
			m, err := c.Reply(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if m.Error == nil || m.Error.Code != tt.code || m.Error.Message == "" {
				t.Fatalf("%s, want error %d", m.Raw, tt.code)
			}
			quiet(t, string(m.Raw))
			if err := c.Send(ctx, `{"id":9,"subscribe":{"channel":"open:x"}}`); err != nil {
				t.Fatal(err)
			}
			if m, err := c.Reply(ctx, 9); err != nil || m.Subscribe == nil {
				t.Fatalf("afterwards: %s, %v", m.Raw, err)
			}
			f.unharmed(t)
		})
	}
}

// TestFrames: what is no protocol ends the connection, with the code that says so.
func TestFrames(t *testing.T) {
	f := start(t)
	const malformed, tooLarge, binary = 3501, 1009, 3501
	connect := `{"id":1,"connect":{}}`
	after := func(frame string) []string { return []string{connect, frame} }
	tests := []struct {
		name   string
		frames []string
		code   int
	}{
		{"no JSON", []string{"hello"}, malformed},
		{"empty", []string{""}, malformed},
		{"cut off", after(`{"id":2,"subscribe":{"channel":"open:x"`), malformed},
		{"an array", []string{"[" + connect + "]"}, malformed},
		{"a number", []string{"7"}, malformed},
		{"not UTF-8", after("{\"id\":2,\"publish\":{\"channel\":\"open:x\",\"data\":\"\xff\xfe\"}}"), 1007},
		{"deeply nested data", after(`{"id":2,"publish":{"channel":"open:x","data":` + deep(10_000) + `}}`), malformed},
		{"only brackets", after(strings.Repeat("[", 60<<10)), malformed},
		{"deeply nested objects", after(`{"id":2,"send":{"data":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `}}`), malformed},
		{"a field twice", after(`{"id":2,"id":3,"send":{}}`), malformed},
		{"unknown command", after(`{"id":2,"launch":{}}`), malformed},
		{"two commands in one", after(`{"id":2,"send":{},"rpc":{}}`), malformed},
		{"without id", after(`{"subscribe":{"channel":"open:x"}}`), malformed},
		{"id out of range", after(`{"id":99999999999,"rpc":{}}`), malformed},
		{"wrong type", after(`{"id":2,"subscribe":{"channel":7}}`), malformed},
		{"without channel", after(`{"id":2,"subscribe":{}}`), malformed},
		{"before connect", []string{`{"id":1,"subscribe":{"channel":"open:x"}}`}, malformed},
		{"connect twice", after(`{"id":2,"connect":{}}`), malformed},
		{"pong without ping", after("{}"), malformed},
		{"too many commands", after(strings.Repeat(`{"id":2,"send":{}}`+"\n", 2000)), malformed},
		{"oversized", after(`{"id":2,"publish":{"channel":"open:x","data":"` + strings.Repeat("x", 3<<20) + `"}}`), tooLarge},
		{"token that is none", []string{`{"id":1,"connect":{"token":"a.b.c"}}`}, 3500},
		{"silence", nil, 3502},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			c, err := wire.Dial(ctx, f.srv.WebSocketURL(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Drop()
			for _, frame := range tt.frames {
				if err := c.Send(ctx, frame); err != nil {
					break // closed already; the reading says how
				}
			}
			expectClosed(ctx, t, c, tt.code)
			f.unharmed(t)
		})
	}
	t.Run("binary frame", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		c, err := wire.Connect(ctx, f.srv.WebSocketURL())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Drop()
		if err := c.SendBinary(ctx, []byte{0, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		expectClosed(ctx, t, c, binary)
		f.unharmed(t)
	})
}

func expectClosed(ctx context.Context, t *testing.T, c *wire.Conn, code int) {
	t.Helper()
	for {
		m, err := c.Next(ctx)
		if err == nil {
			if m.Error != nil {
				t.Fatalf("answered with %s, want the connection closed with %d", m.Raw, code)
			}
			continue
		}
		var closed *wire.Closed
		if !errors.As(err, &closed) {
			t.Fatalf("%v, want it closed with %d", err, code)
		}
		if closed.Code != code {
			t.Fatalf("%v, want %d", closed, code)
		}
		quiet(t, closed.Reason)
		return
	}
}

// TestHandshakes: what is no upgrade gets an HTTP answer.
func TestHandshakes(t *testing.T) {
	f := start(t)
	good := "GET /connection/websocket HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	replace := func(part, by string) string { return strings.Replace(good, part, by, 1) }
	header := func(h string) string { return replace("\r\n\r\n", "\r\n"+h+"\r\n\r\n") }
	tests := []struct {
		name    string
		request string
		status  int
	}{
		{"good", good, http.StatusSwitchingProtocols},
		{"own origin", header("Origin: http://HOST"), http.StatusSwitchingProtocols},
		{"allowed origin", header("Origin: https://app.example.org"), http.StatusSwitchingProtocols},
		{"other origin", header("Origin: https://evil.example.org"), http.StatusForbidden},
		{"other scheme", header("Origin: http://app.example.org"), http.StatusForbidden},
		{"origin that only begins so", header("Origin: https://app.example.org.evil.example"), http.StatusForbidden},
		{"null origin", header("Origin: null"), http.StatusForbidden},
		{"no upgrade", replace("Connection: Upgrade\r\nUpgrade: websocket\r\n", ""), http.StatusUpgradeRequired},
		{"POST", replace("GET", "POST"), http.StatusMethodNotAllowed},
		{"no key", replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), http.StatusBadRequest},
		{"bad key", replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), http.StatusBadRequest},
		{"old version", replace("Version: 13", "Version: 8"), http.StatusUpgradeRequired},
		{"unknown path", replace("/connection/websocket", "/connection/nowhere"), http.StatusNotFound},
		{"huge header", header("X-Filler: " + strings.Repeat("x", 64<<10)), http.StatusRequestHeaderFieldsTooLarge},
		{"no HTTP", "HELLO\r\n\r\n", http.StatusBadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			if status := raw(ctx, t, f.srv.Addr(), strings.ReplaceAll(tt.request, "HOST", f.srv.Addr())); status != tt.status {
				t.Errorf("HTTP %d, want %d", status, tt.status)
			}
			f.unharmed(t)
		})
	}
}

// raw sends bytes and gives the status of the HTTP answer.
func raw(ctx context.Context, t *testing.T, addr, request string) int {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

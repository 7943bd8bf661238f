package secure

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const behindProxy = anonymous + `
  format: text
channel:
  namespaces:
    - name: closed
`

// trusting is a server behind a proxy on this machine.
func trusting(yaml string) string {
	return strings.Replace(yaml, "client:\n", "client:\n  trusted_proxies: [127.0.0.0/8]\n  proxy_protocol: true\n", 1)
}

// blamed waits for the log to say who broke the protocol.
func (s *socket) blamed(output func() string, want string) {
	s.t.Helper()
	s.spoil()
	until(s.t, "the log to name "+want, func() bool { return strings.Contains(output(), `msg="websocket failed" remote=`+want+" ") })
}

// The server knows who a client is that comes through a proxy, on the event loops
// too, and loses nothing of what came in one packet with the proxy's header.
func TestThroughProxies(t *testing.T) {
	for _, transport := range []string{"auto", "goroutine"} {
		t.Run(transport, func(t *testing.T) {
			srv := start(t, t.TempDir(), trusting(behindProxy), "--transport", transport)
			const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"
			for i, begin := range []string{"PROXY TCP4 198.51.100.1 192.0.2.1 4711 80\r\n", v2 + "\xc6\x33\x64\x02\xc0\x00\x02\x01\x12\x67\x00\x50"} {
				s := dial(t, srv.Addr())
				s.send(begin + handshake("X-Forwarded-For: 203.0.113.77\r\n") + masked(1, connectCommand("")))
				s.upgraded()
				s.connected()
				s.ping()
				s.blamed(srv.Output, fmt.Sprintf("198.51.100.%d:4711", i+1))
			}
			s := dial(t, srv.Addr())
			s.upgrade("X-Forwarded-For: 203.0.113.77, 198.51.100.3, 127.0.0.9\r\n")
			s.connect("")
			s.ping()
			s.blamed(srv.Output, "198.51.100.3:0")
			if strings.Contains(srv.Output(), "203.0.113.77") {
				t.Error("what a client says of itself is believed")
			}
		})
	}
}

// The same below TLS: the proxy's header comes before the handshake.
func TestThroughProxiesToTLS(t *testing.T) {
	dir := t.TempDir()
	ours := issue(t, "ours", nil)
	ours.write(t, dir, "server")
	trust := ours.trust()
	trust.ServerName = "127.0.0.1"
	for _, transport := range []string{"auto", "goroutine"} {
		t.Run(transport, func(t *testing.T) {
			config := strings.ReplaceAll(trusting(encrypted), "_file: ", "_file: "+dir+"/")
			srv := start(t, t.TempDir(), config, "--transport", transport)
			plain := dial(t, srv.Addr())
			plain.send("PROXY TCP4 198.51.100.1 192.0.2.1 4711 80\r\n")
			s := newSocket(t, tls.Client(plain.conn, trust))
			s.upgrade("X-Forwarded-For: 203.0.113.77\r\n")
			s.connect("")
			s.ping()
			s.blamed(srv.Output, "198.51.100.1:4711")

			s = newSocket(t, tls.Client(dial(t, srv.Addr()).conn, trust))
			s.upgrade("X-Forwarded-For: 198.51.100.2\r\n")
			s.connect("")
			s.ping()
			s.blamed(srv.Output, "198.51.100.2:0")
		})
	}
}

// Nobody else is believed, whatever header they use and whatever way they come.
func TestSpoofedHeaders(t *testing.T) {
	srv := start(t, t.TempDir(), behindProxy)
	s := dial(t, srv.Addr())
	s.upgrade("X-Forwarded-For: 198.51.100.66\r\nX-Real-IP: 198.51.100.66\r\nForwarded: for=198.51.100.66\r\nTrue-Client-IP: 198.51.100.66\r\n")
	s.connect(`"headers":{"X-Forwarded-For":"198.51.100.66"}`)
	s.blamed(srv.Output, s.conn.LocalAddr().String())
	v1 := dial(t, srv.Addr())
	v1.send("PROXY TCP4 198.51.100.66 192.0.2.1 4711 80\r\n" + handshake(""))
	if got, _ := v1.response(); got != http.StatusBadRequest {
		t.Errorf("a PROXY header of somebody is answered with %d", got)
	}
	if strings.Contains(srv.Output(), "198.51.100.66") {
		t.Errorf("believed:\n%s", srv.Output())
	}
}

// A request that speaks for a session brings no rights of its own: neither its
// headers nor its origin change what the session may do.
func TestEmulationBringsNothing(t *testing.T) {
	srv := start(t, t.TempDir(), trusting(behindProxy))
	s := dial(t, srv.Addr())
	body := connectCommand("")
	s.send(fmt.Sprintf("POST /connection/http_stream HTTP/1.1\r\nHost: push.example\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	opened, stream := s.response()
	if opened != http.StatusOK {
		t.Fatal(opened)
	}
	replies := json.NewDecoder(stream)
	var hello struct {
		Connect struct{ Client, Session, Node string }
	}
	if err := replies.Decode(&hello); err != nil || hello.Connect.Session == "" {
		t.Fatalf("%+v, %v", hello, err)
	}
	client := browser(t, nil)
	speakAs := func(session, command string, header ...string) int {
		spoken, err := json.Marshal(map[string]string{"session": session, "node": hello.Connect.Node, "data": command})
		if err != nil {
			t.Fatal(err)
		}
		return status(t, client, http.MethodPost, "http://"+srv.Addr()+"/emulation", string(spoken), append([]string{"Content-Type", "application/json"}, header...)...)
	}
	speak := func(command string, header ...string) int { return speakAs(hello.Connect.Session, command, header...) }
	// What others are shown of a session does not speak for it; an answer would be
	// the next that comes.
	for _, other := range []string{hello.Connect.Client, "", hello.Connect.Session[1:], strings.ToLower(hello.Connect.Session)} {
		if got := speakAs(other, `{"id":99,"subscribe":{"channel":"closed:x"}}`); got != http.StatusNoContent && got != http.StatusBadRequest {
			t.Errorf("as %q: %d", other, got)
		}
	}
	for _, origin := range []string{"https://evil.example", "null", "http://" + srv.Addr() + ".evil.example"} {
		if got := speak(`{"id":9,"ping":{}}`, "Origin", origin); got != http.StatusForbidden {
			t.Errorf("from %s: %d", origin, got)
		}
	}
	for id, header := range [][]string{
		{"X-API-Key", apiKey}, {"Authorization", "apikey " + apiKey}, {"X-Forwarded-For", "127.0.0.1"}, {"X-Forwarded-User", "admin"}, {"Cookie", "fanfare_admin=x"},
	} {
		if got := speak(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"closed:x"}}`, id+2), header...); got != http.StatusNoContent {
			t.Errorf("with %v: %d", header, got)
		}
		var reply struct {
			ID    int
			Error struct{ Code int }
		}
		for reply.ID == 0 { // pings are empty
			if err := replies.Decode(&reply); err != nil {
				t.Fatal(err)
			}
		}
		if reply.ID != id+2 || reply.Error.Code != 103 {
			t.Errorf("with %v: %+v, want permission denied", header, reply)
		}
	}
}

// A page of another site connects over no transport, however it is called.
func TestForeignOrigins(t *testing.T) {
	srv := start(t, t.TempDir(), anonymous+"  format: text\n")
	client := browser(t, nil)
	host := srv.Addr()
	_, port, _ := strings.Cut(host, ":")
	for _, origin := range []string{
		"https://evil.example", "null", "http://evil.example:" + port, "http://" + host + ".evil.example", "http://127.0.0.1", "http://evil.example/" + host,
		"http://" + host + "@evil.example", "http://127.0.0.1:" + port + "0", "file://", "http://%31%32%37.0.0.1.evil", "http://[::ffff:127.0.0.1]:" + port,
	} {
		for _, path := range []string{
			"/connection/websocket", "/connection/sse?cf_connect=%7B%7D", "/connection/uni_sse?cf_uni_connect=%7B%7D", "/sse?channel=x", "/poll?channel=x", "/connection/uni_websocket", "/app/k",
		} {
			got := status(t, client, http.MethodGet, "http://"+host+path, "", "Origin", origin, "X-Forwarded-Host", "evil.example",
				"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
			if got != http.StatusForbidden {
				t.Errorf("%s from %s: %d", path, origin, got)
			}
		}
	}
}

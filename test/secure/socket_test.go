package secure

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// socket is a WebSocket client that says exactly what it is told to (RFC 6455).
type socket struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func newSocket(t *testing.T, c net.Conn) *socket {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	return &socket{t, c, bufio.NewReader(c)}
}

func dial(t *testing.T, addr string) *socket {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return newSocket(t, c)
}

// handshake is a request to upgrade; header are lines of their own.
func handshake(header string) string {
	return "GET /connection/websocket HTTP/1.1\r\nHost: push.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + header + "\r\n"
}

// masked is a frame under a mask of zeros.
func masked(op byte, payload string) string {
	return string([]byte{0x80 | op, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

func (s *socket) send(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.conn, text); err != nil {
		s.t.Fatal(err)
	}
}

// response reads an answer in HTTP. Its body is the rest of the connection, which
// is closed with it.
func (s *socket) response() (status int, body io.Reader) {
	s.t.Helper()
	res, err := http.ReadResponse(s.in, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.conn.Close(); _ = res.Body.Close() })
	return res.StatusCode, res.Body
}

// upgraded reads the server's answer to a handshake.
func (s *socket) upgraded() {
	s.t.Helper()
	if status, _ := s.response(); status != http.StatusSwitchingProtocols {
		s.t.Fatalf("handshake answered with %d", status)
	}
}

func (s *socket) upgrade(header string) {
	s.t.Helper()
	s.send(handshake(header))
	s.upgraded()
}

// frame reads one frame.
func (s *socket) frame() (op byte, payload string) {
	s.t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(s.in, head); err != nil {
		s.t.Fatal(err)
	}
	size := int(head[1])
	if size == 126 {
		var long uint16
		if err := binary.Read(s.in, binary.BigEndian, &long); err != nil {
			s.t.Fatal(err)
		}
		size = int(long)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(s.in, body); err != nil {
		s.t.Fatal(err)
	}
	return head[0] & 0x0f, string(body)
}

// connect sends the connect command with extra, a field in JSON, in it.
func (s *socket) connect(extra string) {
	s.t.Helper()
	s.send(masked(1, connectCommand(extra)))
	s.connected()
}

func connectCommand(extra string) string { return `{"id":1,"connect":{` + extra + `}}` }

func (s *socket) connected() {
	s.t.Helper()
	if _, reply := s.frame(); !strings.Contains(reply, `"client":`) {
		s.t.Fatalf("connect is answered with %s", reply)
	}
}

// ping shows that the connection lives.
func (s *socket) ping() {
	s.t.Helper()
	s.send(masked(9, "there?"))
	for {
		switch op, payload := s.frame(); {
		case op == 10 && payload == "there?":
			return
		case op != 1:
			s.t.Fatalf("a ping is answered with %d %q", op, payload)
		}
	}
}

// spoil breaks the protocol, so that the server's log tells who did.
func (s *socket) spoil() {
	s.t.Helper()
	s.send("\x81\x01x") // not masked
}

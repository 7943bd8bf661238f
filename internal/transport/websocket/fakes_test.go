package websocket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/hub/hubtest"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

// echo sends back what it receives; "bye" ends the session.
type echo struct{ opened chan *hub.Session }

func (*echo) Name() string { return "echo" }

func (e *echo) Open(s *hub.Session) {
	select {
	case e.opened <- s:
	default:
	}
}

func (*echo) Receive(s *hub.Session, msg []byte) {
	if string(msg) == "bye" {
		s.Disconnect(hub.DisconnectForced)
		return
	}
	s.Send(msg)
}

func (*echo) Ping(*hub.Session)                      {}
func (*echo) Tell(*hub.Session, hub.Notice)          {}
func (*echo) Append(dst []byte, _ *hub.Event) []byte { return dst }

// mode is one way to move bytes.
type mode struct {
	name       string
	tls        bool
	goroutines bool
	deflate    bool // the client offers it, and compresses what it writes whole
}

func modes() []mode {
	list := []mode{{name: "goroutines", goroutines: true}, {name: "goroutines, TLS", tls: true, goroutines: true}}
	if _, portable := transport.New(transport.Options{}).(*transport.Goroutines); !portable {
		list = append(list, mode{name: "loop"}, mode{name: "loop, TLS", tls: true})
	}
	return list
}

// eachMode runs fn against a server of its own in every mode, with and without
// deflate.
func eachMode(t *testing.T, change func(*Config), fn func(f *fixture)) {
	t.Helper()
	eachPlainMode(t, change, fn)
	for _, m := range modes() {
		m.deflate = true
		t.Run(m.name+", deflate", func(t *testing.T) { fn(newFixture(t, m, change)) })
	}
}

func eachPlainMode(t *testing.T, change func(*Config), fn func(f *fixture)) {
	t.Helper()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) { fn(newFixture(t, m, change)) })
	}
}

// fixture is a server that echoes.
type fixture struct {
	t     *testing.T
	mode  mode
	addr  string
	hub   *hub.Hub
	proto *echo
	count *metrics.Metrics
	tls   *tls.Config
}

func newFixture(t *testing.T, m mode, change func(*Config)) *fixture {
	t.Helper()
	var eng transport.Engine = transport.NewGoroutines(transport.Options{})
	if !m.goroutines {
		eng = transport.New(transport.Options{})
	}
	f := &fixture{t: t, mode: m, proto: &echo{opened: make(chan *hub.Session, 1)}, count: metrics.New("")}
	f.hub = hubtest.New(t, eng.NewLoop, 2, func(c *hub.Config) { c.ConnectTimeout, c.Metrics = time.Hour, f.count })
	cfg := Config{Hub: f.hub, Engine: eng, Metrics: f.count, Protocols: []Subprotocol{
		{Protocol: f.proto}, {Name: "echo", Protocol: f.proto}, {Name: "echo-binary", Protocol: f.proto, Binary: true},
	}}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.listen(t, h)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(f.hub.Shutdown(ctx), h.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) listen(t *testing.T, h http.Handler) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = ln.Addr().String()
	if f.mode.tls {
		cert := httptest.NewUnstartedServer(nil)
		cert.StartTLS()
		f.tls = &tls.Config{RootCAs: cert.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"}
		ln = transport.TLSListener(ln, &tls.Config{Certificates: cert.TLS.Certificates})
		cert.Close()
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	served := make(chan struct{})
	go func() { _ = srv.Serve(ln); close(served) }()
	t.Cleanup(func() { _ = srv.Close(); <-served })
}

// peer is a client that says what it is told to, frame by frame.
type peer struct {
	t *testing.T
	net.Conn
	r       *bufio.Reader
	deflate bool
}

func (f *fixture) connect(t *testing.T) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	if f.tls != nil {
		c = tls.Client(c, f.tls)
	}
	return c
}

const upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// dial upgrades; header holds whole lines. after is sent in the same write.
func (f *fixture) dial(t *testing.T, header, after string) *peer {
	t.Helper()
	p := &peer{t: t, Conn: f.connect(t)}
	p.r = bufio.NewReader(p.Conn)
	if f.mode.deflate {
		header += offer
	}
	p.write([]byte(upgrade + header + "\r\n" + after))
	p.deflate = f.mode.deflate
	res, err := http.ReadResponse(p.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("HTTP %d, %v", res.StatusCode, res.Header)
	}
	return p
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if p.deflate {
		b = pressed(p.t, b)
	}
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// masked is a client's frame; first is its first byte.
func masked(first byte, payload string) []byte {
	b := appendHeader(nil, first, len(payload))
	b[1] |= bitMask
	b = append(b, 1, 2, 3, 4)
	for i := range len(payload) {
		b = append(b, payload[i]^byte(i&3+1))
	}
	return b
}

func text(s string) []byte { return masked(bitFin|OpText, s) }

// frame reads one frame of the server.
func (p *peer) frame() (first byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(p.r, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(h[1])
	var ext [8]byte
	switch n {
	case 126:
		_, err = io.ReadFull(p.r, ext[6:])
		n = int(binary.BigEndian.Uint64(ext[:]))
	case 127:
		_, err = io.ReadFull(p.r, ext[:])
		n = int(binary.BigEndian.Uint64(ext[:]))
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	if _, err = io.ReadFull(p.r, payload); err != nil {
		return 0, nil, err
	}
	if p.deflate && h[0]&bitRSV1 != 0 {
		err = inflate(payload, 1<<20, false, func(b []byte) error { payload = bytes.Clone(b); return nil })
	}
	return h[0] &^ p.ignored(), payload, err
}

// ignored are bits of the first byte that say nothing new.
func (p *peer) ignored() byte {
	if p.deflate {
		return bitRSV1
	}
	return 0
}

// expect reads frames, each written as first byte and payload.
func (p *peer) expect(first byte, payload string) {
	p.t.Helper()
	f, got, err := p.frame()
	if err != nil {
		p.t.Fatalf("%v, want %#x %.40q", err, first, payload)
	}
	if f != first || string(got) != payload {
		p.t.Fatalf("%#x %.60q, want %#x %.60q", f, got, first, payload)
	}
}

func (p *peer) expectText(s string) { p.t.Helper(); p.expect(bitFin|OpText, s) }

// expectClose reads a close frame and then the end of the connection.
func (p *peer) expectClose(code int) {
	p.t.Helper()
	f, got, err := p.frame()
	if err != nil || f != bitFin|opClose || len(got) < 2 || int(binary.BigEndian.Uint16(got)) != code {
		p.t.Fatalf("%#x %q, %v, want a close frame with %d", f, got, err, code)
	}
}

func (p *peer) expectEnd() {
	p.t.Helper()
	if b, err := p.r.ReadByte(); err == nil || strings.Contains(fmt.Sprint(err), "timeout") {
		p.t.Fatalf("%#x, %v, want the end of the connection", b, err)
	}
}

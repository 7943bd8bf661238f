package httpstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

// noEngine fulfils of the contract what an echo needs: nothing.
type noEngine struct{ engine.Engine }

func (noEngine) Attach(engine.Follower) {}
func (noEngine) Alive() []string        { return nil }

type nobody struct{}

func (nobody) Connection(string) (*channel.Identity, error) {
	return nil, channel.ErrTokenInvalid
}

func (nobody) Subscription(string) (*channel.SubscriptionGrant, error) {
	return nil, channel.ErrTokenInvalid
}

// echo sends back what it receives; "bye" ends the session.
type echo struct{ opened chan *hub.Session }

func (*echo) Name() string { return "echo" }

func (e *echo) Open(s *hub.Session) {
	if hello, ok := s.State.(string); ok {
		e.Receive(s, []byte(hello))
	}
	e.opened <- s
}

func (*echo) Receive(s *hub.Session, msg []byte) {
	switch string(msg) {
	case "bye":
		s.Disconnect(hub.DisconnectForced)
	case "wait":
	default:
		s.Send(msg)
	}
}

func (*echo) Ping(*hub.Session)                      {}
func (*echo) Tell(*hub.Session, hub.Notice)          {}
func (*echo) Append(dst []byte, _ *hub.Event) []byte { return dst }

func goodbye(dst []byte, d hub.Disconnect) []byte {
	return append(append(dst, "goodbye "...), d.Reason...)
}

// mode is one way to move bytes.
type mode struct {
	name       string
	tls        bool
	goroutines bool
	writer     bool // the connection cannot be taken from net/http
	http2      bool
}

func modes() []mode {
	list := []mode{
		{name: "goroutines", goroutines: true},
		{name: "goroutines, TLS", goroutines: true, tls: true},
		{name: "response writer", goroutines: true, writer: true},
		{name: "HTTP/2", goroutines: true, tls: true, writer: true, http2: true},
	}
	if _, portable := transport.New(transport.Options{}).(*transport.Goroutines); !portable {
		list = append(list, mode{name: "loop"}, mode{name: "loop, TLS", tls: true})
	}
	return list
}

// eachMode runs fn against a server of its own in every mode.
func eachMode(t *testing.T, change func(*Config), fn func(f *fixture)) {
	t.Helper()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) { fn(newFixture(t, m, change)) })
	}
}

// fixture is a server that echoes.
type fixture struct {
	t      *testing.T
	mode   mode
	addr   string
	hub    *hub.Hub
	proto  *echo
	count  *metrics.Metrics
	client *http.Client
	tls    *tls.Config
}

func newFixture(t *testing.T, m mode, change func(*Config)) *fixture {
	t.Helper()
	var eng transport.Engine = transport.NewGoroutines(transport.Options{SendBuffer: 4 << 10})
	if !m.goroutines {
		eng = transport.New(transport.Options{SendBuffer: 4 << 10})
	}
	ns, err := channel.NewNamespaces(channel.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, mode: m, proto: &echo{opened: make(chan *hub.Session, 16)}, count: metrics.New("")}
	f.hub, err = hub.New(hub.Config{
		Engine: noEngine{}, Namespaces: ns, Auth: nobody{}, NewLoop: eng.NewLoop, Shards: 2,
		ConnectTimeout: time.Hour, Metrics: f.count, OutboxMax: 64 << 10, Node: hub.Node{UID: "n1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Hub: f.hub, Engine: eng, Metrics: f.count, Param: "first", Emulated: true, Variants: []Variant{
		{Protocol: f.proto, Format: Lines, Goodbye: goodbye},
		{Protocol: f.proto, Format: Raw, Goodbye: goodbye, MediaType: "application/octet-stream"},
	}}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.listen(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(f.hub.Shutdown(ctx), eng.Close(ctx)); err != nil && !errors.Is(err, hub.ErrShutdown) {
			t.Error(err)
		}
	})
	return f
}

// captive hides that a connection could be taken.
type captive struct{ http.ResponseWriter }

func (c captive) Flush() { _ = http.NewResponseController(c.ResponseWriter).Flush() }

func (c captive) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(c.ResponseWriter).SetWriteDeadline(t)
}

func (f *fixture) listen(h http.Handler) {
	f.t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(f.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.addr = ln.Addr().String()
	transportOf := &http.Transport{}
	if f.mode.tls {
		cert := httptest.NewUnstartedServer(nil)
		cert.StartTLS()
		f.tls = &tls.Config{RootCAs: cert.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"}
		transportOf.TLSClientConfig = f.tls
		server := &tls.Config{Certificates: cert.TLS.Certificates}
		if f.mode.http2 {
			server.NextProtos = []string{"h2"}
			transportOf.ForceAttemptHTTP2 = true
		}
		ln = transport.TLSListener(ln, server)
		cert.Close()
	}
	if inner := h; f.mode.writer && !f.mode.http2 {
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(captive{w}, r) })
	}
	f.client = &http.Client{Transport: transportOf, Timeout: patience}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	served := make(chan struct{})
	go func() { _ = srv.Serve(ln); close(served) }()
	f.t.Cleanup(func() {
		transportOf.CloseIdleConnections()
		_ = srv.Close()
		<-served
	})
}

// raw is a connection that nobody speaks HTTP on yet.
func (f *fixture) raw() net.Conn {
	f.t.Helper()
	c, err := (&net.Dialer{}).DialContext(f.t.Context(), "tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	if f.tls != nil {
		c = tls.Client(c, f.tls)
	}
	return c
}

// response reads line by line.
type response struct {
	*http.Response
	t     *testing.T
	lines *bufio.Reader
	leave context.CancelFunc
}

// ask sends a request; change may be nil.
func (f *fixture) ask(method, body string, change func(*http.Request)) *response {
	f.t.Helper()
	scheme := "http://"
	if f.mode.tls {
		scheme = "https://"
	}
	ctx, leave := context.WithCancel(f.t.Context())
	f.t.Cleanup(leave)
	url := scheme + f.addr + "/"
	var reader io.Reader = http.NoBody
	if method == http.MethodPost {
		reader = strings.NewReader(body)
	} else if body != "" {
		url += "?first=" + body
	}
	req, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		f.t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	res, err := f.client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = res.Body.Close() })
	return &response{res, f.t, bufio.NewReader(res.Body), leave}
}

func (r *response) line() string {
	r.t.Helper()
	s, err := r.lines.ReadString('\n')
	if err != nil {
		r.t.Fatalf("%v after %q", err, s)
	}
	return strings.TrimSuffix(s, "\n")
}

func (r *response) rest() string {
	r.t.Helper()
	b, err := io.ReadAll(r.lines)
	if err != nil {
		r.t.Fatalf("%v after %q", err, b)
	}
	return string(b)
}

// on runs fn on the session's shard and waits for it.
func on(s *hub.Session, fn func()) {
	done := make(chan struct{})
	s.Post(func() { fn(); close(done) })
	<-done
}

// ended waits until no connection is left.
func (f *fixture) ended() {
	f.t.Helper()
	for deadline := time.Now().Add(patience); f.hub.Info().Clients > 0; {
		if time.Now().After(deadline) {
			f.t.Fatalf("%d connections are left", f.hub.Info().Clients)
		}
		<-time.After(time.Millisecond)
	}
}

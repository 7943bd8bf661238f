package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/hub/hubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; no test is decided by it.
const patience = 60 * time.Second

// mode is one engine over one kind of connection.
type mode struct {
	name string
	make func(Options) Engine
	tls  bool
}

func modes() []mode {
	goroutines := func(o Options) Engine { return NewGoroutines(o) }
	list := []mode{{"goroutines", goroutines, false}, {"goroutines, TLS", goroutines, true}}
	if _, portable := New(Options{}).(*Goroutines); !portable {
		list = append(list, mode{"loop", New, false}, mode{"loop, TLS", New, true})
	}
	return list
}

// eachMode runs fn with an engine of its own in every mode.
func eachMode(t *testing.T, fn func(f *fixture)) {
	t.Helper()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) { fn(newFixture(t, m)) })
	}
}

// fixture is an engine with one shard, and a listener whose connections it adopts.
type fixture struct {
	t      *testing.T
	mode   mode
	engine Engine
	shard  *hub.Shard
	ln     net.Listener
	client *tls.Config
}

func newFixture(t *testing.T, m mode) *fixture {
	t.Helper()
	f := &fixture{t: t, mode: m, engine: m.make(Options{SendBuffer: 16 << 10})}
	f.shard = newShard(t, f.engine)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	f.ln = ln
	if m.tls {
		var server *tls.Config
		server, f.client = certificates()
		f.ln = TLSListener(ln, server)
	}
	return f
}

// newShard is the one shard of a hub that the engine's loop runs.
func newShard(t *testing.T, e Engine) *hub.Shard {
	t.Helper()
	h, shard := newHub(t, e)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(e.Close(ctx), h.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
	})
	return shard
}

// newHub is a hub of one shard, to be shut down by the caller.
func newHub(t *testing.T, e Engine) (*hub.Hub, *hub.Shard) {
	t.Helper()
	h := hubtest.New(t, e.NewLoop, 1, nil)
	shard := h.Any() // these streams carry no sessions
	return h, shard
}

// certificates are a server's configuration and that of a client who trusts it.
func certificates() (server, client *tls.Config) {
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	defer srv.Close()
	trust := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return &tls.Config{Certificates: srv.TLS.Certificates, SessionTicketsDisabled: true}, &tls.Config{RootCAs: trust, ServerName: "example.com"}
}

// pair connects a client; server has done its handshake.
func (f *fixture) pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := f.ln.Accept()
		if err == nil {
			if s, ok := c.(*tls.Conn); ok {
				err = s.HandshakeContext(t.Context())
			}
		}
		if err != nil {
			t.Error(err)
			close(accepted)
			return
		}
		accepted <- c
	}()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	_ = client.SetDeadline(time.Now().Add(patience))
	if err := client.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil { // so that it fills soon
		t.Fatal(err)
	}
	if f.client != nil {
		secure := tls.Client(client, f.client)
		if err := secure.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		client = secure
	}
	server = <-accepted
	if server == nil {
		t.FailNow()
	}
	return client, server
}

// open connects a client and adopts the other end; rec is told everything.
func (f *fixture) open(t *testing.T, rec *recorder) (client net.Conn) {
	t.Helper()
	client, server := f.pair(t)
	f.adopt(t, server, nil, rec)
	return client
}

func (f *fixture) adopt(t *testing.T, server net.Conn, early []byte, rec *recorder) {
	t.Helper()
	rec.init(t)
	if err := f.engine.Adopt(f.shard, server, early, rec.open); err != nil {
		t.Fatal(err)
	}
	<-rec.opened
	t.Cleanup(func() { f.on(rec.stream.Abort) }) // what a test leaves
}

// on runs fn on the shard and waits for it.
func (f *fixture) on(fn func()) {
	done := make(chan struct{})
	f.shard.Post(func() { fn(); close(done) })
	<-done
}

// recorder is a Receiver that keeps what it is told. Its functions, where set,
// run after that.
type recorder struct {
	onOpen     func(Stream)
	onData     func(Stream, []byte)
	onEnded    func(Stream)
	onWritable func(Stream)

	t      *testing.T
	opened chan struct{}
	stream Stream // owned by the shard

	mu       sync.Mutex
	changed  *sync.Cond
	data     bytes.Buffer
	ended    int
	writable int
	gone     int
	err      error
}

func (r *recorder) init(t *testing.T) {
	t.Helper()
	r.t = t
	r.opened = make(chan struct{})
	r.changed = sync.NewCond(&r.mu)
}

func (r *recorder) open(s Stream) Receiver {
	r.stream = s
	defer close(r.opened)
	if r.onOpen != nil {
		r.onOpen(s)
	}
	return r
}

func (r *recorder) note(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone > 0 {
		r.t.Error("told something after Gone")
	}
	fn()
	r.changed.Broadcast()
}

// Data implements Receiver.
func (r *recorder) Data(p []byte) {
	r.note(func() { r.data.Write(p) })
	if r.onData != nil {
		r.onData(r.stream, p)
	}
}

// Ended implements Receiver.
func (r *recorder) Ended() {
	r.note(func() { r.ended++ })
	if r.onEnded != nil {
		r.onEnded(r.stream)
	}
}

// Writable implements Receiver.
func (r *recorder) Writable() {
	r.note(func() { r.writable++ })
	if r.onWritable != nil {
		r.onWritable(r.stream)
	}
}

// Gone implements Receiver.
func (r *recorder) Gone(err error) { r.note(func() { r.gone++; r.err = err }) }

// await returns once cond holds.
func (r *recorder) await(what string, cond func() bool) {
	r.t.Helper()
	late := time.AfterFunc(patience, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changed.Broadcast()
	})
	defer late.Stop()
	deadline := time.Now().Add(patience)
	r.mu.Lock()
	defer r.mu.Unlock()
	for !cond() {
		if time.Now().After(deadline) {
			r.t.Fatalf("no %s: %d bytes, ended %d, writable %d, gone %d (%v)", what, r.data.Len(), r.ended, r.writable, r.gone, r.err)
		}
		r.changed.Wait()
	}
}

func (r *recorder) awaitData(want string) {
	r.t.Helper()
	r.await("data", func() bool { return r.data.Len() >= len(want) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.data.String(); got != want {
		r.t.Fatalf("%d bytes %.40q, want %d, %.40q", len(got), got, len(want), want)
	}
}

// awaitGone waits for the end; wantErr says whether there has to be a reason.
func (r *recorder) awaitGone(wantErr bool) {
	r.t.Helper()
	r.await("Gone", func() bool { return r.gone > 0 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone != 1 || (r.err != nil) != wantErr {
		r.t.Fatalf("gone %d times, %v", r.gone, r.err)
	}
	if r.ended > 1 {
		r.t.Errorf("ended %d times", r.ended)
	}
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// expect reads exactly want.
func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("%v after %d bytes of %d", err, n, len(want))
	}
	if string(got) != want {
		t.Fatalf("%.40q, want %.40q", got, want)
	}
}

// expectEnd reads the regular end of the stream.
func expectEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("%d bytes, %v, want the end", n, err)
	}
}

func closeWrite(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// reset closes with RST.
func reset(t *testing.T, c net.Conn) {
	t.Helper()
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

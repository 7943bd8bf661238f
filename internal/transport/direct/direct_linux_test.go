package direct

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/hub/hubtest"
	"github.com/fanfare-push/fanfare/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

// fixture is an http.Server with a Handler. Both it and net/http answer with the
// body they are given; net/http puts "net:" before it. Serve refuses bodies that
// begin with "no".
type fixture struct {
	handler *Handler
	addr    string
	net     atomic.Int64 // requests that net/http answered
	hold    atomic.Bool  // Serve keeps its answers
	mu      sync.Mutex
	kept    []func()
	later   bool // answers come from other goroutines
}

func newFixture(t *testing.T, idle, request time.Duration, later bool) *fixture {
	t.Helper()
	e := transport.NewEpoll(transport.Options{})
	h := hubtest.New(t, e.NewLoop, 2, nil)
	f := &fixture{later: later}
	f.handler = New(Config{
		Hub: h, Engine: e, Path: "/api/publish", Next: http.HandlerFunc(f.next), Serve: f.serve,
		IdleTimeout: idle, RequestTimeout: request,
	})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	srv := &http.Server{Handler: f.handler, ConnContext: f.handler.ConnContext, ReadHeaderTimeout: patience}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	serving.Go(func() { _ = srv.Serve(f.handler.Listener()) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := errors.Join(f.handler.Close(ctx), h.Shutdown(ctx), e.Close(ctx), srv.Close())
		serving.Wait()
		if err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) next(w http.ResponseWriter, r *http.Request) {
	f.net.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = fmt.Fprintf(w, "net:%s", body)
}

func (f *fixture) serve(r *Request, done func([]byte)) bool {
	if bytes.HasPrefix(r.Body, []byte("no")) {
		return false
	}
	answer := bytes.Clone(r.Body)
	switch {
	case f.hold.Load():
		f.mu.Lock()
		f.kept = append(f.kept, func() { done(answer) })
		f.mu.Unlock()
	case f.later:
		go done(answer)
	default:
		done(answer)
	}
	return true
}

// peer is one connection to it.
type peer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (f *fixture) dial(t *testing.T) *peer {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &peer{t, c, bufio.NewReader(c)}
}

func request(body string, fields ...string) string {
	return line + "Host: h\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n" +
		strings.Join(append(fields, ""), "\r\n") + "\r\n" + body
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatal(err)
	}
}

// response is one that was read to its end.
type response struct {
	status int
	header http.Header
	last   bool // the connection ends after it
	body   string
}

func (p *peer) receive() response {
	p.t.Helper()
	res, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		p.t.Fatal(err)
	}
	return response{res.StatusCode, res.Header, res.Close, string(body)}
}

func (p *peer) expect(want string) {
	p.t.Helper()
	if got := p.receive().body; got != want {
		p.t.Fatalf("got %.80q, want %.80q", got, want)
	}
}

func (p *peer) expectEnd() {
	p.t.Helper()
	if b, err := p.r.ReadByte(); !errors.Is(err, io.EOF) {
		p.t.Fatalf("byte %q, %v; want the end", b, err)
	}
}

// moved is a peer whose connection is on a loop.
func (f *fixture) moved(t *testing.T) *peer {
	t.Helper()
	p := f.dial(t)
	for i := range moveAfter {
		p.send(request("a"))
		want := "net:a"
		if i == moveAfter-1 {
			want = "a"
		}
		p.expect(want)
	}
	return p
}

func each(t *testing.T, fn func(t *testing.T, f *fixture)) {
	t.Helper()
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprintf("later=%t", later), func(t *testing.T) { fn(t, newFixture(t, time.Minute, time.Minute, later)) })
	}
}

func TestBusyConnectionIsAnsweredDirectly(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		t.Helper()
		p := f.moved(t)
		for i := range 100 {
			body := strings.Repeat("b", i*300)
			p.send(request(body))
			got := p.receive()
			if got.body != body || got.header.Get("Content-Type") != "application/json" || got.header.Get("Date") == "" {
				t.Fatalf("%d bytes, %v", len(got.body), got.header)
			}
		}
		if n := f.net.Load(); n != moveAfter-1 {
			t.Errorf("net/http answered %d requests", n)
		}
	})
}

func TestPiecesAndPipelines(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		t.Helper()
		p := f.moved(t)
		for _, b := range []byte(request("in pieces")) {
			p.send(string(b))
		}
		p.expect("in pieces")
		all := ""
		for i := range 100 {
			all += request(strconv.Itoa(i))
		}
		p.send(all[:len(all)-1])
		p.send(all[len(all)-1:])
		for i := range 100 {
			p.expect(strconv.Itoa(i))
		}
	})
}

// What is not answered here goes back to net/http, and nothing that came with it
// is lost; the connection comes here again when it deserves it.
func TestGivesBack(t *testing.T) {
	tests := []struct{ name, send, want string }{
		{"refused", request("nope"), "net:nope"},
		{"another path", "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", "net:"},
		{"chunked", line + "Host: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "net:abc"},
		{"large", request(strings.Repeat("x", maxBody+1)), "net:" + strings.Repeat("x", maxBody+1)},
		{"another form of errors", request("e", "X-Centrifugo-Error-Mode: transport"), "net:e"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, f *fixture) {
				t.Helper()
				p := f.moved(t)
				for range 3 {
					p.send(request("before") + tt.send + request("after"))
					p.expect("before")
					p.expect(tt.want)
					p.expect("net:after")
					for n, again := 0, ""; again != "direct"; n++ {
						if n == moveAfter {
							t.Fatal("does not come back")
						}
						p.send(request("direct"))
						again = p.receive().body
					}
				}
			})
		})
	}
}

func TestBadRequestIsAnsweredByNetHTTP(t *testing.T) {
	f := newFixture(t, time.Minute, time.Minute, false)
	p := f.moved(t)
	p.send(line + "Host: h\r\nHost: i\r\nContent-Length: 0\r\n\r\n")
	if got := p.receive(); got.status != http.StatusBadRequest {
		t.Errorf("status %d", got.status)
	}
	p.expectEnd()
}

func TestHalfClosedPeerIsAnswered(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		t.Helper()
		p := f.moved(t)
		p.send(request("1") + request("2"))
		if c, ok := p.Conn.(*net.TCPConn); !ok || c.CloseWrite() != nil {
			t.Fatal("cannot half-close")
		}
		p.expect("1")
		p.expect("2")
		p.expectEnd()
	})
}

// A peer that asks and does not read is not read from for ever either, and gets
// all its answers when it does.
func TestPeerThatDoesNotRead(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		t.Helper()
		p := f.moved(t)
		if c, ok := p.Conn.(*net.TCPConn); !ok || c.SetReadBuffer(32<<10) != nil {
			t.Fatal("cannot be narrow")
		}
		const n = 5000
		sent := make(chan error, 1)
		go func() {
			for range n {
				if _, err := io.WriteString(p, request("answer me")); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for range n {
			p.expect("answer me")
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	})
}

func TestIdleConnectionEnds(t *testing.T) {
	f := newFixture(t, 50*time.Millisecond, time.Minute, false)
	f.moved(t).expectEnd()
}

func TestRequestThatDoesNotComeEnds(t *testing.T) {
	f := newFixture(t, time.Minute, 50*time.Millisecond, false)
	p := f.moved(t)
	p.send(request("never")[:40])
	if _, err := p.r.ReadByte(); err == nil {
		t.Error("answered")
	}
}

func TestCloseAnswersWhatWasAsked(t *testing.T) {
	f := newFixture(t, time.Minute, time.Minute, false)
	p, idle := f.moved(t), f.moved(t)
	f.hold.Store(true)
	p.send(request("asked"))
	for asked := false; !asked; {
		f.mu.Lock()
		asked = len(f.kept) == 1
		f.mu.Unlock()
	}
	closed := make(chan error, 1)
	go func() { closed <- f.handler.Close(t.Context()) }()
	idle.expectEnd()
	f.kept[0]()
	if got := p.receive(); got.body != "asked" || !got.last {
		t.Errorf("%q, the last: %t", got.body, got.last)
	}
	p.expectEnd()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestResetWhileAskedLeavesNothing(t *testing.T) {
	f := newFixture(t, time.Minute, time.Minute, false)
	p := f.moved(t)
	f.hold.Store(true)
	p.send(request("asked"))
	for asked := false; !asked; {
		f.mu.Lock()
		asked = len(f.kept) == 1
		f.mu.Unlock()
	}
	if c, ok := p.Conn.(*net.TCPConn); !ok || c.SetLinger(0) != nil || c.Close() != nil {
		t.Fatal("cannot reset")
	}
	f.handler.gone.Wait()
	f.kept[0]()
}

// What was read ahead of a connection that goes back, and is moved again, is lost
// nowhere, also where it is more than net/http reads at once.
func TestPipelineAcrossMoves(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		t.Helper()
		p := f.moved(t)
		const rounds, inRound = 4, 100
		var all strings.Builder
		all.WriteString(request("first"))
		for i := range rounds {
			all.WriteString(request("no", "X-Round: "+strconv.Itoa(i)))
			for j := range inRound {
				all.WriteString(request(fmt.Sprint(i, " ", j)))
			}
		}
		p.send(all.String())
		p.expect("first")
		for i := range rounds {
			p.expect("net:no")
			for j := range inRound {
				want := fmt.Sprint(i, " ", j)
				if got := strings.TrimPrefix(p.receive().body, "net:"); got != want {
					t.Fatalf("got %.80q, want %q", got, want)
				}
			}
		}
	})
}

// reluctant is an engine that takes no connection for a while.
type reluctant struct {
	transport.Engine

	left atomic.Int64
}

func (e *reluctant) Adopt(sh *hub.Shard, c net.Conn, early []byte, open transport.Opener) error {
	if e.left.Add(-1) >= 0 {
		return errors.Join(errors.New("no descriptor is left"), c.Close())
	}
	return e.Engine.Adopt(sh, c, early, open)
}

// What was done is answered also where the connection cannot be moved, and the
// connection goes on, with what had been read ahead of it.
func TestConnectionThatCannotBeMoved(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		t.Helper()
		e := &reluctant{Engine: f.handler.cfg.Engine}
		e.left.Store(3)
		f.handler.cfg.Engine = e
		p := f.dial(t)
		var all strings.Builder
		const count = 5 * moveAfter
		for i := range count {
			all.WriteString(request(strconv.Itoa(i)))
		}
		p.send(all.String())
		for i := range count {
			if got := strings.TrimPrefix(p.receive().body, "net:"); got != strconv.Itoa(i) {
				t.Fatalf("got %q, want %d", got, i)
			}
		}
		if left := e.left.Load(); left >= 0 {
			t.Errorf("%d refusals are left", left)
		}
	})
}

package direct

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// moveAfter requests in a row on one connection it is worth moving.
const moveAfter = 8

// Config is what a Handler is made of; every field but Log is required.
type Config struct {
	Hub    *hub.Hub
	Engine transport.Engine
	Next   http.Handler // answers everything that is not answered here
	Path   string       // of the requests that are
	Log    *slog.Logger // nil: nothing is logged

	// Serve is called on a shard's goroutine and does not wait. It returns false,
	// and has done nothing, for what Next is to answer; otherwise done is called
	// once, by any goroutine, with the body of a reply with status 200.
	Serve func(r *Request, done func(body []byte)) bool

	IdleTimeout    time.Duration // between two requests; up to twice as long
	RequestTimeout time.Duration // for a request to come whole
}

// Handler moves busy connections to the loops. It is the http.Server's Handler
// and has a say in its ConnContext; connections that come back are accepted from
// Listener.
type Handler struct {
	cfg   Config
	line  string // the first of every request that is answered here
	back  *feed
	clock clock

	mu     sync.Mutex
	conns  map[*conn]struct{}
	gone   sync.WaitGroup
	closed bool
}

// New makes a Handler.
func New(cfg Config) *Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Handler{cfg: cfg, line: "POST " + cfg.Path + " HTTP/1.1\r\n", back: newFeed(), conns: make(map[*conn]struct{})}
}

// Listener accepts what is given back to net/http.
func (h *Handler) Listener() net.Listener { return h.back }

// streakKey is the context key of a connection's *streak.
type streakKey struct{}

// streak counts a connection's requests that could have been answered here, in a
// row. Requests of one HTTP/1.1 connection follow each other; those of HTTP/2 do
// not count.
type streak struct{ n int }

// ConnContext is http.Server's.
func (h *Handler) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, streakKey{}, &streak{})
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil || r.ProtoMajor != 1 || r.URL.Path != h.cfg.Path {
		h.cfg.Next.ServeHTTP(w, r)
		return
	}
	s, ok := r.Context().Value(streakKey{}).(*streak)
	if !ok || !suits(r) {
		if ok {
			s.n = 0
		}
		h.cfg.Next.ServeHTTP(w, r)
		return
	}
	if s.n++; s.n < moveAfter || !h.move(w, r) {
		h.cfg.Next.ServeHTTP(w, r)
	}
}

// suits reports whether a request is of the kind that is answered here.
func suits(r *http.Request) bool {
	return r.Method == http.MethodPost && r.ProtoMinor == 1 && !r.Close && r.URL.RawQuery == "" &&
		r.ContentLength >= 0 && r.ContentLength <= maxBody &&
		r.Header.Get("Content-Type") == "application/json" &&
		r.Header.Get("Expect") == "" && r.Header.Get("Upgrade") == "" && r.Header.Get("Content-Encoding") == "" &&
		r.Header.Get("X-Centrifugo-Error-Mode") == ""
}

// move answers a request and takes its connection away from net/http. It returns
// false, with the body to be read again, where that cannot be.
func (h *Handler) move(w http.ResponseWriter, r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		return false
	}
	answer := make(chan []byte, 1)
	req := Request{
		APIKey: []byte(r.Header.Get("X-Api-Key")), Authorization: []byte(r.Header.Get("Authorization")), Body: body,
	}
	if !h.cfg.Serve(&req, func(body []byte) { answer <- body }) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		return false
	}
	reply := <-answer
	if err := h.adopt(w, reply); err != nil {
		h.cfg.Log.Debug("a connection could not be moved", "remote", r.RemoteAddr, "error", err)
	}
	return true
}

// failing is the end of a body that ended early.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (h *Handler) adopt(w http.ResponseWriter, reply []byte) error {
	nc, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, werr := w.Write(reply)
		return errors.Join(err, werr)
	}
	early, err := buf.Peek(buf.Reader.Buffered())
	if err != nil {
		return errors.Join(err, nc.Close())
	}
	c := &conn{handler: h, shard: h.cfg.Hub.Any()}
	last := !h.remember(c)
	c.last = last
	err = h.cfg.Engine.Adopt(c.shard, lend(nc), early, func(s transport.Stream) transport.Receiver {
		return c.open(s, h.appendReply(nil, reply, last))
	})
	if err == nil {
		return nc.Close() // the engine has a descriptor of its own
	}
	h.forget(c)
	return errors.Join(err, h.answer(nc, reply, early))
}

// answer is for a connection that the engine could not take, as when there are no
// descriptors left: what was asked is done, and must be answered. It goes back to
// net/http.
func (h *Handler) answer(nc net.Conn, reply, early []byte) error {
	if err := nc.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return errors.Join(err, nc.Close())
	}
	if _, err := nc.Write(h.appendReply(nil, reply, false)); err != nil {
		return errors.Join(err, nc.Close())
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return errors.Join(err, nc.Close())
	}
	h.back.give(transport.Front(nc, bytes.Clone(early), nil))
	return nil
}

// answerTimeout is how long a backend may take to read an answer that is written
// here.
const answerTimeout = 10 * time.Second

// lent is a connection that the engine cannot close.
type lent struct{ transport.Fronted }

func lend(nc net.Conn) lent {
	f, ok := nc.(transport.Fronted)
	if !ok {
		f = transport.Front(nc, nil, nil)
	}
	return lent{f}
}

// Close implements net.Conn.
func (lent) Close() error { return nil }

// remember counts a connection in; false: the handler is closed, and the reply is
// the connection's last.
func (h *Handler) remember(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c] = struct{}{}
	h.gone.Add(1)
	return !h.closed
}

func (h *Handler) forget(c *conn) {
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
	h.gone.Done()
}

// Close answers what has been asked, ends the connections and waits for them to
// be gone or ctx to end.
func (h *Handler) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	for c := range h.conns {
		c.shard.Post(c.leave)
	}
	h.mu.Unlock()
	done := make(chan struct{})
	go func() { h.gone.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// clock makes the Date of a response once a second.
type clock struct{ last atomic.Pointer[dated] }

type dated struct {
	second int64
	text   string
}

func (c *clock) now() string {
	now := time.Now()
	d := c.last.Load()
	if d == nil || d.second != now.Unix() {
		d = &dated{now.Unix(), now.UTC().Format(http.TimeFormat)}
		c.last.Store(d)
	}
	return d.text
}

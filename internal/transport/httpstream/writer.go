package httpstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// writer is a Stream over an http.ResponseWriter, which the request's own
// goroutine writes: for HTTP/2, and for responses after which a connection goes
// on to be used.
type writer struct {
	// Fixed after newWriter.
	w       http.ResponseWriter
	control *http.ResponseController
	shard   *hub.Shard
	remote  string
	left    context.Context // ends when the client does
	good    http.Header     // of a response that begins
	bad     http.Header     // of one that is an error
	wake    chan struct{}   // a token when there is something to do

	recv transport.Receiver // owned by the shard

	mu      sync.Mutex
	status  int // of the head to send
	out     []byte
	full    bool // Write has refused bytes; Writable is owed
	last    bool // Finish has been called
	aborted bool
	over    bool // the handler is about to return
}

var (
	_ transport.Stream = (*writer)(nil)
	_ opening          = (*writer)(nil)
)

const (
	// writerRoom is how much Write takes before it is full.
	writerRoom = 64 << 10
	// writeTimeout is how long one write may take: the hub gives up on a client
	// long before, by the size of its outbox.
	writeTimeout = time.Minute
)

func newWriter(w http.ResponseWriter, r *http.Request, shard *hub.Shard, good, bad http.Header) *writer {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // each write has its own
	return &writer{
		w: w, control: control, shard: shard, remote: r.RemoteAddr, left: r.Context(),
		good: good, bad: bad, wake: make(chan struct{}, 1),
	}
}

// run serves the stream to its end. It waits for the shard only while the client
// is there, and in the end not at all: once its loop has ended, as it may when the
// server stops, a shard does nothing any more.
func (s *writer) run(open transport.Opener) {
	opened := make(chan struct{})
	s.shard.Post(func() {
		s.recv = open(s)
		close(opened)
	})
	var err error
	select {
	case <-opened:
		err = s.serve()
	case <-s.left.Done():
	}
	s.mu.Lock()
	s.aborted, s.over = true, true
	s.mu.Unlock()
	s.shard.Post(func() { s.recv.Gone(err) })
}

// serve writes what comes, and tells the receiver when the client leaves.
func (s *writer) serve() error {
	stop := context.AfterFunc(s.left, func() {
		s.shard.Post(func() {
			if !s.isAborted() {
				s.recv.Ended()
			}
		})
	})
	defer stop()
	return s.write()
}

var errLeft = errors.New("the response could not be written")

// write sends what comes until the last of it.
func (s *writer) write() error {
	begun := false
	var spare []byte
	for {
		<-s.wake
		s.mu.Lock()
		p, owed, last, status, aborted := s.out, s.full, s.last, s.status, s.aborted
		s.out, s.full = spare[:0], false
		s.mu.Unlock()
		if aborted {
			return nil
		}
		first := !begun && status != 0
		if first {
			begun = true
			s.begin(status, last, len(p))
		}
		if err := s.send(p, first, last); err != nil {
			return errors.Join(errLeft, err)
		}
		spare = p
		if owed {
			s.shard.Post(func() {
				if !s.isAborted() {
					s.recv.Writable()
				}
			})
		}
		if last {
			return nil
		}
	}
}

func (s *writer) begin(status int, last bool, size int) {
	h := s.good
	if status != http.StatusOK {
		h = s.bad
	}
	for name, values := range h {
		s.w.Header()[name] = values
	}
	tellWhen(s.w.Header(), status)
	if last {
		s.w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	s.w.WriteHeader(status)
}

// send sends p, after the head if it is the first of a response.
func (s *writer) send(p []byte, first, last bool) error {
	if len(p) == 0 && !first {
		return nil
	}
	s.deadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	if last {
		return nil // net/http flushes when the handler returns
	}
	return s.control.Flush()
}

// deadline bounds writes, unless the response is over.
func (s *writer) deadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		_ = s.control.SetWriteDeadline(t) // where it cannot be set, the client's end is all there is
	}
}

func (s *writer) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// accept implements opening.
func (s *writer) accept() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = http.StatusOK
	return nil
}

// refuse implements opening.
func (s *writer) refuse(status int, body []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
	return body
}

// Write implements transport.Stream.
func (s *writer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aborted || s.last {
		return 0, errLeft
	}
	n := min(len(p), max(writerRoom-len(s.out), 0))
	s.out = append(s.out, p[:n]...)
	s.full = s.full || n < len(p)
	s.signal()
	return n, nil
}

// Finish implements transport.Stream. The client has nothing more to say,
// whatever after is.
func (s *writer) Finish(last []byte, _ transport.After) {
	s.mu.Lock()
	s.out = append(s.out, last...)
	s.last = true
	s.mu.Unlock()
	s.signal()
}

func (s *writer) isAborted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aborted
}

// Abort implements transport.Stream.
func (s *writer) Abort() {
	s.mu.Lock()
	s.aborted = true
	s.mu.Unlock()
	s.deadline(time.Unix(1, 0)) // ends a write that is under way
	s.signal()
}

// Pause implements transport.Stream: nothing is read.
func (s *writer) Pause() {}

// Resume implements transport.Stream.
func (s *writer) Resume() {}

// Warm implements transport.Stream: another goroutine writes.
func (s *writer) Warm() bool { return true }

// Release implements transport.Stream.
func (s *writer) Release() (net.Conn, error) { return nil, errors.ErrUnsupported }

// Remote implements transport.Stream.
func (s *writer) Remote() string { return s.remote }

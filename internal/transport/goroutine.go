package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// Goroutines is the portable Engine: two goroutines for each stream, one reads
// and one writes.
type Goroutines struct {
	opts    Options
	streams sync.WaitGroup
	mu      sync.Mutex
	loops   map[*hub.Shard]*goLoop
}

var _ Engine = (*Goroutines)(nil)

// NewGoroutines makes the engine.
func NewGoroutines(o Options) *Goroutines {
	o.setDefaults()
	return &Goroutines{opts: o, loops: make(map[*hub.Shard]*goLoop)}
}

// goLoop is a shard's loop and the streams on it.
type goLoop struct {
	hub.Loop
	gone sync.WaitGroup // of streams

	mu      sync.Mutex
	stopped bool
	streams map[*goStream]struct{}
}

// NewLoop implements Engine.
func (e *Goroutines) NewLoop(sh *hub.Shard) hub.Loop {
	l := &goLoop{Loop: hub.NewGoLoop(sh), streams: make(map[*goStream]struct{})}
	e.mu.Lock()
	e.loops[sh] = l
	e.mu.Unlock()
	return l
}

// add takes a stream in, unless the loop is stopped.
func (l *goLoop) add(s *goStream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	l.streams[s] = struct{}{}
	l.gone.Add(1)
	return true
}

func (l *goLoop) remove(s *goStream) {
	l.mu.Lock()
	delete(l.streams, s)
	l.mu.Unlock()
	l.gone.Done()
}

// Stop implements hub.Loop. A stream may outlive its session; it is cut while the
// shard still runs, so that its receiver is told.
func (l *goLoop) Stop() {
	l.mu.Lock()
	l.stopped = true
	for s := range l.streams {
		s.shard.Post(s.Abort)
	}
	l.mu.Unlock()
	l.gone.Wait()
	l.Loop.Stop()
}

// Adopt implements Engine.
func (e *Goroutines) Adopt(sh *hub.Shard, c net.Conn, early []byte, open Opener) error {
	if err := c.SetDeadline(time.Time{}); err != nil {
		return errors.Join(fmt.Errorf("adopt: %w", err), c.Close())
	}
	if t, ok := socketOf(c).(*net.TCPConn); ok && e.opts.SendBuffer > 0 {
		if err := t.SetWriteBuffer(e.opts.SendBuffer); err != nil {
			return errors.Join(fmt.Errorf("adopt: %w", err), c.Close())
		}
	}
	e.mu.Lock()
	l := e.loops[sh]
	e.mu.Unlock()
	s := &goStream{
		shard: sh, conn: c, early: append([]byte(nil), early...),
		resume: make(chan struct{}, 1), wake: make(chan struct{}, 1), limit: goWriteBuffer,
	}
	if l == nil || !l.add(s) {
		return errors.Join(errors.New("adopt: the shard does not run"), c.Close())
	}
	e.streams.Go(func() {
		s.run(open)
		l.remove(s)
	})
	return nil
}

// Releases implements Engine: a read that is under way cannot be taken back.
func (e *Goroutines) Releases() bool { return false }

// Close implements Engine.
func (e *Goroutines) Close(ctx context.Context) error {
	done := make(chan struct{})
	go func() { e.streams.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("streams were still open: %w", ctx.Err())
	}
}

// Sizes of a goStream's buffers.
const (
	goReadBuffer  = 4 << 10
	goWriteBuffer = 64 << 10
)

// goStream is a Stream on two goroutines.
type goStream struct {
	// Fixed after Adopt.
	shard  *hub.Shard
	conn   net.Conn
	early  []byte
	resume chan struct{} // a token when a paused stream may read again
	wake   chan struct{} // a token when there is something for the writer
	limit  int           // bytes that Write takes

	// Owned by the shard.
	recv    Receiver
	paused  bool
	waiting bool // the reader waits for Resume

	mu      sync.Mutex
	out     []byte // not yet with the writer
	full    bool   // Write has refused bytes; Writable is owed
	last    bool   // Finish has been called
	after   After
	ended   bool // the peer sends no more
	aborted bool
}

// run is the reading goroutine; it ends when reading and writing have.
func (s *goStream) run(open Opener) {
	opened := make(chan struct{})
	s.shard.Post(func() { s.recv = open(s); close(opened) })
	<-opened
	written := make(chan error, 1)
	go func() { written <- s.write() }()
	err := s.read()
	if err != nil {
		s.abort()
	} else {
		s.shard.Post(s.end)
	}
	if werr := <-written; err == nil {
		err = werr
	}
	if s.isAborted() && errors.Is(err, net.ErrClosed) {
		err = nil
	}
	_ = s.conn.Close() // it is closed already, or nobody waits for what is lost
	told := make(chan struct{})
	s.shard.Post(func() { s.recv.Gone(err); close(told) })
	<-told
}

// end is the peer's end of the stream.
func (s *goStream) end() {
	s.mu.Lock()
	s.ended = true
	last, aborted := s.last, s.aborted
	s.mu.Unlock()
	switch {
	case aborted:
	case last:
		s.signal() // there is nobody left to wait for
	default:
		s.recv.Ended()
	}
}

// read hands over what arrives, a part at a time: the next is read when the shard
// is done with the last, and not while the stream is paused.
func (s *goStream) read() error {
	if len(s.early) > 0 {
		s.hand(s.early)
		s.early = nil
	}
	buf := make([]byte, goReadBuffer)
	for {
		n, err := s.conn.Read(buf)
		if n > 0 {
			s.hand(buf[:n])
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (s *goStream) hand(p []byte) {
	s.shard.Post(func() {
		if !s.isAborted() {
			s.recv.Data(p)
		}
		if s.paused {
			s.waiting = true
		} else {
			s.resume <- struct{}{}
		}
	})
	<-s.resume
}

// write is the writing goroutine.
func (s *goStream) write() error {
	var spare []byte
	for {
		<-s.wake
		s.mu.Lock()
		p, owed, last, after := s.out, s.full, s.last, s.after
		if s.ended {
			after = Close
		}
		s.out, s.full = spare[:0], false
		s.mu.Unlock()
		if len(p) > 0 {
			if _, err := s.conn.Write(p); err != nil {
				s.abort()
				return err
			}
		}
		if cap(p) > 2*s.limit {
			p = nil
		}
		spare = p
		if owed {
			s.shard.Post(func() {
				if !s.isAborted() {
					s.recv.Writable()
				}
			})
		}
		if s.isAborted() {
			return net.ErrClosed
		}
		if last && s.leave(after) {
			return nil
		}
	}
}

// leave reports whether nothing is left for the writer; closing ends the reader
// too.
func (s *goStream) leave(after After) bool {
	half, ok := s.conn.(interface{ CloseWrite() error })
	switch {
	case after == Await:
		return false // a second Finish may come
	case after == HalfClose && ok && half.CloseWrite() == nil:
		return false
	}
	_ = s.conn.Close() // TLS says goodbye first
	s.abort()
	return true
}

func (s *goStream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Write implements Stream.
func (s *goStream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aborted || s.last {
		return 0, errClosed
	}
	n := min(len(p), max(s.limit-len(s.out), 0))
	s.out = append(s.out, p[:n]...)
	s.full = s.full || n < len(p)
	s.signal()
	return n, nil
}

// Finish implements Stream.
func (s *goStream) Finish(last []byte, after After) {
	s.mu.Lock()
	s.out = append(s.out, last...)
	s.last, s.after = true, after
	s.mu.Unlock()
	s.signal()
	s.Resume() // what the peer still sends has to be seen
}

func (s *goStream) isAborted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aborted
}

func (s *goStream) abort() {
	s.mu.Lock()
	s.aborted = true
	s.mu.Unlock()
	_ = socketOf(s.conn).Close() // unblocks both goroutines; TLS would wait for room to say goodbye
	s.signal()
}

// Abort implements Stream.
func (s *goStream) Abort() {
	s.abort()
	s.Resume()
}

// Pause implements Stream: what is in hand is still delivered.
func (s *goStream) Pause() { s.paused = true }

// Resume implements Stream.
func (s *goStream) Resume() {
	s.paused = false
	if s.waiting {
		s.waiting = false
		s.resume <- struct{}{}
	}
}

// Warm implements Stream: another goroutine writes.
func (s *goStream) Warm() bool { return true }

// Release implements Stream.
func (s *goStream) Release() (net.Conn, error) { return nil, errors.ErrUnsupported }

// Remote implements Stream.
func (s *goStream) Remote() string { return s.conn.RemoteAddr().String() }

package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// Epoll is the Engine of Linux: each shard's goroutine is an event loop over the
// descriptors of its streams. A stream that waits costs its descriptor, its
// struct and nothing else: no goroutine, no timer, no buffer.
type Epoll struct {
	opts    Options
	mu      sync.Mutex
	loops   map[*hub.Shard]*loop
	streams sync.WaitGroup
}

var _ Engine = (*Epoll)(nil)

// NewEpoll makes the engine.
func NewEpoll(o Options) *Epoll {
	o.setDefaults()
	return &Epoll{opts: o, loops: make(map[*hub.Shard]*loop)}
}

// New makes the engine that suits the system best.
func New(o Options) Engine { return NewEpoll(o) }

// NewLoop implements Engine. It panics when the system refuses an epoll
// descriptor: the process has not begun to serve, and there is nobody to tell.
func (e *Epoll) NewLoop(sh *hub.Shard) hub.Loop {
	l, err := newLoop(sh, &e.streams)
	if err != nil {
		panic(fmt.Errorf("make an event loop: %w", err))
	}
	e.mu.Lock()
	e.loops[sh] = l
	e.mu.Unlock()
	go l.run()
	return l
}

// Adopt implements Engine.
func (e *Epoll) Adopt(sh *hub.Shard, c net.Conn, early []byte, open Opener) error {
	e.mu.Lock()
	l := e.loops[sh]
	e.mu.Unlock()
	if l == nil || l.stopped.Load() {
		return errors.Join(errors.New("adopt: the shard has no loop"), c.Close())
	}
	held, said := behind(c)
	s, err := e.takeOver(c)
	if err != nil {
		return errors.Join(fmt.Errorf("adopt: %w", err), c.Close())
	}
	early = append(append([]byte(nil), early...), held...)
	e.streams.Add(1)
	sh.Post(func() { l.open(s, early, said, open) })
	return nil
}

// Releases implements Engine.
func (e *Epoll) Releases() bool { return true }

// Close implements Engine.
func (e *Epoll) Close(ctx context.Context) error {
	done := make(chan struct{})
	go func() { e.streams.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("streams were still open: %w", ctx.Err())
	}
}

// loop runs one shard and its streams.
type loop struct {
	// Fixed after newLoop.
	shard *hub.Shard
	group *sync.WaitGroup // of every open stream of the engine
	file  *os.File        // the epoll descriptor, in Go's own poller
	raw   syscall.RawConn
	fd    int
	nudge *nudge
	done  chan struct{}

	parked  atomic.Bool // a Wake has to interrupt the wait
	woken   atomic.Bool // something was posted since the last turn
	stopped atomic.Bool

	// Owned by the loop's goroutine.
	streams []*stream          // by descriptor
	said    map[int32]net.Addr // the peers of those whose sockets do not know them
	events  []unix.EpollEvent
	buf     []byte
	count   int       // events of the last look
	from    int       // the one to begin with
	hurries int       // turns in a row that were only woken to, without a yield
	got     int       // bytes read since the last turn
	more    []*stream // hold bytes that no event will tell of

	deadline time.Time // of the wait, as it was set last; unset: another may be
}

// Sizes of a loop.
const (
	loopEvents = 512
	loopBuffer = 64 << 10
	maxHurries = 8
	passBytes  = 256 << 10 // read between two turns, and a buffer at most beyond
)

func newLoop(sh *hub.Shard, group *sync.WaitGroup) (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // makes NewFile put it into the poller
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	f := os.NewFile(uintptr(fd), "epoll")
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.SetReadDeadline(time.Time{}); err != nil { // it is not in the poller
		return nil, errors.Join(err, f.Close())
	}
	n, err := newNudge()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &loop{
		shard: sh, group: group, file: f, raw: raw, fd: fd, nudge: n, done: make(chan struct{}), said: make(map[int32]net.Addr),
		events: make([]unix.EpollEvent, loopEvents), buf: make([]byte, loopBuffer), deadline: unset,
	}, nil
}

// run takes events and turns until Stop. It looks for events between any two
// turns, also when there is always more to do.
func (l *loop) run() {
	defer close(l.done)
	for {
		l.woken.Store(false)
		if l.stopped.Load() { // after woken is reset, or a Stop in between is slept through
			break
		}
		left := l.serve()
		wait := l.shard.Turn(time.Now())
		busy := wait == 0 || left || len(l.more) > 0
		switch {
		case !busy && !l.woken.Load():
			l.hurries = 0
			l.park(wait)
			continue
		case !busy && l.hurries < maxHurries: // it will be done in a moment
			l.hurries++
		default:
			l.hurries = 0
			l.nudge.yield()
		}
		l.look()
	}
	l.cut()
	_ = l.file.Close() // nothing is in it any more
	l.nudge.close()
}

// serve reads until passBytes have come, whoever sends them, and reports whether
// events are left: the next look tells of them again, and the next serve begins
// where this one ended.
func (l *loop) serve() (left bool) {
	n := l.count
	l.count, l.got = 0, 0
	l.readMore()
	for i := range n {
		if l.got >= passBytes {
			l.from = (l.from + i) % n
			return true
		}
		l.handle(l.events[(l.from+i)%n])
	}
	return n == len(l.events)
}

// readMore reads on where no event will tell of what is there. The rest of a pass
// is for events.
func (l *loop) readMore() {
	batch := l.more
	l.more = nil
	for len(batch) > 0 && l.got < passBytes/2 {
		s := batch[0]
		batch = batch[1:]
		s.flags &^= queued
		if s.fd >= 0 && s.is(reading) {
			s.read()
		}
	}
	if len(batch) > 0 {
		l.more = append(batch, l.more...)
	}
}

// cut ends what is still open when the loop stops.
func (l *loop) cut() {
	l.woken.Store(true)
	l.shard.Turn(time.Now())
	for _, s := range l.streams {
		if s != nil {
			s.close(nil)
		}
	}
	l.shard.Turn(time.Now()) // their Gone
}

// look asks for events without waiting; they are handled before the next turn.
func (l *loop) look() {
	n, err := unix.EpollWait(l.fd, l.events, 0)
	if err != nil { // EINTR
		n = 0
	}
	l.count = n
}

// past interrupts a wait.
var past = time.Unix(1, 0)

// park waits in Go's poller for an event on any descriptor, a Wake, or the time
// the shard has asked for; it holds no thread meanwhile.
func (l *loop) park(wait time.Duration) {
	l.setDeadline(wait)
	l.parked.Store(true)
	if l.woken.Load() {
		l.look()
	} else if err := l.raw.Read(func(uintptr) bool {
		l.look()
		return l.count > 0
	}); err != nil { // the deadline, or Wake's
		l.deadline = unset
	}
	l.parked.Store(false)
}

// unset is the deadline of which is not known what it is.
var unset = time.Unix(0, 0)

// nearby deadlines are one, where they are far away: to set one costs more than
// the rest of a wait that a single event ends.
const (
	nearby  = time.Millisecond
	farAway = 10 * time.Millisecond
)

func (l *loop) setDeadline(wait time.Duration) {
	deadline := time.Time{}
	if wait > 0 {
		deadline = time.Now().Add(wait)
	}
	if l.deadline.IsZero() == deadline.IsZero() && l.deadline != unset {
		if deadline.IsZero() || wait >= farAway && deadline.Sub(l.deadline).Abs() < nearby {
			return
		}
	}
	l.deadline = deadline
	_ = l.file.SetReadDeadline(deadline) // it fails on a closed file only
}

// Wake implements hub.Loop.
func (l *loop) Wake() {
	l.woken.Store(true)
	if l.parked.CompareAndSwap(true, false) {
		_ = l.file.SetReadDeadline(past)
	}
}

// Stop implements hub.Loop.
func (l *loop) Stop() {
	l.stopped.Store(true)
	l.Wake()
	<-l.done
}

func (l *loop) handle(e unix.EpollEvent) {
	if s := l.streams[e.Fd]; s != nil { // nil: closed by an event before
		s.ready(e.Events)
	}
}

func (l *loop) register(fd int, s *stream) {
	if fd >= len(l.streams) {
		l.streams = append(l.streams, make([]*stream, fd+1-len(l.streams))...)
	}
	l.streams[fd] = s
}

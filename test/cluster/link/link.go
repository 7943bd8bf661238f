package link

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Direction is one of the two in which bytes go.
type Direction int

// There is from who dials the proxy to who it dials, Back the other.
const (
	There Direction = iota
	Back
)

// State is what happens to bytes in one direction. The zero State lets them pass.
type State struct {
	// Cut keeps every byte, and the end of a connection too, until it is healed, as
	// a network does that loses all packets.
	Cut bool
	// Delay is how long a piece of at most pieceSize bytes waits before the next is
	// taken: it delays, and bounds the rate.
	Delay time.Duration
}

const (
	pieceSize   = 16 << 10
	dialTimeout = 5 * time.Second
)

// Link is one proxy. Its methods may be called from any goroutine.
type Link struct {
	target   string
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	tasks    sync.WaitGroup

	mu      sync.Mutex
	state   [2]State
	changed chan struct{} // closed at the next change of state
	conns   map[net.Conn]bool
}

// Listen starts a proxy on a port of loopback that the system chooses; it dials
// target, host:port, for each connection.
func Listen(ctx context.Context, target string) (*Link, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{target: target, listener: listener, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.tasks.Go(l.accept)
	return l, nil
}

// Addr is host:port to dial.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Set changes what happens in one direction, to connections there are and to new
// ones.
func (l *Link) Set(d Direction, s State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state[d] = s
	close(l.changed)
	l.changed = make(chan struct{})
}

// Reset ends every connection at once, as a firewall does that forgets them.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

// Close ends everything and returns when all is gone.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.cancel()
	l.Reset()
	l.tasks.Wait()
	return err
}

func (l *Link) accept() {
	for {
		c, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if !l.keep(c) {
			return
		}
		l.tasks.Go(func() { l.serve(c) })
	}
}

// keep notes a connection for Reset; false: the link is closed.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		_ = c.Close()
		return false
	}
	l.conns[c] = true
	return true
}

func (l *Link) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	_ = c.Close()
}

// serve carries one connection, whose first packet passes only where both
// directions are open.
func (l *Link) serve(from net.Conn) {
	defer l.drop(from)
	if l.pass(There) != nil || l.pass(Back) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, dialTimeout)
	defer cancel()
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.target)
	if err != nil || !l.keep(to) {
		return
	}
	defer l.drop(to)
	var both sync.WaitGroup
	both.Go(func() { l.pump(There, from, to) })
	both.Go(func() { l.pump(Back, to, from) })
	both.Wait()
}

// pump carries bytes until from ends, and then ends both.
func (l *Link) pump(d Direction, from, to net.Conn) {
	defer func() { _ = from.Close() }()
	defer func() { _ = to.Close() }()
	piece := make([]byte, pieceSize)
	for {
		n, err := from.Read(piece)
		if l.pass(d) != nil {
			return
		}
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits for as long as the state of a direction says; an error says that the
// link is closed.
func (l *Link) pass(d Direction) error {
	delayed := false
	for {
		l.mu.Lock()
		state, changed := l.state[d], l.changed
		l.mu.Unlock()
		var after <-chan time.Time
		switch {
		case state.Cut:
		case delayed || state.Delay <= 0:
			return l.ctx.Err()
		default:
			after, delayed = time.After(state.Delay), true
		}
		select {
		case <-changed:
		case <-after:
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
}

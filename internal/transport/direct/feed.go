package direct

import (
	"net"
	"sync"
)

// feed is a listener of connections that are given back to net/http.
type feed struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

var _ net.Listener = (*feed)(nil)

// feedSize is more than come back between two looks of net/http; those beyond it
// are cut.
const feedSize = 1024

func newFeed() *feed {
	return &feed{conns: make(chan net.Conn, feedSize), closed: make(chan struct{})}
}

// give never waits: it is called on a shard's goroutine.
func (f *feed) give(c net.Conn) {
	select {
	case <-f.closed:
		_ = c.Close()
		return
	default:
	}
	select {
	case f.conns <- c:
	default:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (f *feed) Close() error {
	f.once.Do(func() { close(f.closed) })
	for {
		select {
		case c := <-f.conns:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (f *feed) Addr() net.Addr { return feedAddr{} }

type feedAddr struct{}

func (feedAddr) Network() string { return "direct" }
func (feedAddr) String() string  { return "direct" }

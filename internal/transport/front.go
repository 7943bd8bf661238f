package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
)

// Fronted is a connection that does not begin, or does not come from where, its
// socket says. An Engine adopts it with all that its holder knows and the socket
// does not.
type Fronted interface {
	net.Conn
	syscall.Conn
	// Held is what was read from the socket and not yet given to Read.
	Held() []byte
	// Said is the peer's address where it is not the socket's; nil: it is.
	Said() net.Addr
	// Below is the connection that this one stands before.
	Below() net.Conn
}

// Front gives c the bytes in early to be read first, and remote as its peer's
// address; nil: as it is. early is kept.
func Front(c net.Conn, early []byte, remote net.Addr) Fronted {
	return &front{Conn: c, early: early, remote: remote}
}

type front struct {
	net.Conn

	early  []byte
	remote net.Addr
}

var _ Fronted = (*front)(nil)

// Read implements net.Conn.
func (f *front) Read(p []byte) (int, error) {
	if len(f.early) > 0 {
		n := copy(p, f.early)
		if f.early = f.early[n:]; len(f.early) == 0 {
			f.early = nil
		}
		return n, nil
	}
	return f.Conn.Read(p)
}

// RemoteAddr implements net.Conn.
func (f *front) RemoteAddr() net.Addr {
	if f.remote != nil {
		return f.remote
	}
	return f.Conn.RemoteAddr()
}

// SyscallConn implements syscall.Conn.
func (f *front) SyscallConn() (syscall.RawConn, error) { return RawConn(f.Conn) }

// CloseWrite shuts one direction, where c can.
func (f *front) CloseWrite() error { return CloseWrite(f.Conn) }

// Held implements Fronted.
func (f *front) Held() []byte {
	held, _ := behind(f.Conn)
	return append(append([]byte(nil), f.early...), held...)
}

// Said implements Fronted.
func (f *front) Said() net.Addr {
	if f.remote != nil {
		return f.remote
	}
	_, said := behind(f.Conn)
	return said
}

// Below implements Fronted.
func (f *front) Below() net.Conn { return f.Conn }

// RawConn is the descriptor of a connection that has one.
func RawConn(c net.Conn) (syscall.RawConn, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return sc.SyscallConn()
}

// CloseWrite shuts the sending direction of a connection that can.
func CloseWrite(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// behind is what the holder of a connection knows and its socket does not.
func behind(c net.Conn) (held []byte, said net.Addr) {
	switch t := c.(type) {
	case Fronted:
		return t.Held(), t.Said()
	case *tls.Conn: // what is held below it is ciphertext
		_, said = behind(t.NetConn())
	}
	return nil, said
}

// socketOf is the connection below everything, TLS included, while that is
// net/http's.
func socketOf(c net.Conn) net.Conn {
	for {
		switch t := c.(type) {
		case *tls.Conn:
			c = t.NetConn()
		case Fronted:
			c = t.Below()
		default:
			return c
		}
	}
}

// bare is TLS without what Front has put before it; other connections are as they
// are.
func bare(c net.Conn) net.Conn {
	for f, ok := c.(*front); ok; f, ok = f.Conn.(*front) {
		if t, ok := f.Conn.(*tls.Conn); ok {
			return t
		}
	}
	return c
}

// ClientAddr is the address of the client that a request comes from: that of the
// connection's peer, or what proxies that are trusted say (package proxies, whose
// Handler has to be in front). Limits for each address and logs use it. IPv4 within
// IPv6 is IPv4, and there is no zone. It is the zero Addr where there is no address
// of IP; 0.0.0.0 stands for clients of a trusted proxy that does not say whose
// connection it is. Limits count by limit.Host of it.
func ClientAddr(r *http.Request) netip.Addr { return peerOf(r).Unmap().WithZone("") }

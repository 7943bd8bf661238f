package proxies

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/fanfare-push/fanfare/internal/transport"
)

const (
	// headerTimeout is how long a trusted proxy may take to begin.
	headerTimeout = 5 * time.Second
	// maxHeader bounds a PROXY header of version 2 with all that it may carry, in
	// bytes.
	maxHeader = 4 << 10
)

// Listener reads the PROXY headers of trusted proxies; connections of others, and
// those that begin without one, are as they are.
func (p *Proxies) Listener(l net.Listener) net.Listener { return listener{l, p} }

type listener struct {
	net.Listener

	proxies *Proxies
}

// Accept implements net.Listener. It does not wait for the header.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	peer, _ := netip.ParseAddrPort(c.RemoteAddr().String()) // what has no address is not trusted
	if !l.proxies.trusts(peer.Addr().Unmap().WithZone("")) {
		return c, nil // it may say what it likes
	}
	return &conn{Conn: c, proxies: l.proxies}, nil
}

// conn reads the header when it is first asked for anything that depends on it.
// Afterwards it is used by one goroutine at a time.
type conn struct {
	net.Conn

	proxies *Proxies
	once    sync.Once
	held    []byte   // read behind the header
	said    net.Addr // by the header; nil: nothing
	err     error
}

var _ transport.Fronted = (*conn)(nil)

// unknown is a client whose proxy does not say its address. It is none that is
// trusted, so that what it says itself counts for nothing.
var unknown = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))

func (c *conn) begin() {
	c.once.Do(func() {
		if c.err = c.readHeader(); c.err != nil {
			c.said = unknown
			var network net.Error // the proxy is gone, or has said nothing for too long
			if !errors.As(c.err, &network) {
				c.proxies.cfg.Refused()
				c.proxies.cfg.Log.Warn("a trusted proxy sent a PROXY header that cannot be read", "proxy", c.Conn.RemoteAddr().String(), "error", c.err)
			}
		}
	})
}

func (c *conn) readHeader() error {
	if err := c.SetReadDeadline(time.Now().Add(headerTimeout)); err != nil {
		return err
	}
	buf := bufio.NewReaderSize(c.Conn, maxHeader)
	h, err := proxyproto.Read(buf)
	if err != nil && !errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		return err
	}
	// LOCAL of version 2 says that the proxy asks for itself; what version 1 calls
	// UNKNOWN may be anybody.
	if err == nil && (h.Command.IsProxy() || h.Version == 1) {
		c.said = unknown
		if source, _, ok := h.TCPAddrs(); ok {
			c.said = source
		}
	}
	read, _ := buf.Peek(buf.Buffered()) // never more than there is
	c.held = append([]byte(nil), read...)
	return c.SetReadDeadline(time.Time{})
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.begin()
	if c.err != nil {
		return 0, c.err
	}
	if len(c.held) > 0 {
		n := copy(p, c.held)
		if c.held = c.held[n:]; len(c.held) == 0 {
			c.held = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// RemoteAddr implements net.Conn; it waits for the header.
func (c *conn) RemoteAddr() net.Addr {
	if said := c.Said(); said != nil {
		return said
	}
	return c.Conn.RemoteAddr()
}

// Said implements transport.Fronted; it waits for the header.
func (c *conn) Said() net.Addr {
	c.begin()
	return c.said
}

// Held implements transport.Fronted.
func (c *conn) Held() []byte {
	c.begin()
	return c.held
}

// Below implements transport.Fronted.
func (c *conn) Below() net.Conn { return c.Conn }

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return transport.RawConn(c.Conn) }

// CloseWrite shuts one direction.
func (c *conn) CloseWrite() error { return transport.CloseWrite(c.Conn) }

package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This file lets crypto/tls run on an event loop, without a fork of it. The
// handshake blocks on net/http's goroutine as usual. Afterwards the connection
// below TLS is switched over to the stream's descriptor: reads return a
// temporary error when nothing is there, which crypto/tls passes on and forgets;
// writes never fail for want of room, because crypto/tls keeps every write error
// for ever, but queue the ciphertext.

// TLSListener wraps a listener so that its connections can be adopted by the
// engine after their handshake.
func TLSListener(ln net.Listener, cfg *tls.Config) net.Listener {
	return tls.NewListener(switchListener{ln}, cfg)
}

type switchListener struct{ net.Listener }

// Accept implements net.Listener.
func (l switchListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &switchConn{before: c}, nil
}

// switchConn is what crypto/tls reads and writes: a connection of net/http's
// until it is switched, the descriptor of a stream afterwards.
type switchConn struct {
	before net.Conn // nil once switched
	stream *stream
	early  []byte // read before the switch, and to be read after it
}

var _ Fronted = (*switchConn)(nil)

// SyscallConn implements syscall.Conn.
func (c *switchConn) SyscallConn() (syscall.RawConn, error) {
	if c.before == nil {
		return nil, net.ErrClosed
	}
	return RawConn(c.before)
}

// Held implements Fronted: what TLS has not read yet.
func (c *switchConn) Held() []byte {
	if c.before == nil {
		return c.early
	}
	held, _ := behind(c.before)
	return held
}

// Below implements Fronted; nil after the switch.
func (c *switchConn) Below() net.Conn { return c.before }

// Said implements Fronted.
func (c *switchConn) Said() net.Addr {
	if c.before == nil {
		return nil
	}
	_, said := behind(c.before)
	return said
}

// wouldBlock is a temporary net.Error: crypto/tls does not remember it.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing to read" }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }

// Read implements net.Conn.
func (c *switchConn) Read(p []byte) (int, error) {
	if c.before != nil {
		return c.before.Read(p)
	}
	if c.stream.fd < 0 {
		return 0, net.ErrClosed
	}
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	n, err := unix.Read(int(c.stream.fd), p)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, wouldBlock{}
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn. After the switch it takes everything.
func (c *switchConn) Write(p []byte) (int, error) {
	if c.before != nil {
		return c.before.Write(p)
	}
	s := c.stream
	if s.fd < 0 {
		return 0, net.ErrClosed
	}
	n := 0
	if len(s.tls.sealed) == 0 {
		var err error
		if n, err = s.send(p); err != nil {
			return 0, err
		}
	}
	s.tls.sealed = append(s.tls.sealed, p[n:]...)
	return len(p), nil
}

// Close implements net.Conn; after the switch the stream is closed by its loop.
func (c *switchConn) Close() error {
	if c.before != nil {
		return c.before.Close()
	}
	return nil
}

// LocalAddr implements net.Conn.
func (c *switchConn) LocalAddr() net.Addr {
	if c.before != nil {
		return c.before.LocalAddr()
	}
	return nil
}

// RemoteAddr implements net.Conn.
func (c *switchConn) RemoteAddr() net.Addr {
	if c.before != nil {
		return c.before.RemoteAddr()
	}
	return nil
}

// SetDeadline implements net.Conn. After the switch there are none: the hub's
// timers watch over sessions.
func (c *switchConn) SetDeadline(t time.Time) error {
	if c.before != nil {
		return c.before.SetDeadline(t)
	}
	return nil
}

// SetReadDeadline implements net.Conn, see SetDeadline.
func (c *switchConn) SetReadDeadline(t time.Time) error {
	if c.before != nil {
		return c.before.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline implements net.Conn, see SetDeadline.
func (c *switchConn) SetWriteDeadline(t time.Time) error {
	if c.before != nil {
		return c.before.SetWriteDeadline(t)
	}
	return nil
}

// tlsSide is what a stream with TLS has besides.
type tlsSide struct {
	conn   *tls.Conn
	sealed []byte // ciphertext that the socket did not take
	own    int    // bytes of it that are answers of TLS itself
}

// maxOwn bounds the answers of TLS itself that wait for a peer. They are not
// messages of a session, which are bounded by its outbox.
const maxOwn = 4 << 10

var (
	errNotSwitchable = errors.New("the TLS connection is not from a TLSListener")
	errUnreadAnswers = errors.New("the peer asks for new keys and does not read")
)

func (e *Epoll) takeOverTLS(t *tls.Conn) (*stream, error) {
	sc, ok := t.NetConn().(*switchConn)
	if !ok || sc.before == nil {
		return nil, errNotSwitchable
	}
	fd, err := e.duplicate(sc.before)
	if err != nil {
		return nil, err
	}
	sc.early = sc.Held()
	_ = sc.before.Close() // the duplicate lives on
	s := &stream{fd: int32(fd), tls: &tlsSide{conn: t}}
	sc.before, sc.stream = nil, s
	return s, nil
}

// maxRecords is how many records one stream is given before the others have
// their turn: about one buffer.
const maxRecords = 4

// readTLS reads until the descriptor has no more, or later goes on: records that
// crypto/tls holds wake nobody.
func (s *stream) readTLS() {
	buf := s.loop.buf
	for range maxRecords {
		n, err := s.decrypt(buf)
		if n > 0 && s.fd >= 0 {
			s.loop.got += n
			s.recv.Data(buf[:n])
		}
		if s.fd < 0 || err == nil && !s.is(reading) {
			return
		}
		var temporary wouldBlock
		switch {
		case err == nil:
		case errors.As(err, &temporary):
			return
		case errors.Is(err, io.EOF):
			s.end()
			return
		default:
			s.close(err)
			return
		}
	}
	s.readLater()
}

// decrypt reads what one record holds. What crypto/tls has to answer to it waits
// for room like everything else.
func (s *stream) decrypt(buf []byte) (int, error) {
	t := s.tls
	had := len(t.sealed)
	n, err := t.conn.Read(buf)
	if answer := len(t.sealed) - had; answer > 0 {
		if t.own += answer; t.own > maxOwn {
			return 0, errUnreadAnswers
		}
		s.want(writing, true)
	}
	return n, err
}

// readLater has the loop read on after the others have had their turn.
func (s *stream) readLater() {
	if s.fd >= 0 && !s.is(queued) {
		s.flags |= queued
		s.loop.more = append(s.loop.more, s)
	}
}

// seal encrypts p, all or nothing: while ciphertext waits nothing is taken, so
// that what is to be dropped can be dropped before encryption.
func (s *stream) seal(p []byte) (int, error) {
	if len(s.tls.sealed) > 0 {
		return 0, nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.tls.conn.Write(p)
	if err == nil && len(s.tls.sealed) > 0 {
		s.want(writing, true)
	}
	return n, err
}

// sendSealed sends waiting ciphertext and reports whether none is left.
func (s *stream) sendSealed() bool {
	if s.fd < 0 {
		return false
	}
	t := s.tls
	if len(t.sealed) == 0 {
		return true
	}
	n, err := s.send(t.sealed)
	if err != nil {
		s.close(err)
		return false
	}
	t.sealed = t.sealed[n:]
	if len(t.sealed) > 0 {
		s.want(writing, true)
		return false
	}
	t.sealed, t.own = nil, 0
	return true
}

// farewell tells the peer of TLS that nothing follows (RFC 8446, 6.1), as far as
// the socket takes it.
func (s *stream) farewell() {
	if s.tls != nil {
		_ = s.tls.conn.CloseWrite() // the peer may be gone
	}
}

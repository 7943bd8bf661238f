package transport

import (
	"crypto/tls"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// LimitSilence lets the kernel give a peer up that has acknowledged nothing for
// d (RFC 5482): a client that cannot answer pings is known to be gone by nothing
// else. It does nothing for connections that are none of TCP.
func LimitSilence(c net.Conn, d time.Duration) error {
	t, ok := socketOf(c).(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	return setSilence(raw, d)
}

// socketOf is the connection below TLS, while that is net/http's.
func socketOf(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if s, ok := c.(*switchConn); ok {
		c = s.before
	}
	return c
}

func setSilence(raw syscall.RawConn, d time.Duration) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	if err == nil {
		err = os.NewSyscallError("setsockopt", failed)
	}
	return err
}

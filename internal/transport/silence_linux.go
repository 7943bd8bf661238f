package transport

import (
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

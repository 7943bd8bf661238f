package transport

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// nudge lets a busy loop yield so that the network is seen too. While every P has
// something to run, Go's scheduler does not poll the network, and runtime.Gosched
// does not make it: the API would starve beside a large fan-out. A timer would,
// but an idle scheduler rounds its wait up to a millisecond. So the loop parks on
// an event counter that it has just raised itself: the poll that finds it finds
// everybody else who is ready.
type nudge struct {
	file *os.File
	raw  syscall.RawConn
	fd   int
	one  [8]byte
}

func newNudge() (*nudge, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	n := &nudge{file: os.NewFile(uintptr(fd), "eventfd"), fd: fd}
	n.one[0] = 1 // in whatever order of bytes: the value does not matter
	if n.raw, err = n.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, n.file.Close())
	}
	return n, nil
}

// yield returns when Go's poller has looked at the network. Each write is an edge
// of its own, so that the counter need not be read; 2^56 of them fill it.
func (n *nudge) yield() {
	waited := false
	_ = n.raw.Read(func(uintptr) bool { // it fails on a closed file only
		if waited {
			return true
		}
		waited = true
		_, err := unix.Write(n.fd, n.one[:])
		return err != nil
	})
}

func (n *nudge) close() { _ = n.file.Close() }

package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stream is a Stream on a descriptor of its own. It lives on its loop's
// goroutine, so that a write and the close of the descriptor never meet.
type stream struct {
	fd    int32 // negative: closed
	flags streamFlags
	after After
	tls   *tlsSide // nil: plain
	loop  *loop
	recv  Receiver
	last  []byte // of Finish, not yet sent
}

type streamFlags uint8

const (
	reading  streamFlags = 1 << iota // in the epoll set for reading
	writing                          // and for writing
	finished                         // Finish was called
	ended                            // the peer sends no more
	halved                           // the peer has been told that nothing follows
	gone                             // Gone is called or on its way
	queued                           // in loop.more
)

var _ Stream = (*stream)(nil)

func (s *stream) is(f streamFlags) bool { return s.flags&f != 0 }

// takeOver makes a stream of a connection's descriptor, duplicated so that Go's
// own poller forgets it, and closes the connection.
func (e *Epoll) takeOver(c net.Conn) (*stream, error) {
	if t, ok := bare(c).(*tls.Conn); ok {
		return e.takeOverTLS(t)
	}
	fd, err := e.duplicate(c)
	if err != nil {
		return nil, err
	}
	_ = c.Close() // the duplicate lives on
	return &stream{fd: int32(fd)}, nil
}

func (e *Epoll) duplicate(c net.Conn) (int, error) {
	raw, err := RawConn(c)
	if err != nil {
		return -1, err
	}
	fd := -1
	var cerr error
	err = raw.Control(func(old uintptr) {
		if e.opts.SendBuffer > 0 {
			if cerr = unix.SetsockoptInt(int(old), unix.SOL_SOCKET, unix.SO_SNDBUF, e.opts.SendBuffer); cerr != nil {
				return
			}
		}
		fd, cerr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = os.NewSyscallError("duplicate a descriptor", cerr)
	}
	return fd, err
}

// open begins a stream on its loop. said is its peer's address where that is not
// the socket's.
func (l *loop) open(s *stream, early []byte, said net.Addr, open Opener) {
	s.loop = l
	l.register(int(s.fd), s)
	if said != nil {
		l.said[s.fd] = said
	}
	s.flags = reading
	err := unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, int(s.fd), &unix.EpollEvent{Events: s.interest(), Fd: s.fd})
	s.recv = open(s)
	if err != nil {
		s.close(os.NewSyscallError("epoll_ctl", err))
		return
	}
	if len(early) > 0 && s.fd >= 0 {
		s.recv.Data(early)
	}
	if s.tls != nil && s.is(reading) {
		s.read() // what is decrypted already wakes no descriptor
	}
}

func (s *stream) interest() uint32 {
	e := uint32(0)
	if s.is(reading) {
		e |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if s.is(writing) {
		e |= unix.EPOLLOUT
	}
	return e
}

// want changes what the loop waits for.
func (s *stream) want(f streamFlags, on bool) {
	if s.fd < 0 || s.is(f) == on {
		return
	}
	s.flags ^= f
	err := unix.EpollCtl(s.loop.fd, unix.EPOLL_CTL_MOD, int(s.fd), &unix.EpollEvent{Events: s.interest(), Fd: s.fd})
	if err != nil {
		s.close(os.NewSyscallError("epoll_ctl", err))
	}
}

// ready is told by the loop what the descriptor is ready for.
func (s *stream) ready(events uint32) {
	if events&unix.EPOLLERR != 0 {
		s.close(s.socketError())
		return
	}
	if events&unix.EPOLLOUT != 0 {
		if s.writable(); s.fd < 0 {
			return
		}
	}
	switch {
	case s.is(reading):
		if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 {
			s.read()
		}
	case events&unix.EPOLLHUP != 0: // both directions are shut, nobody is left to resume for
		s.close(nil)
	}
}

// socketError is why the kernel says EPOLLERR.
func (s *stream) socketError() error {
	n, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return os.NewSyscallError("getsockopt", err)
	case n == 0:
		return io.ErrUnexpectedEOF
	}
	return syscall.Errno(n)
}

// read takes what one buffer holds: the descriptor tells of the rest again, after
// those of others.
func (s *stream) read() {
	if s.tls != nil {
		s.readTLS()
		return
	}
	n, err := unix.Read(int(s.fd), s.loop.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil:
		s.close(os.NewSyscallError("read", err))
	case n == 0:
		s.end()
	default:
		s.loop.got += n
		s.recv.Data(s.loop.buf[:n])
	}
}

// end is the peer's end of the stream.
func (s *stream) end() {
	s.flags |= ended
	s.want(reading, false)
	if s.fd < 0 {
		return
	}
	if s.is(finished) && !s.unsent() {
		s.close(nil)
		return
	}
	s.recv.Ended()
}

func (s *stream) writable() {
	if s.tls != nil && !s.sendSealed() {
		return
	}
	if s.is(finished) {
		s.sendLast()
		return
	}
	s.want(writing, false)
	if s.fd >= 0 {
		s.recv.Writable()
	}
}

// Write implements Stream.
func (s *stream) Write(p []byte) (int, error) {
	if s.fd < 0 || s.is(finished) {
		return 0, errClosed
	}
	n, err := s.pass(p)
	if err == nil && n < len(p) {
		s.want(writing, true)
	}
	return n, err
}

// Warm implements Stream.
func (s *stream) Warm() bool { return s.fd >= 0 }

// pass hands bytes to the socket, through TLS where there is one.
func (s *stream) pass(p []byte) (int, error) {
	if s.tls != nil {
		return s.seal(p)
	}
	return s.send(p)
}

// send is one non-blocking system call. The raw form enters no scheduler: the
// call never waits.
func (s *stream) send(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// Finish implements Stream.
func (s *stream) Finish(last []byte, after After) {
	if s.fd < 0 {
		return
	}
	s.flags |= finished
	s.after = after
	s.last = append(s.last, last...)
	s.sendLast()
}

// sendLast sends what Finish left and then does what comes after.
func (s *stream) sendLast() {
	n, err := s.pass(s.last)
	if err != nil {
		s.close(err)
	}
	if s.fd < 0 {
		return
	}
	s.last = s.last[n:]
	if s.unsent() {
		s.want(writing, true)
		return
	}
	s.last = nil
	s.want(writing, false)
	switch {
	case s.fd < 0:
	case s.after == Close || s.is(ended):
		s.farewell()
		s.close(nil)
	default:
		if s.after == HalfClose && !s.is(halved) {
			s.flags |= halved
			s.farewell()
			_ = unix.Shutdown(int(s.fd), unix.SHUT_WR) // it fails when the peer is gone, which a read will tell
		}
		s.Resume()
	}
}

// unsent reports whether bytes of Finish, or ciphertext, wait for the socket.
func (s *stream) unsent() bool { return len(s.last) > 0 || s.tls != nil && len(s.tls.sealed) > 0 }

// close gives the descriptor back; nothing can use it afterwards. Gone follows
// when whatever is running on the loop has returned.
func (s *stream) close(err error) {
	if s.is(gone) {
		return
	}
	s.flags |= gone
	s.loop.streams[s.fd] = nil
	delete(s.loop.said, s.fd)
	_ = unix.Close(int(s.fd)) // leaves the epoll set too: there is no other descriptor of it
	s.fd = -1
	s.last, s.tls = nil, nil
	s.loop.shard.Post(func() {
		s.recv.Gone(err)
		s.loop.group.Done()
	})
}

// Release implements Stream.
func (s *stream) Release() (net.Conn, error) {
	if s.fd < 0 || s.tls != nil || s.is(finished) {
		return nil, errors.ErrUnsupported
	}
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("duplicate a descriptor", err)
	}
	f := os.NewFile(uintptr(fd), "connection")
	c, err := net.FileConn(f) // of a duplicate of its own
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	// The epoll set keeps what has another descriptor: it has to be told.
	if err := unix.EpollCtl(s.loop.fd, unix.EPOLL_CTL_DEL, int(s.fd), nil); err != nil {
		return nil, errors.Join(os.NewSyscallError("epoll_ctl", err), c.Close())
	}
	if said := s.loop.said[s.fd]; said != nil {
		c = Front(c, nil, said)
	}
	s.close(nil)
	return c, nil
}

// Abort implements Stream.
func (s *stream) Abort() { s.close(nil) }

// Pause implements Stream.
func (s *stream) Pause() { s.want(reading, false) }

// Resume implements Stream.
func (s *stream) Resume() {
	if s.is(ended) || s.is(reading) {
		return
	}
	s.want(reading, true)
	if s.tls != nil {
		s.readLater() // what is decrypted already wakes no descriptor
	}
}

// Remote implements Stream.
func (s *stream) Remote() string {
	if s.fd < 0 {
		return "closed"
	}
	if said := s.loop.said[s.fd]; said != nil {
		return said.String()
	}
	sa, err := unix.Getpeername(int(s.fd))
	if err != nil {
		return "unknown"
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port))
	case *unix.SockaddrInet6:
		return net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port))
	}
	return "unknown"
}

package transport

import (
	"net"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// This file is what one peer, or a burst of work, may not do to the others on a
// loop.

// A shard that always has something to do sees its connections all the same.
func TestBusyShardReads(t *testing.T) {
	loops(t, func(f *fixture, _ *Epoll) {
		t := f.t
		var over atomic.Bool
		var spin func()
		spin = func() {
			if !over.Load() {
				f.shard.Post(spin)
			}
		}
		c := f.open(t, &recorder{onData: func(s Stream, p []byte) { _, _ = s.Write(p) }})
		f.shard.Post(spin)
		defer over.Store(true)
		write(t, c, "x")
		expect(t, c, "x")
	})
}

// Whatever connections have to say, the shard has its turn in between.
func TestTurnsBetweenReads(t *testing.T) {
	loops(t, func(f *fixture, _ *Epoll) {
		t := f.t
		const peers, sent = 24, 64 << 10
		got, mark, worst := 0, 0, 0
		marked := false
		rec := make([]*recorder, peers)
		clients := make([]net.Conn, peers)
		for i := range rec {
			rec[i] = &recorder{onData: func(_ Stream, p []byte) {
				got += len(p)
				if !marked {
					marked, mark = true, got
					f.shard.Post(func() { marked, worst = false, max(worst, got-mark) })
				}
			}}
			clients[i] = f.open(t, rec[i])
		}
		hold, held := make(chan struct{}), make(chan struct{})
		f.shard.Post(func() { close(held); <-hold })
		<-held
		for _, c := range clients {
			write(t, c, long[:sent])
		}
		close(hold)
		for i := range rec {
			rec[i].awaitData(long[:sent])
		}
		f.on(func() {
			if worst > passBytes+loopBuffer {
				t.Errorf("%d bytes were read without a turn, want %d at most", worst, passBytes+loopBuffer)
			}
		})
	})
}

// Who asks for new keys all the time and reads none of the answers is not kept:
// crypto/tls writes them itself, past every limit of the session.
func TestTLSKeyUpdatesUnread(t *testing.T) {
	loops(t, func(f *fixture, _ *Epoll) {
		t := f.t
		if !f.mode.tls {
			return
		}
		c, server, _, out := f.bare(t)
		rec := &recorder{}
		f.adopt(t, server, nil, rec)
		for range 20_000 {
			const requested = 1
			flood := out.seal(recordHandshake, []byte{messageKeyUpdate, 0, 0, 1, requested})
			if err := out.update(); err != nil {
				t.Fatal(err)
			}
			flood = append(flood, out.seal(recordApplication, []byte("x"))...)
			if _, err := c.Write(flood); err != nil {
				break
			}
		}
		rec.awaitGone(true)
	})
}

// What crypto/tls has read already is delivered when a paused stream finishes: it
// wakes no descriptor.
func TestTLSFinishWhilePaused(t *testing.T) {
	secure(t, func(f *fixture) {
		t := f.t
		c, server, _, out := f.bare(t)
		rec := &recorder{}
		rec.onData = func(s Stream, p []byte) {
			if string(p) == "first" {
				s.Pause()
				f.shard.Post(func() { s.Finish(nil, Await) })
			}
		}
		f.adopt(t, server, nil, rec)
		write(t, c, string(append(out.seal(recordApplication, []byte("first")), out.seal(recordApplication, []byte("second"))...)))
		rec.awaitData("firstsecond")
	})
}

// A loop stops whatever it is about to do, also where it is just done with a turn.
func TestStopAnytime(t *testing.T) {
	for i := range 300 {
		h, shard := newHub(t, NewEpoll(Options{}))
		posted := make(chan struct{})
		shard.Post(func() { close(posted) })
		if i%2 == 0 {
			<-posted
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// What the kernel keeps for a stalled peer is bounded by every engine.
func TestSendBuffer(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		_, server := f.pair(t)
		file, err := socketOf(server).(*net.TCPConn).File() // survives the connection
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		f.adopt(t, server, nil, &recorder{})
		control, err := file.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := control.Control(func(fd uintptr) {
			n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
			if err != nil || n != 32<<10 { // twice what was asked for
				t.Errorf("%d bytes, %v", n, err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}

package transport

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/hub"
)

func loops(t *testing.T, fn func(f *fixture, e *Epoll)) {
	t.Helper()
	for _, m := range modes() {
		if strings.HasPrefix(m.name, "loop") {
			t.Run(m.name, func(t *testing.T) {
				f := newFixture(t, m)
				fn(f, f.engine.(*Epoll))
			})
		}
	}
}

// Records and messages may be larger than what a loop reads at once.
func TestSmallReadBuffer(t *testing.T) {
	loops(t, func(f *fixture, e *Epoll) {
		t := f.t
		f.on(func() { e.loops[f.shard].buf = make([]byte, 1000) })
		rec := &recorder{}
		c := f.open(t, rec)
		sent := long[:1<<18]
		go func() { _, _ = io.WriteString(c, sent) }()
		rec.awaitData(sent)
	})
}

// refused wants Adopt to fail and to close the connection.
func refused(t *testing.T, f *fixture, sh *hub.Shard, server, client net.Conn) {
	t.Helper()
	refusedBy(t, f.engine, sh, server, client)
}

func TestLoopRefuses(t *testing.T) {
	loops(t, func(f *fixture, _ *Epoll) {
		t := f.t
		t.Run("a shard of somebody else", func(t *testing.T) {
			client, server := f.pair(t)
			refused(t, f, newShard(t, NewEpoll(Options{})), server, client)
		})
		t.Run("what is no socket", func(t *testing.T) {
			client, server := net.Pipe()
			refused(t, f, f.shard, server, client)
		})
		t.Run("TLS of another listener", func(t *testing.T) {
			client, server := net.Pipe()
			cfg, trust := certificates()
			secured := tls.Server(server, cfg)
			done := make(chan error, 1)
			go func() { done <- secured.HandshakeContext(t.Context()) }()
			c := tls.Client(client, trust)
			if err := c.HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			refused(t, f, f.shard, secured, c)
		})
	})
}

// Streams that are gone leave no descriptor behind.
func TestDescriptorsAreGivenBack(t *testing.T) {
	loops(t, func(f *fixture, e *Epoll) {
		t := f.t
		before := descriptors(t)
		for range 50 {
			rec := &recorder{onEnded: func(s Stream) { s.Finish(nil, Close) }}
			c := f.open(t, rec)
			closeWrite(t, c)
			rec.awaitGone(false)
			_ = c.Close()
		}
		if after := descriptors(t); after > before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
		f.on(func() {
			for fd, s := range e.loops[f.shard].streams {
				if s != nil {
					t.Errorf("descriptor %d is still in the table", fd)
				}
			}
		})
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

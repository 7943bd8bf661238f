package transport

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
)

// secure is each mode of TLS.
func secure(t *testing.T, fn func(f *fixture)) {
	t.Helper()
	for _, m := range modes() {
		if m.tls {
			t.Run(m.name, func(t *testing.T) { fn(newFixture(t, m)) })
		}
	}
}

// What crypto/tls has decrypted before the engine takes over wakes no descriptor.
func TestTLSReadAhead(t *testing.T) {
	secure(t, func(f *fixture) {
		t := f.t
		c, server := f.pair(t)
		write(t, c, "first record")
		write(t, c, "second record")
		early := make([]byte, 5)
		if _, err := io.ReadFull(server, early); err != nil {
			t.Fatal(err)
		}
		rec := &recorder{}
		f.adopt(t, server, early, rec)
		rec.awaitData("first recordsecond record")
		write(t, c, ", and live")
		rec.awaitData("first recordsecond record, and live")
	})
}

// The same for a stream that is paused when it opens, and resumed when the
// descriptor has nothing more to say.
func TestTLSReadAheadWhilePaused(t *testing.T) {
	secure(t, func(f *fixture) {
		t := f.t
		c, server := f.pair(t)
		write(t, c, "first record")
		early := make([]byte, 5)
		if _, err := io.ReadFull(server, early); err != nil {
			t.Fatal(err)
		}
		rec := &recorder{onOpen: Stream.Pause}
		f.adopt(t, server, nil, rec)
		f.on(func() {})
		f.on(rec.stream.Resume)
		rec.awaitData(" record")
	})
}

// A peer that says goodbye in TLS alone, its socket open, has ended.
func TestTLSCloseNotify(t *testing.T) {
	secure(t, func(f *fixture) {
		t := f.t
		rec := &recorder{onEnded: func(s Stream) { s.Finish([]byte("bye"), Close) }}
		c := f.open(t, rec)
		write(t, c, "last words")
		closeWrite(t, c)
		expect(t, c, "bye")
		expectEnd(t, c) // a goodbye of TLS too: io.EOF is nothing less
		rec.awaitData("last words")
		rec.awaitGone(false)
	})
}

// crypto/tls takes an end of the socket between two records for an end, and one
// within a record for a fault.
func TestTLSWithoutGoodbye(t *testing.T) {
	secure(t, func(f *fixture) {
		t := f.t
		rec := &recorder{onEnded: func(s Stream) { s.Finish(nil, Close) }}
		c := f.open(t, rec)
		write(t, c, "x")
		_ = c.(*tls.Conn).NetConn().Close()
		rec.awaitData("x")
		rec.awaitGone(false)

		rec = &recorder{}
		c = f.open(t, rec)
		write(t, c.(*tls.Conn).NetConn(), "\x17\x03\x03\x00\x20half")
		_ = c.(*tls.Conn).NetConn().Close()
		rec.awaitGone(true)
	})
}

func TestTLSGarbage(t *testing.T) {
	secure(t, func(f *fixture) {
		t := f.t
		rec := &recorder{}
		c := f.open(t, rec)
		write(t, c.(*tls.Conn).NetConn(), "\x17\x03\x03\x00\x20"+strings.Repeat("no record of anybody", 3))
		rec.awaitGone(true)
	})
}

// A record that arrives byte by byte is one record in the end.
func TestTLSByteByByte(t *testing.T) {
	secure(t, func(f *fixture) {
		t := f.t
		_, client := certificates()
		there, here := net.Pipe()
		server := make(chan net.Conn, 1)
		go func() {
			c, err := f.ln.Accept()
			if err == nil {
				err = c.(*tls.Conn).HandshakeContext(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
			server <- c
		}()
		raw, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		client.InsecureSkipVerify = true // each call of certificates makes another
		pumped := make(chan struct{}, 2)
		go func() { _, _ = io.Copy(here, raw); _ = here.Close(); pumped <- struct{}{} }()
		go func() {
			b := make([]byte, 1)
			for {
				if _, err := here.Read(b); err != nil {
					break
				}
				if _, err := raw.Write(b); err != nil {
					break
				}
			}
			_ = raw.Close()
			pumped <- struct{}{}
		}()
		c := tls.Client(there, client)
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		rec := &recorder{onData: func(s Stream, p []byte) { _, _ = s.Write(p) }}
		f.adopt(t, <-server, nil, rec)
		for range 3 {
			text := strings.Repeat("a record in pieces ", 50)
			write(t, c, text)
			expect(t, c, text)
		}
		_ = there.Close()
		_ = raw.Close()
		<-pumped
		<-pumped
	})
}

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// This file is what every Engine owes, whatever moves the bytes.

// long is more than the kernel and the engine hold of one connection.
var long = strings.Repeat("0123456789abcdef", 1<<15)

func TestDataArrivesInOrder(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rec := &recorder{}
		c := f.open(t, rec)
		go func() { _, _ = io.WriteString(c, long) }()
		rec.awaitData(long)
	})
}

func TestEarlyBytesComeFirst(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rec := &recorder{}
		c, server := f.pair(t)
		write(t, c, "later")
		early := []byte("early ")
		f.adopt(t, server, early, rec)
		clear(early) // it is not kept
		rec.awaitData("early later")
	})
}

// What a peer does not read stays with the caller: Write takes a part, and
// Writable follows once there is room.
func TestWriteUntilFull(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rest, short := long, false
		send := func(s Stream) {
			for len(rest) > 0 {
				n, err := s.Write([]byte(rest[:min(len(rest), 10_000)]))
				if err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
				if n < min(len(rest)+n, 10_000) {
					short = true
					return
				}
			}
			s.Finish(nil, Close)
		}
		rec := &recorder{onOpen: send, onWritable: send}
		c := f.open(t, rec)
		f.on(func() {})
		expect(t, c, long)
		expectEnd(t, c)
		rec.awaitGone(false)
		f.on(func() {
			if !short {
				t.Error("everything was taken at once")
			}
		})
	})
}

// A stream that is full wakes nobody, and holds nobody else up.
func TestFullStreamHarmsNobody(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		full := &recorder{onOpen: fill}
		f.open(t, full)
		beside := &recorder{onData: func(s Stream, p []byte) { _, _ = s.Write(p) }}
		c := f.open(t, beside)
		for i := range 100 {
			write(t, c, fmt.Sprint(i))
			expect(t, c, fmt.Sprint(i))
		}
		f.on(func() { full.stream.Abort() })
		full.awaitGone(false)
	})
}

// fill writes until the stream takes no more.
func fill(s Stream) {
	p := make([]byte, 10_000)
	for {
		if n, err := s.Write(p); err != nil || n < len(p) {
			return
		}
	}
}

func TestFinish(t *testing.T) {
	tests := []struct {
		name   string
		finish func(s Stream)
		sent   string // arrives before the end
		end    bool   // the peer is told that nothing follows
		reads  bool   // what the peer sends is still read
	}{
		{"Close", func(s Stream) { s.Finish([]byte("last"), Close) }, "first last", true, false},
		{"HalfClose", func(s Stream) { s.Finish([]byte("last"), HalfClose) }, "first last", true, true},
		{"Await", func(s Stream) { s.Finish([]byte("last"), Await) }, "first last", false, true},
		{"nothing last", func(s Stream) { s.Finish(nil, Close) }, "first ", true, false},
		{"a long last", func(s Stream) { s.Finish([]byte(long), Close) }, "first " + long, true, false},
		{"a long last, HalfClose", func(s Stream) { s.Finish([]byte(long), HalfClose) }, "first " + long, true, true},
		{"Await, then Close", func(s Stream) { s.Finish([]byte("a"), Await); s.Finish([]byte("b"), Close) }, "first ab", true, false},
		{"long Await, then HalfClose", func(s Stream) { s.Finish([]byte(long), Await); s.Finish([]byte("b"), HalfClose) }, "first " + long + "b", true, true},
		{"while paused", func(s Stream) { s.Pause(); s.Finish([]byte("last"), Await) }, "first last", false, true},
		{"written after", func(s Stream) {
			s.Finish([]byte("last"), Await)
			if n, err := s.Write([]byte("x")); n != 0 || err == nil {
				panic(fmt.Sprint("took ", n, err))
			}
		}, "first last", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachMode(t, func(f *fixture) {
				t := f.t
				rec := &recorder{onOpen: func(s Stream) {
					_, _ = s.Write([]byte("first "))
					tt.finish(s)
				}}
				c := f.open(t, rec)
				expect(t, c, tt.sent)
				if tt.end {
					expectEnd(t, c)
				}
				if tt.reads {
					write(t, c, "still read")
					rec.awaitData("still read")
					_ = c.Close()
				}
				rec.awaitGone(false)
			})
		})
	}
}

// A finished stream whose peer ends while last bytes are under way sends them.
func TestPeerEndsDuringFinish(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rec := &recorder{onOpen: func(s Stream) { s.Finish([]byte(long), Await) }}
		c := f.open(t, rec)
		closeWrite(t, c)
		expect(t, c, long)
		expectEnd(t, c)
		rec.awaitGone(false)
	})
}

func TestPeerEnds(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rec := &recorder{onEnded: func(s Stream) { s.Finish([]byte("bye"), Close) }}
		c := f.open(t, rec)
		write(t, c, "last words")
		closeWrite(t, c)
		expect(t, c, "bye")
		expectEnd(t, c)
		rec.awaitData("last words")
		rec.awaitGone(false)
		if rec.ended != 1 {
			t.Errorf("ended %d times", rec.ended)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rec := &recorder{onOpen: func(s Stream) { s.Pause(); s.Pause() }}
		c := f.open(t, rec)
		sent := long
		go func() { _, _ = io.WriteString(c, sent) }()
		beside := &recorder{onData: func(s Stream, p []byte) { _, _ = s.Write(p) }}
		b := f.open(t, beside)
		for range 100 { // the loop turns meanwhile
			write(t, b, "x")
			expect(t, b, "x")
		}
		f.on(func() {
			if n := rec.data.Len(); n > goReadBuffer {
				t.Errorf("%d bytes came while paused", n)
			}
			rec.stream.Resume()
			rec.stream.Resume()
		})
		rec.awaitData(sent)
	})
}

// A receiver may pause, finish or abort from within any call.
func TestPauseWithinData(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rec := &recorder{}
		rec.onData = func(s Stream, _ []byte) {
			s.Pause()
			f.shard.Post(s.Resume)
		}
		c := f.open(t, rec)
		sent := long
		go func() { _, _ = io.WriteString(c, sent) }()
		rec.awaitData(sent)
	})
}

func TestFinishWithinData(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rec := &recorder{onData: func(s Stream, p []byte) { s.Finish(p, Close) }}
		c := f.open(t, rec)
		write(t, c, "x")
		expect(t, c, "x")
		expectEnd(t, c)
		rec.awaitGone(false)
	})
}

func TestAbort(t *testing.T) {
	tests := []struct {
		name string
		rec  func() *recorder
	}{
		{"within open", func() *recorder { return &recorder{onOpen: Stream.Abort} }},
		{"within Data", func() *recorder { return &recorder{onData: func(s Stream, _ []byte) { s.Abort() }} }},
		{"paused", func() *recorder { return &recorder{onData: func(s Stream, _ []byte) { s.Pause(); s.Abort() }} }},
		{"full", func() *recorder { return &recorder{onData: func(s Stream, _ []byte) { fill(s); s.Abort() }} }},
		{"finished", func() *recorder {
			return &recorder{onData: func(s Stream, _ []byte) { s.Finish([]byte(long), Await); s.Abort() }}
		}},
		{"twice", func() *recorder { return &recorder{onData: func(s Stream, _ []byte) { s.Abort(); s.Abort() }} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachMode(t, func(f *fixture) {
				t := f.t
				rec := tt.rec()
				c := f.open(t, rec)
				_, _ = io.WriteString(c, "x") // it may be closed already
				rec.awaitGone(false)
				if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
					t.Error("the connection is still open")
				}
				f.on(func() { misuse(t, rec.stream) })
			})
		})
	}
}

// misuse calls everything on a stream that is gone.
func misuse(t *testing.T, s Stream) {
	t.Helper()
	if n, err := s.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("a stream that is gone took %d bytes, %v", n, err)
	}
	s.Pause()
	s.Resume()
	s.Finish([]byte("x"), Await)
	s.Abort()
	if s.Remote() == "" {
		t.Error("no word about the peer")
	}
}

func TestReset(t *testing.T) {
	tests := []struct {
		name string
		rec  func() *recorder
	}{
		{"idle", func() *recorder { return &recorder{} }},
		{"paused", func() *recorder { return &recorder{onOpen: Stream.Pause} }},
		{"full", func() *recorder { return &recorder{onOpen: fill} }},
		{"full and paused", func() *recorder { return &recorder{onOpen: func(s Stream) { fill(s); s.Pause() }} }},
		{"finished", func() *recorder { return &recorder{onOpen: func(s Stream) { s.Finish([]byte(long), Await) }} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachMode(t, func(f *fixture) {
				t := f.t
				rec := tt.rec()
				c := f.open(t, rec)
				f.on(func() {})
				reset(t, c)
				f.on(func() {})
				rec.await("Gone, or an error by writing", func() bool {
					rec.mu.Unlock()
					defer rec.mu.Lock()
					f.on(func() { // a stream that is paused may learn of it by writing only
						if _, err := rec.stream.Write([]byte("x")); err != nil {
							rec.stream.Abort()
						}
					})
					rec.mu.Lock()
					defer rec.mu.Unlock()
					return rec.gone > 0
				})
				f.on(func() { misuse(t, rec.stream) })
			})
		})
	}
}

func TestRemote(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		got := ""
		rec := &recorder{onOpen: func(s Stream) { got = s.Remote() }}
		c := f.open(t, rec)
		f.on(func() {
			if want := c.LocalAddr().String(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	})
}

func TestCloseWaits(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rec := &recorder{}
		f.open(t, rec)
		f.on(func() {})
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.engine.Close(over); !errors.Is(err, context.Canceled) {
			t.Errorf("%v with an open stream", err)
		}
		f.on(func() { rec.stream.Abort() })
		if err := f.engine.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if rec.gone != 1 {
			t.Error("closed before the stream was gone")
		}
	})
}

// A loop that stops leaves nobody connected, and takes nobody any more.
func TestStoppedLoop(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		e := f.mode.make(Options{})
		h, shard := newHub(t, e)
		rec := &recorder{}
		rec.init(t)
		c, server := f.pair(t)
		if err := e.Adopt(shard, server, nil, rec.open); err != nil {
			t.Fatal(err)
		}
		<-rec.opened
		if err := h.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		rec.awaitGone(false)
		if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%v: the connection is open", err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		c, late := f.pair(t)
		refusedBy(t, e, shard, late, c)
	})
}

// What cannot be adopted is closed.
func TestAdoptFails(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		c, server := f.pair(t)
		_ = server.Close()
		err := f.engine.Adopt(f.shard, server, nil, func(Stream) Receiver { panic("opened") })
		if err == nil {
			t.Error("a closed connection was adopted")
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is open")
		}
	})
}

// Descriptors are used again at once; nothing of one stream may reach another.
func TestManyStreams(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		echo := func(s Stream, p []byte) { _, _ = s.Write(p) }
		for i := range 200 {
			rec := &recorder{onData: echo}
			c := f.open(t, rec)
			mine := fmt.Sprintf("%d;", i)
			write(t, c, strings.Repeat(mine, 100))
			expect(t, c, strings.Repeat(mine, i%100))
			if i%2 == 0 {
				reset(t, c)
			} else {
				_ = c.Close()
				f.on(func() { rec.stream.Abort() })
			}
		}
	})
}

// What the kernel may hold of one connection is bounded: a peer that does not read
// cannot make it keep more than a small multiple of SendBuffer.
func TestSendBufferIsBounded(t *testing.T) {
	eachMode(t, func(f *fixture) {
		t := f.t
		rec := &recorder{}
		f.open(t, rec)
		taken := 0
		f.on(func() {
			p := make([]byte, 10_000)
			for taken < 64<<20 {
				n, err := rec.stream.Write(p)
				if err != nil {
					t.Error(err)
				}
				if taken += n; n < len(p) {
					return
				}
			}
		})
		const most = 2*(16<<10) + goWriteBuffer + 256<<10 // the peer's own buffer is the rest
		if taken > most {
			t.Errorf("%d bytes were taken, at most %d were to be", taken, most)
		}
	})
}

func refusedBy(t *testing.T, e Engine, sh *hub.Shard, server, client net.Conn) {
	t.Helper()
	read := make(chan error, 1)
	go func() { // TLS waits until its goodbye is read
		_, err := client.Read(make([]byte, 1))
		read <- err
	}()
	if err := e.Adopt(sh, server, nil, func(Stream) Receiver { panic("opened") }); err == nil {
		t.Error("adopted")
	}
	if err := <-read; err == nil {
		t.Error("the connection is open")
	}
}

package websocket

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/fanfare-push/fanfare/internal/hub"
)

func TestEcho(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		p := f.dial(t, "", "")
		for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 300 << 10} {
			s := strings.Repeat("é"[:2], size/2)
			p.write(text(s))
			p.expectText(s)
		}
	})
}

func TestSubprotocols(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		p := f.dial(t, "Sec-WebSocket-Protocol: other, echo-binary, echo\r\n", "")
		p.write(masked(bitFin|OpBinary, "\xff"))
		p.expect(bitFin|OpBinary, "\xff")
	})
}

// What the client sends together with its handshake is not lost.
func TestEarlyMessages(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		p := f.dial(t, "", string(text("one"))+string(text("two")))
		p.expectText("one")
		p.expectText("two")
	})
}

func TestFrameSequences(t *testing.T) {
	const fin, txt, bin, cont = bitFin, OpText, OpBinary, opContinuation
	type exchange struct {
		name string
		send []string
		want []string                                        // first byte and payload
		code int                                             // of the close frame that ends it; 0: none
		mode func(*testing.T, func(*Config), func(*fixture)) // nil: eachMode
	}
	f1 := func(first byte, payload string) string { return string(masked(first, payload)) }
	wText := func(s string) string { return string([]byte{fin | txt}) + s }
	unmaskedText := string(AppendFrame(nil, OpText, []byte("x")))
	tests := []exchange{
		{"fragments", []string{f1(txt, "a"), f1(cont, "b"), f1(fin|cont, "c")}, []string{wText("abc")}, 0, nil},
		{"empty fragments", []string{f1(txt, ""), f1(cont, ""), f1(fin|cont, "")}, []string{wText("")}, 0, nil},
		{"ping between fragments", []string{f1(txt, "a"), f1(fin|opPing, "p"), f1(fin|cont, "c")}, []string{string([]byte{fin | opPong}) + "p", wText("ac")}, 0, nil},
		{"pong is ignored", []string{f1(fin|opPong, "p"), f1(fin|txt, "a")}, []string{wText("a")}, 0, nil},
		{"character across fragments", []string{f1(txt, "\xe2\x82"), f1(fin|cont, "\xac")}, []string{wText("€")}, 0, nil},
		{"RSV1 without deflate", []string{f1(fin|bitRSV1|txt, "a")}, nil, 1002, eachPlainMode},
		{"RSV2", []string{f1(fin|0x20|txt, "a")}, nil, 1002, nil},
		{"reserved opcode", []string{f1(fin|3, "a")}, nil, 1002, nil},
		{"reserved control", []string{f1(fin|0xb, "a")}, nil, 1002, nil},
		{"fragmented control", []string{f1(opPing, "a")}, nil, 1002, nil},
		{"long control", []string{f1(fin|opPing, strings.Repeat("x", 126))}, nil, 1002, nil},
		{"not masked", []string{unmaskedText}, nil, 1002, nil},
		{"continuation of nothing", []string{f1(fin|cont, "a")}, nil, 1002, nil},
		{"message within a message", []string{f1(txt, "a"), f1(fin|txt, "b")}, nil, 1002, nil},
		{"length not shortest, 16", []string{"\x81\xfe\x00\x05\x00\x00\x00\x00hello"}, nil, 1002, nil},
		{"length not shortest, 64", []string{"\x81\xff\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00"}, nil, 1002, nil},
		{"not UTF-8", []string{f1(fin|txt, "a\xffb")}, nil, 1007, nil},
		{"not UTF-8, before the frame is whole", []string{string(masked(fin|txt, "a\xff"+strings.Repeat("b", 1000))[:20])}, nil, 1007, nil},
		{"surrogate", []string{f1(txt, "\xed\xa0"), f1(fin|cont, "\x80")}, nil, 1007, nil},
		{"ends within a character", []string{f1(txt, "a"), f1(fin|cont, "\xe2\x82")}, nil, 1007, nil},
		{"too big", []string{f1(fin|bin, strings.Repeat("x", DefaultMaxMessage+1))}, nil, 1009, nil},
		{"too big by its header", []string{"\x82\xff\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00"}, nil, 1009, nil},
		{"too big in fragments", []string{f1(bin, strings.Repeat("x", DefaultMaxMessage)), f1(fin|cont, "x")}, nil, 1009, nil},
		{"close", []string{f1(fin|opClose, "\x03\xe8bye")}, nil, 1000, nil},
		{"close with a code of ours", []string{f1(fin|opClose, "\x0f\xa0")}, nil, 4000, nil},
		{"close of one byte", []string{f1(fin|opClose, "\x03")}, nil, 1002, nil},
		{"close with a code that is none", []string{f1(fin|opClose, "\x03\xed")}, nil, 1002, nil},
		{"close with a reason that is not UTF-8", []string{f1(fin|opClose, "\x03\xe8\xff")}, nil, 1007, nil},
		{"close after messages", []string{f1(fin|txt, "a"), f1(fin|txt, "b"), f1(fin|opClose, "\x03\xe8")}, []string{wText("a"), wText("b")}, 1000, nil},
	}
	for _, tt := range tests {
		for _, pieces := range []string{"whole", "by byte"} {
			if pieces == "by byte" && len(strings.Join(tt.send, "")) > 4<<10 {
				continue
			}
			t.Run(tt.name+", "+pieces, func(t *testing.T) {
				each := tt.mode
				if each == nil {
					each = eachMode
				}
				each(t, nil, func(f *fixture) {
					t := f.t
					p := f.dial(t, "", "")
					sendAll(p, strings.Join(tt.send, ""), pieces == "by byte")
					for _, want := range tt.want {
						p.expect(want[0], want[1:])
					}
					if tt.code != 0 {
						p.expectClose(tt.code)
						p.expectEnd()
					} else {
						p.write(text("still there"))
						p.expectText("still there")
					}
				})
			})
		}
	}
}

// sendAll may find the connection closed: the failure is seen by reading.
func sendAll(p *peer, s string, byByte bool) {
	if !byByte {
		_, _ = p.Write([]byte(s))
		return
	}
	for i := range len(s) {
		if _, err := p.Write([]byte{s[i]}); err != nil {
			return
		}
	}
}

func TestPipelinedFrames(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		p := f.dial(t, "", "")
		var all []byte
		for i := range 100 {
			all = append(all, text(fmt.Sprint(i))...)
		}
		p.write(all)
		for i := range 100 {
			p.expectText(fmt.Sprint(i))
		}
	})
}

// A paused session receives nothing; resumed it receives everything, in order,
// also when the frames arrived in one piece.
func TestPause(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		p := f.dial(t, "", "")
		s := <-f.proto.opened
		c := s.Conn()
		on(s, c.Pause)
		p.write(append(text("one"), text("two")...))
		on(s, func() {})
		p.write(text("three"))
		on(s, c.Resume)
		p.expectText("one")
		p.expectText("two")
		p.expectText("three")
	})
}

// on runs fn on the session's shard and waits for it.
func on(s *hub.Session, fn func()) {
	done := make(chan struct{})
	s.Post(func() { fn(); close(done) })
	<-done
}

// A ping of the server's is answered by a pong, once.
func TestProbe(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		p := f.dial(f.t, "", "")
		s := <-f.proto.opened
		waits := func() (waits bool) {
			on(s, func() { waits = s.Conn().(*conn).is(probed) })
			return waits
		}
		p.write(append(masked(bitFin|opPong, "unasked"), text("one")...))
		p.expectText("one")
		on(s, func() {
			if !s.Probe() {
				f.t.Error("a WebSocket cannot be asked")
			}
		})
		p.expect(bitFin|opPing, "")
		if !waits() {
			f.t.Error("no answer is awaited")
		}
		p.write(append(masked(bitFin|opPong, ""), text("two")...))
		p.expectText("two")
		if waits() {
			f.t.Error("an answer is still awaited")
		}
	})
}

func TestServerCloses(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		p := f.dial(t, "", "")
		p.write(append(text("last"), text("bye")...))
		p.expectText("last")
		p.expectClose(3503)
		p.write(text("too late, but read"))
		p.write(masked(bitFin|opClose, "\x0d\xaf"))
		p.expectEnd()
	})
}

// A peer that sends no more still gets what is ready.
func TestHalfClosedPeer(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		p := f.dial(t, "", "")
		p.write(text("last"))
		if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		p.expectText("last")
		p.expectClose(1000)
		p.expectEnd()
	})
}

// A reset in the middle of a frame ends that session and no other.
func TestReset(t *testing.T) {
	eachMode(t, nil, func(f *fixture) {
		t := f.t
		beside := f.dial(t, "", "")
		p := f.dial(t, "", "")
		p.write(text("whole and a half")[:10])
		raw := p.Conn
		if c, ok := raw.(interface{ NetConn() net.Conn }); ok {
			raw = c.NetConn()
		}
		if err := raw.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = raw.Close()
		beside.write(text("still there"))
		beside.expectText("still there")
		f.awaitSessions(t, 1)
	})
}

// awaitSessions turns shards until so many sessions are left.
func (f *fixture) awaitSessions(t *testing.T, n int) {
	t.Helper()
	for f.hub.Info().Clients != n {
		if t.Context().Err() != nil {
			t.Fatal("sessions are left")
		}
		p := f.connect(t) // a round through the server
		_, _ = p.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		var b [1]byte
		_, _ = p.Read(b[:])
		_ = p.Close()
	}
}

// Descriptors are used again at once by others; nothing of an old session may
// reach a new one.
func TestDescriptorReuse(t *testing.T) {
	eachPlainMode(t, nil, func(f *fixture) {
		t := f.t
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 50 {
					p := f.dial(t, "", "")
					mine := fmt.Sprintf("%d-%d", w, i)
					var all []byte
					for range 20 {
						all = append(all, text(mine)...)
					}
					p.write(all)
					for range i % 20 {
						p.expectText(mine)
					}
					_ = p.Close() // with answers under way
				}
			})
		}
		wg.Wait()
		f.awaitSessions(t, 0)
	})
}

func TestHandshakeGate(t *testing.T) {
	f := newFixture(t, modes()[0], func(c *Config) { c.MaxHandshakes = -1 })
	c := f.connect(t)
	if _, err := c.Write([]byte(upgrade + "\r\n")); err != nil {
		t.Fatal(err)
	}
	var b [1 << 10]byte
	n, _ := c.Read(b[:])
	head := string(b[:n])
	if !strings.HasPrefix(head, "HTTP/1.1 503") || !strings.Contains(head, "Retry-After: ") {
		t.Errorf("%q", head)
	}
	if f.hub.Info().Clients != 0 {
		t.Error("a place is taken")
	}
}

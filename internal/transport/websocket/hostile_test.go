package websocket

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/hub/hubtest"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// Lengths end where int ends on the smallest systems.
func TestHugeLengths(t *testing.T) {
	for _, n := range []uint64{1 << 31, 1<<31 - 1, 1 << 32, 1<<63 - 1} {
		b := binary.BigEndian.AppendUint64([]byte{bitFin | OpBinary, bitMask | 127}, n)
		h, _, err := decodeHeader(append(b, 1, 2, 3, 4))
		if err == nil {
			err = h.check(nil, limits{message: DefaultMaxMessage})
		}
		if !errors.Is(err, errTooBig) {
			t.Errorf("%d: %v, length %d", n, err, h.length)
		}
	}
}

// A peer fails the connection for a close frame that breaks the rules, so that
// whatever a backend asks for, ours does not.
func TestCloseFramesKeepTheRules(t *testing.T) {
	f := newFixture(t, modes()[0], nil)
	for _, d := range []hub.Disconnect{
		{Code: 1005},
		{Code: 1006},
		{Code: 1015},
		{Code: 2000},
		{Code: 999},
		{Code: 5000},
		{Code: 70000},
		{Code: 4000, Reason: strings.Repeat("x", maxReason-1) + "é"},
		{Code: 4000, Reason: strings.Repeat("x", maxReason-2) + "€"},
		{Code: 4000, Reason: strings.Repeat("é", maxReason)},
		{Code: 4000, Reason: "\xff not text"},
	} {
		p := f.dial(t, "", "")
		s := <-f.proto.opened
		on(s, func() { s.Disconnect(d) })
		first, got, err := p.frame()
		if err != nil || first != bitFin|opClose || len(got) > maxControl {
			t.Fatalf("%v: %#x %q, %v", d, first, got, err)
		}
		code, err := closeCode(got)
		if err != nil || !utf8.Valid(got[2:]) {
			t.Errorf("%v: %d %q, %v", d, code, got, err)
		}
		if d.Code == 4000 && code != 4000 || d.Code != 4000 && code != closeNormal {
			t.Errorf("%v: code %d", d, code)
		}
	}
}

// The last word counts, not the one that is still on its way.
func TestPauseAfterResume(t *testing.T) {
	f := newFixture(t, modes()[0], nil)
	p := f.dial(t, "", "")
	s := <-f.proto.opened
	c, _ := s.Conn().(*conn)
	on(s, func() { c.Pause(); c.Resume(); c.Pause() })
	on(s, func() {
		if !c.is(paused) {
			t.Error("it goes on while paused")
		}
		c.Resume()
	})
	p.write(text("x"))
	p.expectText("x")
}

// A peer that takes no bytes cannot hold a place in the gate of handshakes.
func TestHandshakeUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := transport.NewGoroutines(transport.Options{})
		proto := &echo{}
		hb := hubtest.New(t, eng.NewLoop, 1, nil)
		h, err := New(Config{Hub: hb, Engine: eng, Protocols: []Subprotocol{{Protocol: proto}}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(upgrade + "\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		client, server := net.Pipe()
		began := time.Now()
		h.ServeHTTP(&hijacked{httptest.NewRecorder(), server}, r)
		if n := h.gate.UnderWay(); n != 0 || time.Since(began) != handshakeTimeout {
			t.Errorf("%d handshakes are under way after %s", n, time.Since(began))
		}
		if _, err := client.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is open")
		}
		if err := hb.Shutdown(context.Background()); err != nil {
			t.Error(err) // a place is still taken
		}
	})
}

// hijacked gives its connection away.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// Who offers a window for the server has to be told which it got (RFC 7692,
// 7.1.2.1).
func TestWindowIsAnswered(t *testing.T) {
	f := newFixture(t, modes()[0], nil)
	p := &peer{t: t, Conn: f.connect(t)}
	p.r = bufio.NewReader(p.Conn)
	p.write([]byte(upgrade + "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n\r\n"))
	res, err := http.ReadResponse(p.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := res.Header.Get("Sec-Websocket-Extensions"); !strings.Contains(got, "; server_max_window_bits=15") {
		t.Errorf("%q", got)
	}
}

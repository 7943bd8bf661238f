package transport

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/fanfare-push/fanfare/internal/limit"
)

// An engine adopts a connection with what its holder knows: bytes that were read
// already come first, those of early before them, and the peer is who it is said
// to be, also after a release.
func TestFrontedConnection(t *testing.T) {
	eachMode(t, func(f *fixture) {
		client, server := f.pair(f.t)
		said := &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 4711}
		rec := &recorder{}
		f.adopt(f.t, Front(Front(server, []byte("held "), said), []byte("given back "), nil), []byte("early "), rec)
		write(f.t, client, "sent")
		rec.awaitData("early given back held sent")
		f.on(func() {
			if got := rec.stream.Remote(); got != said.String() {
				f.t.Errorf("the peer is %s", got)
			}
			c, err := rec.stream.Release()
			if err != nil {
				rec.stream.Abort()
				return
			}
			if got := c.RemoteAddr().String(); got != said.String() {
				f.t.Errorf("after its release the peer is %s", got)
			}
			_ = c.Close()
		})
		rec.awaitGone(false)
		expectEnd(f.t, client)
		other := &recorder{}
		second := f.open(f.t, other) // may take the number of the descriptor
		f.on(func() {
			if got := other.stream.Remote(); got != second.LocalAddr().String() {
				f.t.Errorf("the next one's peer is %s, want %s", got, second.LocalAddr())
			}
			other.stream.Abort()
		})
		other.awaitGone(false)
	})
}

func TestFrontReads(t *testing.T) {
	here, there := net.Pipe()
	c := Front(there, []byte("held"), nil)
	b := make([]byte, 3)
	for _, want := range []string{"hel", "d"} {
		if n, err := c.Read(b); err != nil || string(b[:n]) != want {
			t.Errorf("%q, %v, want %q", b[:n], err, want)
		}
	}
	if got := c.RemoteAddr(); got != there.RemoteAddr() {
		t.Errorf("the peer is %v", got)
	}
	if _, err := c.SyscallConn(); err == nil {
		t.Error("a pipe has a descriptor")
	}
	if err := CloseWrite(c); err == nil {
		t.Error("a pipe has one direction")
	}
	_ = c.Close()
	_ = here.Close()
}

func TestClientAddr(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1/32", "[2001:db8::1]:80": "2001:db8::/64", "[::ffff:192.0.2.1]:80": "192.0.2.1/32", "[fe80::1%eth0]:80": "fe80::/64",
		"": "", "pipe": "", "@": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = remote
		got := limit.Host(ClientAddr(r))
		if want == "" && got != (netip.Prefix{}) || want != "" && got != netip.MustParsePrefix(want) {
			t.Errorf("%q: %v, want %s", remote, got, want)
		}
	}
}

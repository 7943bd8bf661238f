package proxies

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newProxies(t *testing.T, trusted ...string) *Proxies {
	t.Helper()
	p, err := New(Config{Trusted: trusted})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestForwardedFor(t *testing.T) {
	p := newProxies(t, "10.0.0.0/8", "192.0.2.1", "fd00::/8")
	tests := []struct {
		name, peer string
		lists      []string
		want       string
	}{
		{"no proxy", "203.0.113.5:4711", nil, "203.0.113.5"},
		{"somebody who says he is another", "203.0.113.5:4711", []string{"198.51.100.1"}, "203.0.113.5"},
		{"somebody who says he is a proxy", "203.0.113.5:4711", []string{"10.0.0.1"}, "203.0.113.5"},
		{"a neighbour of a proxy", "192.0.2.2:4711", []string{"198.51.100.1"}, "192.0.2.2"},
		{"a proxy for itself", "10.0.0.1:4711", nil, "10.0.0.1"},
		{"one proxy", "10.0.0.1:4711", []string{"198.51.100.1"}, "198.51.100.1"},
		{"one address", "192.0.2.1:4711", []string{"198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:4711", []string{"198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		{"two proxies, two lists", "10.0.0.1:4711", []string{"198.51.100.1", "fd00::5"}, "198.51.100.1"},
		{"a client that makes up a list", "10.0.0.1:4711", []string{"127.0.0.1, 10.0.0.3, 198.51.100.1"}, "198.51.100.1"},
		{"a client that makes up a list of its own", "10.0.0.1:4711", []string{"127.0.0.1", "198.51.100.1"}, "198.51.100.1"},
		{"a client that is not to be read", "10.0.0.1:4711", []string{"198.51.100.1, nonsense, 10.0.0.7"}, "10.0.0.7"},
		{"nonsense", "10.0.0.1:4711", []string{"nonsense"}, "10.0.0.1"},
		{"a name", "10.0.0.1:4711", []string{"localhost"}, "10.0.0.1"},
		{"nothing between commas", "10.0.0.1:4711", []string{"198.51.100.1, ,"}, "10.0.0.1"},
		{"nothing", "10.0.0.1:4711", []string{""}, "10.0.0.1"},
		{"proxies only", "10.0.0.1:4711", []string{"10.0.0.2, 10.0.0.3"}, "10.0.0.2"},
		{"with a port", "10.0.0.1:4711", []string{"198.51.100.1:443"}, "198.51.100.1"},
		{"IPv6", "[fd00::1]:4711", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 in brackets", "[fd00::1]:4711", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6 with a port", "[fd00::1]:4711", []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"IPv6 with a zone", "[fd00::1%eth0]:4711", []string{"2001:db8::7%evil"}, "2001:db8::7"},
		{"a proxy in IPv6's clothes", "[::ffff:10.0.0.1]:4711", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"a proxy in a list in IPv6's clothes", "10.0.0.1:4711", []string{"198.51.100.1, ::ffff:10.0.0.2"}, "198.51.100.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.RemoteAddr = tt.peer
			for _, list := range tt.lists {
				r.Header.Add("X-Forwarded-For", list)
			}
			r.Header.Set("X-Real-Ip", "198.51.100.99")
			r.Header.Set("Forwarded", "for=198.51.100.99")
			var got netip.Addr
			p.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = transport.ClientAddr(r) })).
				ServeHTTP(httptest.NewRecorder(), r)
			if got != netip.MustParseAddr(tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestNoNetworks(t *testing.T) {
	for _, bad := range []string{"", "proxy", "10.0.0.0/33", "10.0.0", "::ffff:10.0.0.0/104", "10.0.0.1:80"} {
		if _, err := New(Config{Trusted: []string{bad}}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// With nobody to trust nothing is in the way.
func TestNobody(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	before := r.RemoteAddr
	newProxies(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, wrapped := w.(*writer); wrapped || r.RemoteAddr != before {
			t.Errorf("%T, %s", w, r.RemoteAddr)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}

// What is hijacked says where it comes from, and everything else still works.
func TestHijack(t *testing.T) {
	p := newProxies(t, "127.0.0.0/8")
	said := make(chan string, 1)
	srv := httptest.NewServer(p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			_, _ = io.WriteString(w, "part")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		said <- c.RemoteAddr().String()
		_ = c.Close()
	})))
	defer srv.Close()
	defer srv.Client().CloseIdleConnections()
	for _, path := range []string{"/stream", "/hijack"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		if res, err := srv.Client().Do(r); err == nil {
			_ = res.Body.Close()
		}
	}
	if got := <-said; got != "198.51.100.1:0" {
		t.Errorf("the connection is said to come from %s", got)
	}
}

// header is a PROXY header for a client.
func header(t *testing.T, version byte, from string, tlv int) []byte {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)))
	if tlv > 0 {
		if err := h.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_NOOP, Value: make([]byte, tlv)}}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// local is a v2 header of a proxy that asks for itself.
var local = []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")

func TestProxyProtocol(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	tests := []struct {
		name    string
		trusted string
		begin   []byte
		header  string // of HTTP
		want    string // "": the connection is refused
		refused bool
	}{
		{"version 1", "127.0.0.0/8", header(t, 1, "198.51.100.1:4711", 0), "", "198.51.100.1:4711", false},
		{"version 1, IPv6", "127.0.0.0/8", header(t, 1, "[2001:db8::7]:4711", 0), "", "[2001:db8::7]:4711", false},
		{"version 2", "127.0.0.0/8", header(t, 2, "198.51.100.1:4711", 0), "", "198.51.100.1:4711", false},
		{"version 2, IPv6", "127.0.0.0/8", header(t, 2, "[2001:db8::7]:4711", 0), "", "[2001:db8::7]:4711", false},
		{"version 2 with more to tell", "127.0.0.0/8", header(t, 2, "198.51.100.1:4711", 2000), "", "198.51.100.1:4711", false},
		{"version 2 with too much to tell", "127.0.0.0/8", header(t, 2, "198.51.100.1:4711", 2*maxHeader), "", "", true},
		{"no header", "127.0.0.0/8", nil, "", "127.0.0.1", false},
		{"a proxy for itself", "127.0.0.0/8", local, "", "127.0.0.1", false},
		{"unknown", "127.0.0.0/8", []byte("PROXY UNKNOWN\r\n"), "", "0.0.0.0:0", false},
		{"unknown that says who it is", "127.0.0.0/8", []byte("PROXY UNKNOWN\r\n"), "X-Forwarded-For: 198.51.100.9\r\n", "0.0.0.0:0", false},
		{"a client that says it is another", "127.0.0.0/8", header(t, 1, "198.51.100.1:4711", 0), "X-Forwarded-For: 198.51.100.9\r\n", "198.51.100.1:4711", false},
		{"a proxy behind a proxy", "127.0.0.0/8", header(t, 1, "127.0.0.9:4711", 0), "X-Forwarded-For: 198.51.100.9\r\n", "198.51.100.9:0", false},
		{"no address", "127.0.0.0/8", []byte("PROXY TCP4 nonsense 1 2 3\r\n"), "", "", true},
		{"a header without end", "127.0.0.0/8", append([]byte("PROXY TCP4 "), bytes.Repeat([]byte("1"), 500)...), "", "", true},
		{"not trusted", "10.0.0.0/8", header(t, 1, "198.51.100.1:4711", 0), "", "", false},
		{"not trusted, version 2", "10.0.0.0/8", header(t, 2, "198.51.100.1:4711", 0), "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var refused atomic.Int64
			p, err := New(Config{Trusted: []string{tt.trusted}, Refused: func() { refused.Add(1) }})
			if err != nil {
				t.Fatal(err)
			}
			addr := serve(t, p)
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_, _ = c.Write(append(tt.begin, request+tt.header+"\r\n"...)) // it may be cut in the middle
			answer, _ := io.ReadAll(c)
			ok := bytes.HasPrefix(answer, []byte("HTTP/1.1 200 OK"))
			if ok != (tt.want != "") || ok && !bytes.Contains(answer, []byte("\r\n\r\n"+tt.want)) {
				t.Errorf("answered %q, want %q", answer, tt.want)
			}
			if (refused.Load() > 0) != tt.refused {
				t.Errorf("%d counted as refused", refused.Load())
			}
		})
	}
}

// serve answers with the address that a request comes from.
func serve(t *testing.T, p *Proxies) (addr string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		ReadHeaderTimeout: 20 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Handler: p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })),
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(p.Listener(l)) })
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()); serving.Wait() })
	return l.Addr().String()
}

// A connection that is adopted brings along what was read behind its header.
func TestHeld(t *testing.T) {
	p := newProxies(t, "127.0.0.0/8")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	out, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	if _, err := out.Write(append(header(t, 2, "198.51.100.1:4711", 0), "hello"...)); err != nil {
		t.Fatal(err)
	}
	in, err := p.Listener(l).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	fronted, ok := in.(transport.Fronted)
	if !ok {
		t.Fatalf("%T", in)
	}
	if got := fronted.Said(); got.String() != "198.51.100.1:4711" {
		t.Errorf("said %v", got)
	}
	if got := fronted.Held(); string(got) != "hello" {
		t.Errorf("held %q", got)
	}
	b := make([]byte, 2)
	if n, err := in.Read(b); err != nil || string(b[:n]) != "he" || string(fronted.Held()) != "llo" {
		t.Errorf("read %q, %v, held %q", b[:n], err, fronted.Held())
	}
	if raw, err := fronted.SyscallConn(); err != nil || raw == nil {
		t.Errorf("no descriptor: %v", err)
	}
	if err := transport.CloseWrite(in); err != nil {
		t.Errorf("close one direction: %v", err)
	}
}

// A proxy that begins and does not go on is given up; others are accepted
// meanwhile, as nobody waits for it.
func TestSlowHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		p := newProxies(t, "127.0.0.0/8")
		c := &conn{Conn: there, proxies: p}
		go func() { _, _ = here.Write([]byte("PRO")) }()
		began := time.Now()
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("it is read")
		}
		if took := time.Since(began); took != headerTimeout {
			t.Errorf("given up after %s", took)
		}
		if err := errors.Join(here.Close(), there.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Whatever is in the lists, who is not trusted is who he is, and nobody is taken
// for a proxy that no proxy has named.
func FuzzForwardedFor(f *testing.F) {
	f.Add("198.51.100.1, 10.0.0.2", "127.0.0.1")
	f.Add("[2001:db8::7]:443,,", "unknown")
	p, err := New(Config{Trusted: []string{"10.0.0.0/8"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		stranger := netip.MustParseAddr("203.0.113.5")
		if client, ok := p.forwarded(stranger, []string{first, second}); ok || client != stranger {
			t.Errorf("a stranger becomes %s", client)
		}
		proxy := netip.MustParseAddr("10.0.0.1")
		client, ok := p.forwarded(proxy, []string{first, second})
		if !client.IsValid() || client.Zone() != "" || client.Is4In6() || !ok && client != proxy {
			t.Errorf("%q, %q: %v, %v", first, second, client, ok)
		}
	})
}

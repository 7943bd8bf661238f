package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPublic(t *testing.T) {
	tests := map[bool][]string{
		true: {"8.8.8.8", "1.1.1.1", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8"},
		false: {
			"0.0.0.0", "127.0.0.1", "127.255.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
			"100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
			"::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1",
			"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
			"2002:7f00:1::", "2001::1", "2001:db8::1", "100::1", "3fff::1", "5f00::1",
		},
	}
	for want, list := range tests {
		for _, text := range list {
			if got := Public(netip.MustParseAddr(text)); got != want {
				t.Errorf("%s is public: %t", text, got)
			}
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestCheck(t *testing.T) {
	trusted := []string{"localhost", "127.0.0.1", "keys.internal"}
	tests := []struct {
		url  string
		want error
	}{
		{"https://example.org/keys", nil},
		{"https://example.org:8443/keys", nil},
		{"https://8.8.8.8/", nil},
		{"http://localhost:3000/keys", nil},
		{"http://LOCALHOST/keys", nil},
		{"http://127.0.0.1:3000/", nil},
		{"http://keys.internal/", nil},
		{"http://example.org/keys", ErrScheme},
		{"https://10.0.0.1/", ErrAddress},
		{"https://[::1]/", ErrAddress},
		{"https://[::ffff:127.0.0.1]/", ErrAddress},
		{"https://[fe80::1%25eth0]/", ErrAddress},
		{"http://localhost.example.org/", ErrScheme},
		{"file:///etc/passwd", ErrURL},
		{"ftp://example.org/", ErrURL},
		{"https:///keys", ErrURL},
		{"https://user:password@example.org/", ErrURL},
		{"http://user@localhost/", ErrURL},
		{"example.org/keys", ErrURL},
		{"https://a b/", ErrURL},
		{"", ErrURL},
	}
	for _, tt := range tests {
		if err := Check(tt.url, trusted); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.url, err, tt.want)
		} else if err != nil && strings.Contains(err.Error(), "password") {
			t.Errorf("%s: the error shows a password: %v", tt.url, err)
		}
	}
}

// get calls a server under a host of its own.
func get(t *testing.T, server *httptest.Server, host string, trusted ...string) (int, error) {
	t.Helper()
	to, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := New(Config{Trusted: trusted, Timeout: 10 * time.Second})
	defer client.CloseIdleConnections()
	target := to.Scheme + "://" + net.JoinHostPort(host, to.Port()) + "/"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func TestTrustedHostIsReached(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	if status, err := get(t, server, "127.0.0.1", "127.0.0.1"); err != nil || status != http.StatusOK {
		t.Error(status, err)
	}
	if _, err := get(t, server, "127.0.0.1", "localhost"); !errors.Is(err, ErrScheme) {
		t.Error(err)
	}
}

// A name is harmless to look at; what it resolves to is not. Nothing arrives.
func TestNameThatLeadsInside(t *testing.T) {
	arrived := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived = true }))
	defer server.Close()
	for _, host := range []string{"localhost", "LOCALHOST", "127.0.0.1", "::ffff:127.0.0.1", "::1"} {
		if _, err := get(t, server, host); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if arrived {
		t.Error("a request arrived")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		http.Redirect(w, r, "/again", http.StatusFound)
	}))
	defer server.Close()
	if status, err := get(t, server, "127.0.0.1", "127.0.0.1"); err != nil || status != http.StatusFound || calls != 1 {
		t.Error(status, err, calls)
	}
}

// The dialer judges what it connects to, whatever was said before.
func TestDialerJudgesTheAddress(t *testing.T) {
	dial := dialer(nil)
	for _, address := range []string{"127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "169.254.169.254:80", "0.0.0.0:1"} {
		conn, err := dial(context.Background(), "tcp", address)
		if !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", address, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
}

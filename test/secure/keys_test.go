package secure

import (
	"net"
	"strings"
	"testing"
	"time"
)

// The name of an identity provider that has come to lead inside is not asked for
// keys: whoever answers there would say who every client is.
func TestKeySetInside(t *testing.T) {
	inside, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan bool, 1)
	go func() {
		c, err := inside.Accept()
		if err == nil {
			_ = c.Close()
		}
		arrived <- err == nil
	}()
	_, port, err := net.SplitHostPort(inside.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	srv := start(t, t.TempDir(), anonymous+"tokens:\n  jwks_url: https://localhost:"+port+"/\n")
	until(t, "the refusal", func() bool { return strings.Contains(srv.Output(), "the address is not public") })
	_ = inside.Close()
	select {
	case called := <-arrived:
		if called {
			t.Error("it was asked")
		}
	case <-time.After(timeout):
		t.Error("nobody listens any more, and nothing is told")
	}
}

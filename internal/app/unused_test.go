package app

import (
	"net"
	"testing"
	"time"
)

// A connection that nobody has asked anything on does not hold up a stop: the time
// that a stop may take is less than http.Server waits for it.
func TestUnusedConnectionsDoNotHoldUpAStop(t *testing.T) {
	r := start(t, settings(t, map[string]string{"shutdown_timeout": "3s"}))
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // the server has
	deadline := time.Now().Add(timeout)
	for known := 0; known == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the server does not take the connection")
		}
		r.public.unused.mu.Lock()
		known = len(r.public.unused.conns)
		r.public.unused.mu.Unlock()
	}
	r.stop(t)
}

package app

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A client that asks and does not read holds its handler for a while, not for ever.
func TestUnreadResponses(t *testing.T) {
	failed := make(chan error, 1)
	s := httptest.NewServer(readable(100*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		part := make([]byte, 64<<10)
		for {
			if _, err := w.Write(part); err != nil {
				failed <- err
				return
			}
		}
	})))
	defer s.Close()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-failed:
	case <-time.After(timeout):
		t.Error("the response is still being written")
	}
}

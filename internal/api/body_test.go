package api

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

type readerOf struct{ io.Reader }

func (readerOf) Close() error { return nil }

// pipes is a listener of connections within the process, for virtual time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// serve gives the client's end of a connection to a real server in front of the
// handler.
func serve(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: h}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = srv.Serve(l)
	}()
	client, server := net.Pipe()
	l.conns <- server
	t.Cleanup(func() {
		_ = client.Close()
		_ = srv.Close()
		<-gone
	})
	return client
}

const slowHead = "POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: " + testKey + "\r\nContent-Length: 24\r\n\r\n"

// TestBodyThatDoesNotCome: whoever sends half a body is told after a while, and
// holds nothing any more.
func TestBodyThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(Limits{})
		conn := serve(t, f.handler)
		start := time.Now()
		if _, err := io.WriteString(conn, slowHead+`{"channel":`); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), "did not arrive within 30s") {
			t.Errorf("HTTP %d: %s, %v", res.StatusCode, body, err)
		}
		if waited := time.Since(start); waited != bodyTimeout {
			t.Errorf("after %s", waited)
		}
	})
}

// slowHub publishes when it is released, unless the request is given up before.
type slowHub struct {
	*fakeHub
	release chan struct{}
}

func (s *slowHub) Publish(ctx context.Context, _ hub.Publish) (engine.PublishResult, error) {
	select {
	case <-s.release:
		return engine.PublishResult{}, nil
	case <-ctx.Done():
		return engine.PublishResult{}, ctx.Err()
	}
}

// TestBodyThatComesLate: the time for the body is not taken from the command.
func TestBodyThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowHub{fakeHub: &fakeHub{}, release: make(chan struct{})}
		conn := serve(t, New(Config{Keys: fakeKeys{testKey: operatorOf(channel.DefaultApp)}}, slow, nil))
		for _, part := range []string{slowHead + `{"channel":`, `"a","data":1}`} {
			if _, err := io.WriteString(conn, part); err != nil {
				t.Fatal(err)
			}
			time.Sleep(bodyTimeout - time.Second)
		}
		time.Sleep(bodyTimeout)
		close(slow.release)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != `{"result":{}}` {
			t.Errorf("HTTP %d: %s, %v", res.StatusCode, body, err)
		}
	})
}

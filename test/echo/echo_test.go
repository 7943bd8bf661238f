package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const patience = 60 * time.Second

// address finds where the server listens in what it logs.
type address struct{ found chan string }

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// Write implements io.Writer; each line of the log is one call.
func (a address) Write(p []byte) (int, error) {
	if m := listening.FindSubmatch(p); m != nil {
		a.found <- string(m[1])
	}
	return len(p), nil
}

// started is a server that runs.
type started struct {
	t    *testing.T
	url  string
	opts *websocket.DialOptions
}

func (s started) dial() *websocket.Conn {
	s.t.Helper()
	c, res, err := websocket.Dial(s.t.Context(), s.url, s.opts)
	if res != nil && res.Body != nil {
		_ = res.Body.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(maxMessage + 1)
	return c
}

// eachServer runs fn against the server in every way to start it.
func eachServer(t *testing.T, fn func(s started)) {
	t.Helper()
	for _, flags := range []string{"", "--deflate", "--tls", "--transport=goroutine", "--deflate --tls", "--deflate --tls --transport=goroutine"} {
		t.Run(flags, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			addr := address{make(chan string, 1)}
			done := make(chan error, 1)
			go func() { done <- run(ctx, append(strings.Fields(flags), "--listen=127.0.0.1:0"), addr) }()
			t.Cleanup(func() {
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
			url := "ws://" + <-addr.found
			opts := &websocket.DialOptions{CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 1}
			if strings.Contains(flags, "tls") {
				url = "wss" + strings.TrimPrefix(url, "ws")
				transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
				t.Cleanup(transport.CloseIdleConnections)
				opts.HTTPClient = &http.Client{Transport: transport}
			}
			fn(started{t, url, opts})
		})
	}
}

func bound(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func expect(ctx context.Context, t *testing.T, c *websocket.Conn, kind websocket.MessageType, want []byte) {
	t.Helper()
	got, data, err := c.Read(ctx)
	if err != nil || got != kind || !bytes.Equal(data, want) {
		t.Fatalf("%v of %d bytes, %v, want %v of %d", got, len(data), err, kind, len(want))
	}
}

// Every message comes back as it was: its kind, its bytes, its order.
func TestEcho(t *testing.T) {
	eachServer(t, func(s started) {
		t := s.t
		ctx := bound(t)
		c := s.dial()
		for _, size := range []int{0, 1, 125, 126, 1000, 65535, 65536, 1 << 20, maxMessage} {
			for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
				fill := "text "
				if kind == websocket.MessageText && size == maxMessage {
					continue // slow under the race detector, and nothing new
				}
				if kind == websocket.MessageBinary {
					fill = "\xff\x00\xfe"
				}
				data := []byte(strings.Repeat(fill, size/len(fill)+1)[:size])
				if err := c.Write(ctx, kind, data); err != nil {
					t.Fatal(err)
				}
				expect(ctx, t, c, kind, data)
			}
		}
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	})
}

func TestFragments(t *testing.T) {
	eachServer(t, func(s started) {
		t := s.t
		ctx := bound(t)
		c := s.dial()
		w, err := c.Writer(ctx, websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 { // each a frame
			if _, err := w.Write([]byte("a fragment, ")); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		expect(ctx, t, c, websocket.MessageText, []byte(strings.Repeat("a fragment, ", 100)))
	})
}

func TestCloseCodes(t *testing.T) {
	eachServer(t, func(s started) {
		t := s.t
		ctx := bound(t)
		for _, code := range []websocket.StatusCode{1000, 1001, 1003, 1011, 3000, 3999, 4000, 4999} {
			if err := s.dial().Close(code, "bye"); err != nil {
				t.Errorf("%d: %v", code, err)
			}
		}
		tests := []struct {
			send func(c *websocket.Conn) error
			code websocket.StatusCode
		}{
			{func(c *websocket.Conn) error { return c.Write(ctx, websocket.MessageText, []byte("a\xff")) }, websocket.StatusInvalidFramePayloadData},
			{func(c *websocket.Conn) error {
				return c.Write(ctx, websocket.MessageBinary, make([]byte, maxMessage+1))
			}, websocket.StatusMessageTooBig},
		}
		for _, tt := range tests {
			c := s.dial()
			_ = tt.send(c) // it may be cut short
			if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != tt.code {
				t.Errorf("%v, want %d", err, tt.code)
			}
		}
	})
}

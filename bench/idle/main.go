// Command idle holds sessions of the Centrifuge protocol open, each with one
// subscription, over plain WebSocket or TLS, and answers their pings: the load of
// the rows on idle sessions.
//
//	idle -addr 127.0.0.1:8000 -n 15000 -channel room -tls
//
// When all are there it prints a line of JSON, and holds them until its input
// ends; then it prints another with what became of them. In between it prints one
// whenever each session has been sent another publication: which one, and the moment
// that the last session had it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of one step.
const (
	dialTimeout = 30 * time.Second
	maxFrame    = 64 << 10
)

// holder is every session.
type holder struct {
	addr    string
	channel string
	secure  bool
	each    bool // subscribes to a channel of its own
	n       int64

	pushed atomic.Int64 // publications, of all sessions
	heard  chan heard
	pongs  atomic.Int64
	lost   atomic.Int64
	ending atomic.Bool
	open   sync.WaitGroup
}

func main() {
	h := &holder{}
	var n, ramp int
	flag.BoolVar(&h.each, "each", false, "every session subscribes to a channel of its own, called as -channel with a number behind it")
	flag.StringVar(&h.addr, "addr", "127.0.0.1:8000", "host:port of the server")
	flag.StringVar(&h.channel, "channel", "bench", "what every session subscribes to")
	flag.BoolVar(&h.secure, "tls", false, "over TLS, whatever the certificate")
	flag.IntVar(&n, "n", 1000, "sessions")
	flag.IntVar(&ramp, "ramp", 100, "handshakes at once")
	flag.Parse()
	if err := h.hold(n, ramp, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

// hold opens n sessions, keeps them until in ends, and reports to out.
func (h *holder) hold(n, ramp int, in io.Reader, out io.Writer) error {
	start := time.Now()
	h.n, h.heard = int64(n), make(chan heard, maxHeard)
	conns, err := h.dialAll(n, ramp)
	defer h.release(conns)
	if err != nil {
		return err
	}
	report := json.NewEncoder(out)
	if err := report.Encode(map[string]float64{"ready": float64(n), "took_s": time.Since(start).Seconds()}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	for waiting := true; waiting; {
		select {
		case one := <-h.heard:
			if err := report.Encode(one); err != nil {
				return err
			}
		case err := <-ended:
			if err != nil {
				return err
			}
			waiting = false
		}
	}
	return report.Encode(map[string]int64{"pongs": h.pongs.Load(), "lost": h.lost.Load()})
}

// heard is a publication that every session has been sent.
type heard struct {
	Publication int64 `json:"publication"` // 1, 2, …
	At          int64 `json:"at"`          // Unix nanoseconds, of the last session
}

// maxHeard is how many may wait to be printed; those beyond are not.
const maxHeard = 1024

// push counts a publication; sessions are sent the same ones, so as many as there
// are sessions make one for all.
func (h *holder) push() {
	n := h.pushed.Add(1)
	if n%h.n != 0 {
		return
	}
	select {
	case h.heard <- heard{n / h.n, time.Now().UnixNano()}:
	default:
	}
}

func (h *holder) release(conns []net.Conn) {
	h.ending.Store(true)
	for _, c := range conns {
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		if c != nil {
			_ = c.Close()
		}
	}
	h.open.Wait()
}

func (h *holder) dialAll(n, ramp int) ([]net.Conn, error) {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	conns := make([]net.Conn, n)
	slots := make(chan struct{}, ramp)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			channel := h.channel
			if h.each {
				channel += strconv.Itoa(i)
			}
			c, err := h.dial(ctx, channel)
			if err != nil {
				stop(fmt.Errorf("session %d: %w", i, err))
				return
			}
			conns[i] = c
		})
	}
	wg.Wait()
	return conns, context.Cause(ctx)
}

// dial opens a session and leaves a goroutine that answers its pings.
func (h *holder) dial(ctx context.Context, channel string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", h.addr)
	if err != nil {
		return nil, err
	}
	if h.secure {
		secured := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c = secured
	}
	r := bufio.NewReaderSize(c, 256)
	if err := h.greet(c, r, channel); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	h.open.Go(func() { h.answer(c, r) })
	return c, nil
}

const upgrade = "GET /connection/websocket HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func (h *holder) greet(c net.Conn, r *bufio.Reader, channel string) error {
	if err := c.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, upgrade); err != nil {
		return err
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("HTTP %d, %w", res.StatusCode, err)
	}
	if _, err := c.Write(textFrame(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"` + channel + `"}}`)); err != nil {
		return err
	}
	for got := ""; !strings.Contains(got, `"id":2`); {
		payload, err := readFrame(r)
		if err != nil {
			return err
		}
		if got = string(payload); strings.Contains(got, `"error"`) {
			return errors.New(got)
		}
	}
	return c.SetDeadline(time.Time{})
}

var pong = textFrame("{}")

func (h *holder) answer(c net.Conn, r *bufio.Reader) {
	for {
		payload, err := readFrame(r)
		switch {
		case err != nil:
		case string(payload) == "{}":
			_, err = c.Write(pong)
			h.pongs.Add(1)
		default:
			for range bytes.Count(payload, []byte(`"pub":`)) {
				h.push()
			}
		}
		if err != nil {
			if !h.ending.Load() {
				h.lost.Add(1)
			}
			return
		}
	}
}

// textFrame is a client's frame, under a mask of zeros.
func textFrame(text string) []byte {
	b := []byte{0x81}
	if len(text) < 126 {
		b = append(b, 0x80|byte(len(text)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(text)))
	}
	return append(append(b, 0, 0, 0, 0), text...)
}

// readFrame gives the payload of the next frame; a close frame is an error.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return nil, err
	}
	size := int(head[1])
	if size == 126 {
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return nil, err
		}
		size = int(binary.BigEndian.Uint16(head[2:]))
	}
	if head[0] != 0x81 || size > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes, first byte %#x", size, head[0])
	}
	payload := make([]byte, size)
	_, err := io.ReadFull(r, payload)
	return payload, err
}

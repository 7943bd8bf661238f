package engine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// client is one connection, frame by frame.
type client struct {
	net.Conn
	raw   *net.TCPConn
	r     *bufio.Reader
	lines [][]byte // of the last frame, not yet taken
}

// dial connects; the WebSocket is for upgrade to open.
func (n *node) dial(ctx context.Context) (*client, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.srv.Addr())
	if err != nil {
		return nil, err
	}
	raw := c.(*net.TCPConn)
	if n.tls {
		c = tls.Client(c, trusting())
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{Conn: c, raw: raw, r: bufio.NewReaderSize(c, 512)}, nil
}

const upgrade = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// answer reads what the server says to an upgrade.
func (c *client) answer() (status int, header http.Header, err error) {
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, nil, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header, errors.Join(err, res.Body.Close())
}

// subscribed opens a session with one subscription.
func (n *node) subscribed(channel string) *client {
	n.t.Helper()
	c, err := n.dial(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = c.raw.Close() })
	if err := c.open(channel); err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (c *client) open(channel string) error {
	if _, err := io.WriteString(c, upgrade); err != nil {
		return err
	}
	status, _, err := c.answer()
	if err == nil && status != http.StatusSwitchingProtocols {
		err = fmt.Errorf("HTTP %d", status)
	}
	if err != nil {
		return err
	}
	return c.subscribe(channel)
}

func (c *client) subscribe(channel string) error {
	if err := c.say(fmt.Sprintf(`{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":%q}}`, channel)); err != nil {
		return err
	}
	for _, want := range []string{`"connect":{`, `"subscribe":{`} {
		line, err := c.next()
		if err != nil {
			return err
		}
		if !bytes.Contains(line, []byte(want)) {
			return fmt.Errorf("%s, want %s", line, want)
		}
	}
	return nil
}

// frame is a masked text frame.
func frame(text string) []byte {
	b := []byte{0x81}
	if len(text) < 126 {
		b = append(b, 0x80|byte(len(text)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(text)))
	}
	return append(append(b, 0, 0, 0, 0), text...) // a mask of zeros
}

func (c *client) say(text string) error {
	_, err := c.Write(frame(text))
	return err
}

// closed is the server's close frame.
type closed struct {
	code   int
	reason string
}

func (e *closed) Error() string { return fmt.Sprintf("closed with %d %s", e.code, e.reason) }

// next gives the next message; pings are answered and not given. The error of a
// session that the server ended is *closed.
func (c *client) next() ([]byte, error) {
	for {
		for len(c.lines) > 0 {
			line := c.lines[0]
			c.lines = c.lines[1:]
			if string(line) == "{}" {
				if err := c.say("{}"); err != nil {
					return nil, err
				}
				continue
			}
			return line, nil
		}
		payload, err := c.frame()
		if err != nil {
			return nil, err
		}
		c.lines = bytes.Split(payload, []byte{'\n'})
	}
}

func (c *client) frame() ([]byte, error) {
	var head [10]byte
	if _, err := io.ReadFull(c.r, head[:2]); err != nil {
		return nil, err
	}
	size := uint64(head[1])
	var err error
	switch size {
	case 126:
		_, err = io.ReadFull(c.r, head[2:4])
		size = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		_, err = io.ReadFull(c.r, head[2:10])
		size = binary.BigEndian.Uint64(head[2:])
	}
	if err != nil {
		return nil, err
	}
	if size > 1<<20 {
		return nil, fmt.Errorf("a frame of %d bytes, first byte %#x", size, head[0])
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(c.r, payload); err != nil {
		return nil, err
	}
	switch {
	case head[0] == 0x81:
		return payload, nil
	case head[0] == 0x88 && len(payload) >= 2:
		return nil, &closed{int(binary.BigEndian.Uint16(payload)), string(payload[2:])}
	}
	return nil, fmt.Errorf("a frame with first byte %#x", head[0])
}

// push is a publication as a subscriber gets it.
type push struct {
	Push struct {
		Channel string
		Pub     struct {
			Data json.RawMessage
			Tags map[string]string
		}
	}
}

func (c *client) publication() (*push, error) {
	line, err := c.next()
	if err != nil {
		return nil, err
	}
	p := &push{}
	if err := json.Unmarshal(line, p); err != nil || p.Push.Channel == "" {
		return nil, fmt.Errorf("%.100q is no publication: %w", line, err)
	}
	return p, nil
}

// reset closes with RST.
func (c *client) reset() {
	_ = c.raw.SetLinger(0)
	_ = c.raw.Close()
}

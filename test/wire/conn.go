package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/coder/websocket"
)

// maxFrame bounds one frame of the server.
const maxFrame = 16 << 20

// Conn is one connection. One goroutine reads, any may write.
type Conn struct {
	Client string // the id that the server gave it, after Connect

	ws    *websocket.Conn
	ready []Message // of the last frame, not yet taken
}

// Dial opens a connection without a word of the protocol. The error of a refused
// handshake is a *Refusal.
func Dial(ctx context.Context, url string, header http.Header) (*Conn, error) {
	ws, res, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: header}) //nolint:bodyclose // Dial's body needs no Close
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
			return nil, &Refusal{Status: res.StatusCode, Header: res.Header}
		}
		return nil, fmt.Errorf("dial: %w", err)
	}
	ws.SetReadLimit(maxFrame)
	return &Conn{ws: ws}, nil
}

// Refusal is a handshake that was answered with something else than 101.
type Refusal struct {
	Status int
	Header http.Header
}

func (r *Refusal) Error() string { return fmt.Sprintf("handshake refused with HTTP %d", r.Status) }

// Connect dials and sends the connect command with id 1.
func Connect(ctx context.Context, url string) (*Conn, error) { return ConnectAs(ctx, url, "") }

// ConnectAs is Connect with a token; "": none.
func ConnectAs(ctx context.Context, url, token string) (*Conn, error) {
	c, err := Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	if err := c.Send(ctx, fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, token)); err != nil {
		c.Drop()
		return nil, err
	}
	m, err := c.Reply(ctx, 1)
	if err == nil && m.Connect == nil {
		err = fmt.Errorf("connect: %s", m.Raw)
	}
	if err != nil {
		c.Drop()
		return nil, err
	}
	c.Client = m.Connect.Client
	return c, nil
}

// Send writes one text frame as it is.
func (c *Conn) Send(ctx context.Context, frame string) error {
	return c.ws.Write(ctx, websocket.MessageText, []byte(frame))
}

// SendBinary writes one binary frame as it is.
func (c *Conn) SendBinary(ctx context.Context, frame []byte) error {
	return c.ws.Write(ctx, websocket.MessageBinary, frame)
}

// Next gives the next message; pings are answered and not given. The error of a
// connection that the server closed is a *Closed. A ctx that ends closes the
// connection.
func (c *Conn) Next(ctx context.Context) (Message, error) {
	for len(c.ready) == 0 {
		if err := c.frame(ctx); err != nil {
			return Message{}, err
		}
	}
	m := c.ready[0]
	c.ready = c.ready[1:]
	return m, nil
}

// Reply gives the reply to the command with id; pushes before it are lost.
func (c *Conn) Reply(ctx context.Context, id uint32) (Message, error) {
	for {
		m, err := c.Next(ctx)
		if err != nil || m.ID == id {
			return m, err
		}
	}
}

// Frame gives the next frame as it came, of whatever protocol. It is not used
// beside Next and Reply.
func (c *Conn) Frame(ctx context.Context) ([]byte, error) {
	_, data, err := c.ws.Read(ctx)
	if err != nil {
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			return nil, &Closed{Code: int(closed.Code), Reason: closed.Reason}
		}
		return nil, fmt.Errorf("read: %w", err)
	}
	return data, nil
}

// frame reads one frame, whose lines are messages.
func (c *Conn) frame(ctx context.Context) error {
	data, err := c.Frame(ctx)
	if err != nil {
		return err
	}
	list, pings, err := Messages(data)
	for range pings {
		if err := c.Send(ctx, "{}"); err != nil {
			return fmt.Errorf("pong: %w", err)
		}
	}
	c.ready = list
	return err
}

// Messages splits a frame, whose lines are messages; pings counts those that a
// client has to answer with the same, {}.
func Messages(frame []byte) (list []Message, pings int, err error) {
	for line := range bytes.SplitSeq(frame, []byte{'\n'}) {
		line = bytes.TrimSpace(line)
		switch string(line) {
		case "":
			continue
		case "{}":
			pings++
			continue
		}
		m := Message{Raw: line}
		if err := json.Unmarshal(line, &m); err != nil {
			return list, pings, fmt.Errorf("message %.200q: %w", line, err)
		}
		list = append(list, m)
	}
	return list, pings, nil
}

// Closed is the server's close frame.
type Closed struct {
	Code   int
	Reason string
}

func (c *Closed) Error() string { return fmt.Sprintf("closed with %d %s", c.Code, c.Reason) }

// Drop ends the connection without a close frame, as a lost network does.
func (c *Conn) Drop() { _ = c.ws.CloseNow() }

package httpstream

import (
	"bytes"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// conn is the response to one request: messages of a session on a stream. It
// lives on its shard's goroutine.
type conn struct {
	handler *Handler
	variant *variant
	stream  transport.Stream
	session *hub.Session
	opening opening // nil once something was sent
	head    []byte  // of it, what the stream has not taken yet
	chunked bool
	returns bool // the client comes back from anything but an error
	left    bool // the client is gone
}

var (
	_ hub.Conn           = (*conn)(nil)
	_ transport.Receiver = (*conn)(nil)
)

// open makes the session of a request and hands it what the request said.
func (c *conn) open(s transport.Stream, place hub.Place, enc *hub.Encoding, req request) transport.Receiver {
	c.handler.gate.Done()
	c.stream = s
	c.session = place.Open(c, enc, req.hello)
	if c.handler.cfg.Emulated {
		c.session.Emulate()
	}
	if c.handler.cfg.Hello == nil {
		c.session.Receive(req.first)
	}
	return c
}

// Data implements transport.Receiver. The request has been read: nothing may
// follow it but the empty lines that some clients send (RFC 9112, 2.2).
func (c *conn) Data(p []byte) {
	if len(bytes.Trim(p, crlf)) > 0 {
		c.session.Disconnect(hub.DisconnectBadRequest)
	}
}

// Ended implements transport.Receiver.
func (c *conn) Ended() {
	c.left = true
	c.session.Disconnect(hub.DisconnectClosed)
}

// Writable implements transport.Receiver.
func (c *conn) Writable() { c.session.Writable() }

// Gone implements transport.Receiver.
func (c *conn) Gone(err error) {
	c.opening, c.head = nil, nil
	c.session.Closed(err)
}

// Write implements hub.Conn. The head goes with the first message.
func (c *conn) Write(p []byte) (int, error) {
	if c.opening != nil {
		c.head = c.opening.accept()
		c.opening = nil
	}
	if c.variant.Format == Whole {
		c.head = append(c.head, p...)
		return len(p), nil
	}
	if len(c.head) == 0 {
		return c.stream.Write(p)
	}
	n, err := c.stream.Write(append(c.head, p...))
	taken := min(n, len(c.head))
	if c.head = c.head[taken:]; len(c.head) == 0 {
		c.head = nil
	}
	return n - taken, err
}

// Close implements hub.Conn. A response that has not begun can still be an error.
func (c *conn) Close(rest []byte, d hub.Disconnect) {
	switch {
	case c.left:
		c.stream.Abort()
		return
	case c.opening != nil && c.refuses(statusOf(d.Code)):
		body := errorBody(d.Code, d.Reason)
		c.stream.Finish(c.opening.refuse(statusOf(d.Code), body), transport.Close)
		return
	}
	goodbye := c.variant.Goodbye
	if c.opening != nil {
		c.head = c.opening.accept()
		if c.variant.Refuse {
			goodbye = c.variant.Retry
		}
	}
	last := c.head
	c.head = nil
	last = append(last, rest...)
	if goodbye != nil {
		last = framing{c.variant.Format, c.chunked}.AppendFrame(last, goodbye(nil, d))
	}
	if c.chunked {
		last = append(last, lastChunk...)
	}
	c.stream.Finish(last, transport.Close)
}

// refuses reports whether a response that has not begun becomes an error.
func (c *conn) refuses(status int) bool {
	return c.variant.Refuse && (!c.returns || !isTemporary(status))
}

// Abort implements hub.Conn.
func (c *conn) Abort() { c.stream.Abort() }

// Pause implements hub.Conn. Nothing is read but the end of the client, which
// must be seen.
func (c *conn) Pause() {}

// Resume implements hub.Conn.
func (c *conn) Resume() {}

// Remote implements hub.Conn.
func (c *conn) Remote() string { return c.stream.Remote() }

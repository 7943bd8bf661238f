package websocket

import (
	"errors"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// conn is one WebSocket connection: frames between a stream and a session. It
// lives on its shard's goroutine.
type conn struct {
	handler *Handler
	stream  transport.Stream
	session *hub.Session
	flags   connFlags
	op      byte   // of the message that the session is given
	code    uint16 // of the peer's close frame
	reader  reader
	held    []byte // arrived while the session is paused
}

type connFlags uint8

const (
	deflated   connFlags = 1 << iota // permessage-deflate was agreed on
	paused                           // the session takes no messages
	failed                           // the peer broke the rules; nothing more is read as frames
	closing                          // a close frame is sent or on its way
	peerClosed                       // the peer's close frame has arrived, or its end
	probed                           // a ping frame is not yet answered
	resuming                         // it goes on in a moment
)

var (
	_ hub.Conn           = (*conn)(nil)
	_ hub.Prober         = (*conn)(nil)
	_ hub.Warmer         = (*conn)(nil)
	_ transport.Receiver = (*conn)(nil)
	_ sink               = (*conn)(nil)
)

func (c *conn) is(f connFlags) bool { return c.flags&f != 0 }

// Data implements transport.Receiver.
func (c *conn) Data(p []byte) {
	if c.is(failed | peerClosed) {
		return
	}
	if c.is(paused) {
		c.held = append(c.held, p...)
		return
	}
	rest, err := c.reader.read(p, limits{message: c.handler.cfg.MaxMessage, deflate: c.is(deflated)}, c)
	if err != nil {
		c.fail(err)
		return
	}
	if len(rest) > 0 && !c.is(peerClosed) {
		c.held = append([]byte(nil), rest...)
	}
}

// fail tells the peer which rule it broke; the hub counts the session as ended
// by the connection.
func (c *conn) fail(err error) {
	c.flags |= failed
	f := &failure{closeProtocolError, "protocol error"}
	errors.As(err, &f)
	c.handler.cfg.Log.Debug("websocket failed", "remote", c.Remote(), "code", f.code, "reason", f.reason)
	c.session.Disconnect(hub.Disconnect{Code: uint32(f.code), Reason: f.reason})
}

// message implements sink.
func (c *conn) message(op byte, compressed bool, payload []byte) error {
	c.op = op
	if !compressed {
		c.session.Receive(payload)
		return nil
	}
	return inflate(payload, c.handler.cfg.MaxMessage, op == OpText, func(p []byte) error {
		c.session.Receive(p)
		return nil
	})
}

// stopped implements sink.
func (c *conn) stopped() bool { return c.is(peerClosed) || c.is(paused) && !c.is(closing) }

// controlHead is what a client's control frame has besides its payload (RFC 6455,
// 5.2).
const controlHead = 6

// control implements sink.
func (c *conn) control(op byte, payload []byte) error {
	switch op {
	case opPing:
		if !c.is(closing) && c.session.Heard(controlHead+len(payload)) {
			frame := make([]byte, 0, 2+len(payload))
			c.session.SendFrame(AppendFrame(frame, opPong, payload))
		}
	case opPong:
		if c.is(probed) {
			c.flags &^= probed
			c.session.Pong()
		} else if !c.is(closing) {
			c.session.Heard(controlHead + len(payload))
		}
	case opClose:
		return c.peerClose(payload)
	}
	return nil
}

// Probe implements hub.Prober: every peer answers a ping frame (RFC 6455, 5.5.2).
func (c *conn) Probe() {
	c.flags |= probed
	c.session.SendFrame(AppendFrame(nil, opPing, nil))
}

// peerClose answers the peer's close frame, or takes it as the answer to ours.
func (c *conn) peerClose(payload []byte) error {
	code, err := closeCode(payload)
	if err != nil && !c.is(closing) {
		return err
	}
	c.flags |= peerClosed
	if c.is(closing) {
		c.stream.Finish(nil, transport.Close)
		return nil
	}
	c.code = uint16(code)
	c.session.Disconnect(hub.DisconnectClosed)
	return nil
}

// Ended implements transport.Receiver: what is ready is still sent.
func (c *conn) Ended() {
	c.flags |= peerClosed
	if c.is(closing) {
		c.stream.Finish(nil, transport.Close)
		return
	}
	c.code = closeNormal
	c.session.Disconnect(hub.DisconnectClosed)
}

// Writable implements transport.Receiver.
func (c *conn) Writable() { c.session.Writable() }

// Gone implements transport.Receiver.
func (c *conn) Gone(err error) {
	c.reader, c.held = reader{}, nil
	c.session.Closed(err)
}

// Write implements hub.Conn.
func (c *conn) Write(p []byte) (int, error) { return c.stream.Write(p) }

// Warm implements hub.Warmer.
func (c *conn) Warm() bool { return c.stream.Warm() }

// Close implements hub.Conn: a close frame, then what the state of the
// connection asks for.
func (c *conn) Close(rest []byte, d hub.Disconnect) {
	c.flags |= closing
	code, reason := int(d.Code), d.Reason
	switch {
	case c.code != 0:
		code, reason = int(c.code), ""
	case !validCloseCode(code):
		code = closeNormal
	}
	last := appendClose(append(make([]byte, 0, len(rest)+maxControl+2), rest...), code, reason)
	switch {
	case c.is(peerClosed):
		c.stream.Finish(last, transport.Close)
	case c.is(failed):
		c.stream.Finish(last, transport.HalfClose)
	default:
		c.stream.Finish(last, transport.Await)
		c.goOn() // the answer may wait behind what was held
	}
}

// Abort implements hub.Conn.
func (c *conn) Abort() { c.stream.Abort() }

// Pause implements hub.Conn.
func (c *conn) Pause() {
	c.flags = c.flags&^resuming | paused
	c.stream.Pause()
}

// Resume implements hub.Conn. What was held comes first, but not inside the call
// that resumed.
func (c *conn) Resume() {
	c.flags |= resuming
	c.session.Post(func() {
		if c.is(resuming) { // not paused again meanwhile
			c.goOn()
		}
	})
}

func (c *conn) goOn() {
	c.flags &^= paused | resuming
	if held := c.held; len(held) > 0 {
		c.held = nil
		c.Data(held)
	}
	if !c.is(paused) {
		c.stream.Resume()
	}
}

// Remote implements hub.Conn.
func (c *conn) Remote() string { return c.stream.Remote() }

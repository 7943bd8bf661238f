package centrifuge

import (
	"bytes"

	"github.com/centrifugal/protocol"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// session is what a client's commands are done with: *hub.Session, whose rules
// hold. It is declared in parts, as they are used.
type session interface {
	wire
	identity
	subscriber
	questions
	Publish(p hub.ClientPublish, done func(engine.PublishResult, error))
}

type wire interface {
	Send(payload []byte)
	Disconnect(d hub.Disconnect)
	Alive() bool
	Pong()
}

type identity interface {
	Connect(r hub.ConnectRequest, done func(hub.ConnectResult, error))
	Refresh(token string, done func(hub.ConnectResult, error))
}

type subscriber interface {
	Subscribe(r hub.SubscribeRequest, done func(hub.SubscribeResult, error))
	Unsubscribe(name string)
	SubRefresh(name, token string, done func(expireIn uint32, err error))
}

type questions interface {
	History(name string, q hub.HistoryQuery, done func(engine.HistoryResult, error))
	Presence(name string, done func(engine.Members, error))
	PresenceStats(name string, done func(engine.PresenceStats, error))
}

var _ session = (*hub.Session)(nil)

// stage is how far a client has come.
type stage uint8

const (
	stageNew        stage = iota // connect must come next
	stageConnecting              // waiting for the session; commands are held
	stageLive
	stageFailed // connect was answered with an error
)

// client is what the protocol remembers of one session. Everything runs on the
// session's shard.
type client struct {
	json   *JSON
	s      session
	batch  *buffer // replies to the frame in hand; nil between frames
	held   []byte  // commands that wait for the connect reply
	stage  stage
	pinged bool // a ping is not yet answered
}

// receive does one frame. msg is not kept.
func (c *client) receive(msg []byte) {
	if c.stage == stageConnecting {
		c.hold(msg)
		return
	}
	c.batch = c.json.buffer()
	c.run(msg)
	c.flush()
	c.json.release(c.batch)
	c.batch = nil
}

// run does the commands of a frame in order, until the connection ends or has to
// wait for connect. One newline may end the frame.
func (c *client) run(msg []byte) {
	rest, more := msg, true
	for n := 0; more; n++ {
		var line []byte
		line, rest, more = bytes.Cut(rest, newline)
		more = more && len(rest) > 0
		if n == c.json.cfg.MaxCommands {
			c.refuse(errTooMany)
			return
		}
		var cmd protocol.Command
		method, err := decode(line, c.json.cfg.MaxDepth, &cmd)
		if err == nil {
			err = c.do(method, &cmd)
		}
		switch {
		case err != nil:
			c.refuse(err)
			return
		case !c.s.Alive() || c.stage == stageFailed:
			return
		case c.stage == stageConnecting && more:
			c.hold(rest)
			return
		}
	}
}

var newline = []byte{'\n'}

// hold keeps a copy of commands until connect is answered.
func (c *client) hold(msg []byte) {
	msg = bytes.TrimSuffix(msg, newline)
	switch {
	case len(msg) == 0:
		c.refuse(errNotObject)
	case len(c.held)+len(msg) >= maxHeld:
		c.refuse(errHeldFull)
	default:
		if len(c.held) > 0 {
			c.held = append(c.held, '\n')
		}
		c.held = append(c.held, msg...)
	}
}

// refuse ends the connection of a client that does not keep to the protocol.
func (c *client) refuse(why error) {
	c.json.cfg.Log.Debug("malformed command", "error", why)
	c.disconnect(hub.DisconnectBadRequest)
}

// disconnect ends the connection after what has been answered.
func (c *client) disconnect(d hub.Disconnect) {
	c.held = nil
	c.flush()
	c.s.Disconnect(d)
}

// line is a buffer to append one line to, which sendLine then takes.
func (c *client) line() *buffer {
	if c.batch == nil {
		return c.json.buffer()
	}
	if len(c.batch.b) > 0 {
		c.batch.b = append(c.batch.b, '\n')
	}
	return c.batch
}

// sendLine sends a line at once, unless it leaves with others of its frame.
func (c *client) sendLine(buf *buffer) {
	if buf == c.batch {
		return
	}
	c.s.Send(buf.b)
	c.json.release(buf)
}

func (c *client) flush() {
	if c.batch != nil && len(c.batch.b) > 0 {
		c.s.Send(c.batch.b)
		c.batch.b = c.batch.b[:0]
	}
}

// ping asks the client whether it is there.
func (c *client) ping() {
	c.pinged = true
	buf := c.line()
	buf.b = append(buf.b, "{}"...)
	c.sendLine(buf)
}

// pong takes the answer. One that nobody asked for is malformed, as elsewhere in
// this protocol.
func (c *client) pong() error {
	if !c.pinged {
		return errUnaskedPong
	}
	c.pinged = false
	c.s.Pong()
	c.json.cfg.Count(methodPing, 0)
	return nil
}

// tell pushes what the server did to this session. What a subscription made by
// the server recovered follows it, in the same frame.
func (c *client) tell(n hub.Notice) {
	buf := c.line()
	switch {
	case n.Unsubscribed != nil:
		buf.b = appendUnsubscribePush(buf.b, n.Channel, n.Unsubscribed)
	case n.Subscribed != nil:
		buf.b = appendSubscribePush(buf.b, n.Channel, n.Subscribed)
		for _, pub := range n.Subscribed.Publications {
			buf.b = appendPubPush(append(buf.b, '\n'), n.Channel, pub)
		}
	}
	c.sendLine(buf)
}

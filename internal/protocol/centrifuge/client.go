package centrifuge

import (
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
	RPC(r hub.RPC, done func(hub.RPCResult, error))
	MayCall() error
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
	Emulation() (secret, node string)
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
	proto  *Protocol
	s      session
	batch  *buffer // replies to the frame in hand; nil between frames
	held   []byte  // commands that wait for the connect reply
	stage  stage
	pinged bool // a ping is not yet answered
	heard  *ids // nil unless the session is emulated
}

// receive does one frame. msg is not kept.
func (c *client) receive(msg []byte) {
	if c.stage == stageConnecting {
		c.hold(msg)
		return
	}
	c.batch = c.proto.buffer()
	c.run(msg)
	c.flush()
	c.proto.release(c.batch)
	c.batch = nil
}

// run does the commands of a frame in order, until the connection ends or has to
// wait for connect.
func (c *client) run(msg []byte) {
	rest, more := msg, true
	for n := 0; more; n++ {
		if n == c.proto.cfg.MaxCommands {
			c.refuse(errTooMany)
			return
		}
		var command []byte
		var err error
		if command, rest, more, err = c.proto.codec.next(rest); err == nil {
			err = c.command(command)
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

func (c *client) command(encoded []byte) error {
	cmd := &c.batch.cmd
	*cmd = protocol.Command{}
	method, err := c.proto.codec.decode(encoded, c.proto.cfg.MaxDepth, cmd)
	if err != nil {
		return err
	}
	if c.heard != nil && c.heard.again(cmd.Id) {
		return nil
	}
	return c.do(method, cmd)
}

// hold keeps a copy of commands until connect is answered.
func (c *client) hold(msg []byte) {
	msg = c.proto.codec.trim(msg)
	switch {
	case len(msg) == 0:
		c.refuse(errNothing)
	case len(c.held)+len(msg) >= maxHeld:
		c.refuse(errHeldFull)
	default:
		if len(c.held) > 0 {
			c.held = c.proto.codec.separate(c.held)
		}
		c.held = append(c.held, msg...)
	}
}

// refuse ends the connection of a client that does not keep to the protocol.
func (c *client) refuse(why error) {
	c.proto.cfg.Log.Debug("malformed command", "error", why)
	c.disconnect(hub.DisconnectBadRequest)
}

// disconnect ends the connection after what has been answered.
func (c *client) disconnect(d hub.Disconnect) {
	c.held = nil
	c.flush()
	c.s.Disconnect(d)
}

// line is a buffer to append one message to, which sendLine then takes.
func (c *client) line() *buffer {
	if c.batch == nil {
		return c.proto.buffer()
	}
	if len(c.batch.b) > 0 {
		c.batch.b = c.proto.codec.separate(c.batch.b)
	}
	return c.batch
}

// sendLine sends a message at once, unless it leaves with others of its frame.
func (c *client) sendLine(buf *buffer) {
	if buf == c.batch {
		return
	}
	c.s.Send(buf.b)
	c.proto.release(buf)
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
	buf.b = c.proto.codec.ping(buf.b)
	c.sendLine(buf)
}

// pong takes the answer. One that nobody asked for is malformed, as elsewhere in
// this protocol.
func (c *client) pong() error {
	switch {
	case !c.pinged && c.heard != nil:
		return nil // its request came twice
	case !c.pinged:
		return errUnaskedPong
	}
	c.pinged = false
	c.s.Pong()
	c.proto.cfg.Count(methodPing, 0)
	return nil
}

// tell pushes what the server did to this session.
func (c *client) tell(n hub.Notice) {
	buf := c.line()
	buf.b = c.proto.appendNotice(buf.b, n)
	c.sendLine(buf)
}

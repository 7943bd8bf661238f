package pusher

import (
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/limit"
)

// session is what a client's messages are done with: *hub.Session, whose rules
// hold. It is declared in parts, as they are used.
type session interface {
	wire
	identity
	Subscribe(r hub.SubscribeRequest, done func(hub.SubscribeResult, error))
	Unsubscribe(name string)
	Publish(p hub.ClientPublish, done func(engine.PublishResult, error))
}

type wire interface {
	Send(payload []byte)
	Disconnect(d hub.Disconnect)
	Alive() bool
	Pong()
	Probe() bool
}

type identity interface {
	App() string
	Member(channel string) string
	Connect(r hub.ConnectRequest, done func(hub.ConnectResult, error))
	SignIn(user string, info []byte) error
	Watch(users []string, done func(online []string))
}

var _ session = (*hub.Session)(nil)

// client is what the protocol remembers of one session. Everything runs on the
// session's shard.
type client struct {
	p      *Protocol
	s      session
	app    string // whose key the client has
	socket string
	signed *signed // nil: nobody has signed in
	events limit.Bucket
}

// signed is who has signed in.
type signed struct {
	user string
	info []byte
}

// Names that messages are counted by.
const (
	methodConnect     = "connect"
	methodSubscribe   = "subscribe"
	methodUnsubscribe = "unsubscribe"
	methodPublish     = "publish"
	methodSignin      = "signin"
	methodPing        = "ping"
	methodUnknown     = "unknown"
)

// open greets the client, or says why it is not served.
func (c *client) open(hello Hello) {
	if code, why := c.p.unwelcome(hello, c.s.App()); code != 0 {
		c.refuse(code, why)
		return
	}
	c.app = c.s.App()
	c.s.Connect(hub.ConnectRequest{Vouched: true, Name: hello.Client, Version: hello.Version}, func(res hub.ConnectResult, err error) {
		if err != nil {
			c.p.cfg.Log.Error("connect failed", "error", err)
			c.refuse(CodeOverCapacity, "internal server error")
			return
		}
		c.socket = SocketID(res.Client)
		data := appendQuoted([]byte(`{"socket_id":`), c.socket)
		data = strconv.AppendInt(append(data, `,"activity_timeout":`...), int64(c.p.cfg.ActivityTimeout/time.Second), 10)
		c.s.Send(appendEvent(nil, eventEstablished, "", append(data, '}')))
		c.p.cfg.Count(methodConnect, 0)
	})
}

// unwelcome says why a client is not served by the App of its session; 0: it is. A
// key may have become another App's since the transport asked whose it is: its
// signatures open nothing of the App before.
func (p *Protocol) unwelcome(hello Hello, app string) (code uint32, why string) {
	owner, known := p.cfg.Keys.App(hello.Key)
	version, err := strconv.Atoi(hello.Protocol)
	switch {
	case !known || owner != app:
		return CodeNoApp, "no app has this key"
	case hello.Protocol == "":
		return CodeNoProtocol, "no protocol version is given"
	case err != nil || version < minProtocol || version > maxProtocol:
		return CodeBadProtocol, "this version of the protocol is not served; 7 is"
	case strings.Trim(hello.Version, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+_") != "":
		return CodeBadVersion, "the client's version is no version"
	}
	return 0, ""
}

// refuse ends a connection with a code of the protocol.
func (c *client) refuse(code uint32, why string) {
	c.s.Send(appendError(nil, code, why))
	c.s.Disconnect(hub.Disconnect{Code: code, Reason: why})
	c.p.cfg.Count(methodConnect, code)
}

// fail answers a message with pusher:error and leaves the connection as it is.
func (c *client) fail(method string, code, counted uint32, why string) {
	c.s.Send(appendError(nil, code, why))
	c.p.cfg.Count(method, counted)
}

// The number that bad messages are counted by, that of the Centrifuge protocol.
const badRequest = 107

// receive does one message. msg is not kept.
func (c *client) receive(msg []byte) {
	c.s.Pong()
	m, err := decode(msg)
	if err != nil {
		c.fail(methodUnknown, 0, badRequest, err.Error())
		return
	}
	switch {
	case m.Event == eventSubscribe:
		c.subscribe(m.Data)
	case m.Event == eventUnsubscribe:
		c.unsubscribe(m.Data)
	case m.Event == eventSignin:
		c.signin(m.Data)
	case m.Event == eventPing:
		c.s.Send(appendEvent(nil, eventPong, "", []byte("{}")))
		c.p.cfg.Count(methodPing, 0)
	case m.Event == eventPong:
	case strings.HasPrefix(m.Event, clientPrefix):
		c.clientEvent(&m)
	default:
		c.fail(methodUnknown, 0, badRequest, "events of clients begin with client-")
	}
}

// ping asks whether the client is there: the transport where it can, since not
// every SDK answers an event.
func (c *client) ping() {
	if !c.s.Probe() {
		c.s.Send(appendEvent(nil, eventPing, "", []byte("{}")))
	}
}

// tell passes on what the server did to this session.
func (c *client) tell(n hub.Notice) {
	const askAgain = 2500 // and above: the client is to subscribe again
	switch {
	case n.Subscribed != nil:
		c.succeeded(n.Channel, n.Subscribed)
	case n.Unsubscribed == nil:
	case n.Unsubscribed.Code >= askAgain: // which clients do when they are back
		c.s.Disconnect(hub.DisconnectInsufficientState)
	default:
		c.s.Send(appendRefusal(nil, n.Channel, refusal{kind: "Unsubscribed", text: n.Unsubscribed.Reason, status: 410}))
	}
}

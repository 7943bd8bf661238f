package plain

import (
	"strconv"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Poll is the protocol as one reply; it implements hub.Protocol. Its one message
// is the body of the response.
type Poll struct{}

var (
	_ hub.Protocol = Poll{}
	_ hub.Personal = Poll{}
)

// poll is what the protocol remembers of one session.
type poll struct {
	client
	messages  []byte      // separated by commas
	held      []hub.Event // came before every subscription was answered
	due       bool        // wait is over
	scheduled bool        // a reply follows this turn
}

// Name implements hub.Protocol.
func (Poll) Name() string { return "plain-poll" }

// Open implements hub.Protocol. The session's State is a *Request.
func (Poll) Open(s *hub.Session) {
	c := &poll{client: client{s: s, req: requestOf(s), quiet: true}}
	s.State = c
	c.ready = c.begin
	c.open(hub.ConnectRequest{Name: "poll", PingIn: max(c.req.Wait, time.Millisecond)})
}

// pollOf is what Open made.
func pollOf(s *hub.Session) *poll {
	c, _ := s.State.(*poll)
	return c
}

// Receive implements hub.Protocol: there is nothing to receive.
func (Poll) Receive(*hub.Session, []byte) {}

// Ping implements hub.Protocol: wait is over.
func (Poll) Ping(s *hub.Session) {
	c := pollOf(s)
	c.due = true
	if !c.opening() {
		c.reply()
	}
}

// Append implements hub.Protocol; nobody is sent it.
func (Poll) Append(dst []byte, _ *hub.Event) []byte { return dst }

// Shared implements hub.Personal.
func (Poll) Shared(*hub.Session) bool { return false }

// AppendFor implements hub.Personal: what comes is kept for the reply.
func (Poll) AppendFor(dst []byte, s *hub.Session, e *hub.Event) []byte {
	if e.Kind != hub.EventPublication || !s.Alive() {
		return dst
	}
	c := pollOf(s)
	switch {
	case !c.opening():
		c.add(e.Channel, e.Epoch, e.Publication)
	case len(c.held) == maxHeld:
		s.Disconnect(hub.DisconnectSlow)
	default:
		c.held = append(c.held, *e)
	}
	return dst
}

// begin replies at once where there is something to say.
func (c *poll) begin() {
	say := c.due || c.req.Wait == 0
	for i := range c.results {
		res := &c.results[i]
		say = say || res.WasRecovering && !res.Recovered
		for _, pub := range res.Publications {
			c.add(res.Channel, res.Position.Epoch, pub)
		}
	}
	for i := range c.held { // after what was recovered before it
		c.add(c.held[i].Channel, c.held[i].Epoch, c.held[i].Publication)
	}
	c.held = nil
	if say || len(c.messages) > 0 {
		c.reply()
	}
}

// add takes a message. The reply follows when the turn's other messages are there
// too; what does not fit comes with the next poll, from its position on.
func (c *poll) add(name, epoch string, pub *engine.Publication) {
	if len(c.messages) > maxReply {
		return
	}
	if len(c.messages) > 0 {
		c.messages = append(c.messages, ',')
	}
	c.messages = appendMessage(c.messages, name, pub)
	c.saw(name, epoch, pub)
	if !c.opening() && !c.scheduled {
		c.scheduled = true
		c.s.Post(c.reply)
	}
}

func (c *poll) reply() {
	if !c.s.Alive() {
		return
	}
	b := append(make([]byte, 0, len(c.messages)+256), `{"messages":[`...)
	b = append(append(b, c.messages...), `],"position":"`...)
	b = append(appendPositions(b, c.places), '"')
	head := `,"recovered":{`
	for i := range c.results {
		if res := &c.results[i]; res.WasRecovering {
			b = appendJSON(append(b, head...), res.Channel)
			b = strconv.AppendBool(append(b, ':'), res.Recovered)
			head = ","
		}
	}
	if head == "," {
		b = append(b, '}')
	}
	c.s.Send(append(b, "}\n"...))
	c.s.Disconnect(hub.DisconnectClosed)
}

// Tell implements hub.Protocol: the client has to ask again, and will be told
// then what it may.
func (Poll) Tell(s *hub.Session, n hub.Notice) {
	c := pollOf(s)
	switch {
	case n.Unsubscribed != nil && c.opening():
		s.Disconnect(refusal(hub.ErrPermissionDenied, n.Channel))
	case n.Unsubscribed != nil:
		c.reply()
	case n.Subscribed != nil:
		c.results = append(c.results, *n.Subscribed)
		if !c.opening() {
			c.stand(n.Subscribed)
		}
	}
}

package plain

import (
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Stream is the protocol as Server-Sent Events; it implements hub.Protocol. Its
// messages are whole events.
type Stream struct{}

var (
	_ hub.Protocol = Stream{}
	_ hub.Personal = Stream{}
)

// stream is what the protocol remembers of one session.
type stream struct {
	client
	held []hub.Event // came before all channels were subscribed to
	live bool
}

// Name implements hub.Protocol.
func (Stream) Name() string { return "plain-sse" }

// Open implements hub.Protocol. The session's State is a *Request.
func (Stream) Open(s *hub.Session) {
	c := &stream{client: client{s: s, req: requestOf(s)}}
	s.State = c
	c.ready = c.begin
	c.open(hub.ConnectRequest{Name: "sse"})
}

// streamOf is what Open made.
func streamOf(s *hub.Session) *stream {
	c, _ := s.State.(*stream)
	return c
}

// Receive implements hub.Protocol: there is nothing to receive.
func (Stream) Receive(*hub.Session, []byte) {}

// Ping implements hub.Protocol: a comment, for whoever takes silence for the end.
func (Stream) Ping(s *hub.Session) {
	if streamOf(s).live { // a response that has not begun can still become an error
		s.Send([]byte(":\n\n"))
	}
}

// Append implements hub.Protocol. Its id is all there is to say for those who
// listen to one channel only.
func (Stream) Append(dst []byte, e *hub.Event) []byte {
	var id []byte
	if e.Publication != nil && e.Publication.Offset > 0 {
		id = appendPosition(nil, e.Channel, engine.Position{Epoch: e.Epoch, Offset: e.Publication.Offset})
	}
	return appendHubEvent(dst, e, id)
}

// Shared implements hub.Personal.
func (Stream) Shared(s *hub.Session) bool {
	c := streamOf(s)
	return c.live && len(c.places) <= 1 && len(c.results) == 1
}

// AppendFor implements hub.Personal: with several channels every id carries the
// positions of all of them.
func (Stream) AppendFor(dst []byte, s *hub.Session, e *hub.Event) []byte {
	c := streamOf(s)
	if c.live {
		return c.append(dst, e)
	}
	if len(c.held) == maxHeld {
		s.Disconnect(hub.DisconnectSlow)
		return dst
	}
	c.held = append(c.held, *e)
	return dst
}

func (c *stream) append(dst []byte, e *hub.Event) []byte {
	if e.Publication == nil || e.Publication.Offset == 0 {
		return appendHubEvent(dst, e, nil)
	}
	c.saw(e.Channel, e.Epoch, e.Publication)
	return appendHubEvent(dst, e, c.id())
}

func (c *stream) id() []byte { return appendPositions(nil, c.places) }

// begin starts the response: subscriptions, what they recovered, what came
// meanwhile.
func (c *stream) begin() {
	b := appendRetry(nil)
	if c.req.Padding {
		b = append(b, ':')
		for range paddingSize {
			b = append(b, ' ')
		}
		b = append(b, "\n\n"...)
	}
	for i := range c.results {
		b = c.appendSubscribed(b, &c.results[i])
	}
	for i := range c.results {
		b = c.appendRecovered(b, &c.results[i])
		c.results[i].Publications = nil
	}
	for i := range c.held {
		b = c.append(b, &c.held[i])
	}
	c.held, c.req, c.live = nil, nil, true
	c.s.Send(b)
}

func (c *stream) appendSubscribed(b []byte, res *hub.SubscribeResult) []byte {
	return appendEvent(b, "subscribed", c.id(), func(b []byte) []byte { return appendJSON(b, subscribedOf(res)) })
}

func (c *stream) appendRecovered(b []byte, res *hub.SubscribeResult) []byte {
	for _, pub := range res.Publications {
		b = c.append(b, &hub.Event{Kind: hub.EventPublication, Channel: res.Channel, Epoch: res.Position.Epoch, Publication: pub})
	}
	return b
}

// Tell implements hub.Protocol. A channel that a backend adds is there until the
// stream ends, and resumed if the next one has it too.
func (Stream) Tell(s *hub.Session, n hub.Notice) {
	c := streamOf(s)
	switch {
	case n.Unsubscribed != nil && n.Unsubscribed.Code >= hub.UnsubscribeInsufficientState.Code:
		s.Disconnect(hub.DisconnectInsufficientState) // an EventSource comes back with its position
	case n.Unsubscribed != nil:
		c.unsubscribed(n.Channel, n.Unsubscribed)
	case n.Subscribed != nil:
		c.added(n.Subscribed)
	}
}

func (c *stream) unsubscribed(name string, why *hub.Unsubscribe) {
	if !c.live {
		c.s.Disconnect(refusal(hub.ErrPermissionDenied, name))
		return
	}
	c.left(name)
	type ending struct {
		Channel string `json:"channel"`
		Code    uint32 `json:"code"`
		Reason  string `json:"reason"`
	}
	c.s.Send(appendEvent(nil, "unsubscribed", c.id(), func(b []byte) []byte {
		return appendJSON(b, ending{name, why.Code, why.Reason})
	}))
}

func (c *stream) added(res *hub.SubscribeResult) {
	if !c.live { // it is one more to begin with
		c.results = append(c.results, *res)
		return
	}
	c.results = append(c.results, hub.SubscribeResult{Channel: res.Channel})
	if c.stand(res); sizeOf(c.places) > MaxPositions {
		c.left(res.Channel) // it cannot be resumed
	}
	c.s.Send(c.appendRecovered(c.appendSubscribed(nil, res), res))
}

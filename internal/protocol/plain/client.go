package plain

import (
	"slices"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// client is what streams and polls have in common: a session subscribes to all
// channels of its request before it says anything. Everything runs on its shard.
type client struct {
	s       *hub.Session
	req     *Request
	quiet   bool // nobody is told that it comes and goes
	results []hub.SubscribeResult
	missing int     // subscribes that are not answered
	places  []place // where the client stands in channels with recovery
	ready   func()  // called when all are answered
}

// requestOf is what a session's transport handed over.
func requestOf(s *hub.Session) *Request {
	r, _ := s.State.(*Request)
	return r
}

// open connects and subscribes.
func (c *client) open(r hub.ConnectRequest) {
	r.Token, r.OneWay = c.req.Token, true
	r.Subs = make(map[string]hub.SubscribeRequest, len(c.req.Since))
	for name := range c.req.Since { // of use for those that the token brings
		r.Subs[name] = c.wish(name)
	}
	c.missing = 1 // connect itself
	c.s.Connect(r, func(res hub.ConnectResult, err error) {
		if err != nil {
			c.s.Disconnect(refusal(err, ""))
			return
		}
		c.results = res.Subs
		c.subscribe()
	})
}

func (c *client) wish(name string) hub.SubscribeRequest {
	since, returning := c.req.Since[name]
	return hub.SubscribeRequest{
		Channel: name, Recover: returning, Since: since, Positioned: true, Recoverable: true, Quiet: c.quiet,
	}
}

// subscribe asks for what the token has not brought.
func (c *client) subscribe() {
	asked := make([]string, 0, len(c.req.Channels))
	for _, name := range c.req.Channels {
		if !slices.ContainsFunc(c.results, func(r hub.SubscribeResult) bool { return r.Channel == name }) {
			asked = append(asked, name)
		}
	}
	if len(asked)+len(c.results) == 0 {
		c.s.Disconnect(noChannels)
		return
	}
	brought := len(c.results)
	c.results = append(c.results, make([]hub.SubscribeResult, len(asked))...)
	c.missing += len(asked)
	for i, name := range asked {
		c.s.Subscribe(c.wish(name), func(res hub.SubscribeResult, err error) {
			if err != nil {
				c.s.Disconnect(refusal(err, name))
				return
			}
			c.results[brought+i] = res
			c.answered()
		})
		if !c.s.Alive() {
			return
		}
	}
	c.answered()
}

// answered counts one answer. When it is the last, the client stands where it
// stood before, or, where that is not recovered, where the channels are now.
func (c *client) answered() {
	if c.missing--; c.missing > 0 {
		return
	}
	for i := range c.results {
		c.stand(&c.results[i])
	}
	if sizeOf(c.places) > MaxPositions {
		c.s.Disconnect(tooManyPositions)
		return
	}
	c.ready()
}

func (c *client) opening() bool { return c.missing > 0 }

// stand notes where a new subscription starts.
func (c *client) stand(res *hub.SubscribeResult) {
	if !res.Recoverable {
		return
	}
	at := res.Position
	if res.Recovered {
		at.Offset = res.Since
	}
	c.places = append(c.places, place{res.Channel, at})
}

// saw notes that the client is given a publication.
func (c *client) saw(name, epoch string, pub *engine.Publication) {
	if pub.Offset == 0 {
		return
	}
	for i := range c.places {
		if c.places[i].channel == name {
			c.places[i].Position = engine.Position{Epoch: epoch, Offset: pub.Offset}
		}
	}
}

// left forgets a channel whose subscription has ended.
func (c *client) left(name string) {
	for i := range c.places {
		if c.places[i].channel == name {
			c.places = append(c.places[:i], c.places[i+1:]...)
			return
		}
	}
}

package plain

import (
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

// open connects and subscribes.
func (c *client) open(r hub.ConnectRequest) {
	r.Token, r.OneWay = c.req.Token, true
	c.results = make([]hub.SubscribeResult, len(c.req.Channels))
	c.missing = len(c.req.Channels)
	c.s.Connect(r, func(_ hub.ConnectResult, err error) {
		if err != nil {
			c.s.Disconnect(refusal(err, ""))
			return
		}
		c.subscribe()
	})
}

func (c *client) subscribe() {
	for i, name := range c.req.Channels {
		since, returning := c.req.Since[name]
		c.s.Subscribe(hub.SubscribeRequest{
			Channel: name, Recover: returning, Since: since, Positioned: true, Recoverable: true, Quiet: c.quiet,
		}, func(res hub.SubscribeResult, err error) {
			if err != nil {
				c.s.Disconnect(refusal(err, name))
				return
			}
			c.results[i] = res
			c.answered()
		})
		if !c.s.Alive() {
			return
		}
	}
}

// answered counts one subscribe. When it is the last, the client stands where it
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

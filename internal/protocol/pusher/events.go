package pusher

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// clientEvent publishes to the others on a channel.
func (c *client) clientEvent(m *message) {
	if why := c.mayNot(m); why != "" {
		c.fail(methodPublish, 0, badRequest, why)
		return
	}
	if _, ok := c.events.Take(c.p.cfg.Now().Sub(c.p.started), 1, c.p.rate); !ok {
		c.tooFast()
		return
	}
	name, event, data := m.Channel, m.Event, clientData(m.Data)
	c.s.Publish(hub.ClientPublish{Channel: name, Data: data, Event: event, ToOthers: true},
		func(_ engine.PublishResult, err error) {
			if err != nil {
				c.notPublished(name, err)
				return
			}
			c.p.cfg.Tell.ClientEvent(channel.ID{App: c.app, Name: name}, event, data, c.socket, c.memberOf(name))
			c.p.cfg.Count(methodPublish, 0)
		})
}

// mayNot says what of a client event breaks the protocol's rules; "": nothing.
func (c *client) mayNot(m *message) string {
	kind := channel.KindOf(m.Channel)
	switch {
	case CheckChannel(m.Channel) != nil:
		return ErrBadChannel.Error()
	case !kind.Has(channel.KindGuarded):
		return "client events are for private and presence channels"
	case kind.Has(channel.KindEncrypted):
		return "there are no client events on encrypted channels"
	case !c.p.cfg.ClientEvents:
		return "client events are off; the setting pusher.client_events allows them"
	case len(m.Event) > MaxEventName:
		return "the event's name is too long"
	case len(m.Data) > c.p.cfg.MaxData:
		return "the event's data is too large"
	}
	return ""
}

// clientData is a copy of an event's data as a publication's; text that holds
// JSON is that JSON, as it is when a backend triggers it.
func clientData(raw json.RawMessage) []byte {
	var text string
	switch {
	case len(raw) == 0:
		return []byte("null")
	case raw[0] == '"' && json.Unmarshal(raw, &text) == nil:
		return Data(text)
	}
	return oneLine(bytes.Clone(raw))
}

// tooFast refuses a client event for the rate of the protocol's own or one of the
// hub's.
func (c *client) tooFast() {
	c.fail(methodPublish, CodeClientEventRate, CodeClientEventRate, "client events come too fast")
}

func (c *client) notPublished(name string, err error) {
	if errors.Is(err, hub.ErrTooManyRequests) {
		c.tooFast()
		return
	}
	why, known := refusalOf(err)
	switch {
	case !known:
		c.p.cfg.Log.Error("client event failed", "channel", name, "error", err)
	case errors.Is(err, hub.ErrPermissionDenied):
		why.text = "client events are for a channel's subscribers"
	}
	c.fail(methodPublish, 0, why.code, why.text)
}

// memberOf is the user's id that a webhook tells of.
func (c *client) memberOf(name string) string {
	if !channel.KindOf(name).Has(channel.KindPresence) {
		return ""
	}
	return c.s.Member(name)
}

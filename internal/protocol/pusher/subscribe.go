package pusher

import (
	"encoding/json"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// subscription is the data of pusher:subscribe.
type subscription struct {
	Channel     string  `json:"channel"`
	Auth        string  `json:"auth"`
	ChannelData *string `json:"channel_data"`
}

func (c *client) subscribe(data json.RawMessage) {
	var r subscription
	if decodeData(data, &r) != nil {
		c.fail(methodSubscribe, 0, badRequest, "pusher:subscribe needs data with a channel")
		return
	}
	if CheckChannel(r.Channel) != nil {
		c.notSubscribed(r.Channel, refuseName)
		return
	}
	kind := channel.KindOf(r.Channel)
	req := hub.SubscribeRequest{
		Channel: r.Channel, Live: true,
		Latest: kind.Has(channel.KindCache),
		Count:  c.p.cfg.SubscriptionCount && !kind.Has(channel.KindPresence),
	}
	if kind.Has(channel.KindPresence) {
		req.Members, req.MaxMembers, req.JoinLeave, req.Users = true, MaxMembers, true, true
	}
	if kind.Has(channel.KindGuarded) {
		grant, refused := c.grant(&r, kind)
		if refused != nil {
			c.notSubscribed(r.Channel, *refused)
			return
		}
		req.Grant = grant
	}
	c.s.Subscribe(req, func(res hub.SubscribeResult, err error) {
		if err != nil {
			why, known := refusalOf(err)
			if !known {
				c.p.cfg.Log.Error("subscribe failed", "channel", r.Channel, "error", err)
			}
			c.notSubscribed(r.Channel, why)
			return
		}
		c.succeeded(r.Channel, &res)
		c.p.cfg.Count(methodSubscribe, 0)
	})
}

// notSubscribed answers a subscribe that is refused. name is cut where it is no
// name.
func (c *client) notSubscribed(name string, why refusal) {
	c.s.Send(appendRefusal(nil, name[:min(len(name), channel.MaxNameLength)], why))
	c.p.cfg.Count(methodSubscribe, why.code)
}

// grant reads what the client's backend has signed.
func (c *client) grant(r *subscription, kind channel.Kind) (*channel.SubscriptionGrant, *refusal) {
	text := c.socket + ":" + r.Channel
	if r.ChannelData != nil {
		text += ":" + *r.ChannelData
	}
	if !c.authorized(r.Auth, text) {
		return nil, &refuseSignature
	}
	g := &channel.SubscriptionGrant{Channel: r.Channel}
	if c.signed != nil {
		g.User = c.signed.user
	}
	if c.p.cfg.ClientEvents && !kind.Has(channel.KindEncrypted) {
		g.Ops = channel.Publish
	}
	if !kind.Has(channel.KindPresence) {
		return g, nil
	}
	return g, c.member(r, g)
}

// member puts into a grant who the client is on a presence channel: as its
// backend says, or as it has signed in.
func (c *client) member(r *subscription, g *channel.SubscriptionGrant) *refusal {
	switch {
	case r.ChannelData != nil:
		var m member
		if len(*r.ChannelData) > MaxMemberData || json.Unmarshal([]byte(*r.ChannelData), &m) != nil || !m.UserID.valid() {
			return &refuseData
		}
		g.Member, g.Info = string(m.UserID), info(m.UserInfo)
	case c.signed != nil:
		g.Member, g.Info = c.signed.user, c.signed.info
	default:
		return &refuseNoMember
	}
	return nil
}

// succeeded tells the client that it is subscribed, and what a cache channel
// keeps.
func (c *client) succeeded(name string, res *hub.SubscribeResult) {
	c.s.Send(appendSucceeded(nil, name, res.Members))
	if !channel.KindOf(name).Has(channel.KindCache) {
		return
	}
	if len(res.Publications) == 0 {
		c.s.Send(appendEvent(nil, eventCacheMiss, name, []byte("{}")))
		c.p.cfg.Tell.CacheMiss(channel.ID{App: c.app, Name: name})
		return
	}
	c.s.Send(appendPublication(nil, name, res.Publications[len(res.Publications)-1]))
}

func (c *client) unsubscribe(data json.RawMessage) {
	var r subscription
	if decodeData(data, &r) != nil || r.Channel == "" {
		c.fail(methodUnsubscribe, 0, badRequest, "pusher:unsubscribe needs data with a channel")
		return
	}
	c.s.Unsubscribe(r.Channel)
	c.p.cfg.Count(methodUnsubscribe, 0)
}

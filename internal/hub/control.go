package hub

import (
	"slices"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// Control implements engine.Follower: what a backend, on any node, wants done to
// the sessions of a user.
func (h *Hub) Control(c engine.Control) {
	switch c.Op {
	case engine.ControlRelay:
		if r := h.relayed(); r != nil {
			r.Take(c.Data)
		}
		return
	case engine.ControlReceive:
		h.emulate(c.Client, c.Data, func(struct{}, error) {}) // who asked is on another node
		return
	}
	if c.User == "" { // a session id alone may be anywhere
		for _, sh := range h.shards {
			sh.Post(func() {
				for _, s := range slices.Clone(sh.sessions) {
					if s.connected && !s.ended && s.identity.App == c.App {
						s.control(&c)
					}
				}
			})
		}
		return
	}
	for _, s := range h.users.sessions(c.App, c.User) {
		s.shard.Post(func() {
			if !s.ended {
				s.control(&c)
			}
		})
	}
}

func (s *Session) control(c *engine.Control) {
	id := s.ID()
	if c.Client != "" && id != c.Client || slices.Contains(c.Except, id) {
		return
	}
	if s.later(c) {
		return
	}
	switch c.Op {
	case engine.ControlDisconnect:
		s.Disconnect(Disconnect{Code: c.Code, Reason: c.Reason})
	case engine.ControlUnsubscribe:
		s.serverUnsubscribe(c)
	case engine.ControlSubscribe:
		s.serverSubscribe(c)
	}
}

// serverUnsubscribe ends one subscription, or all of them.
func (s *Session) serverUnsubscribe(c *engine.Control) {
	for _, sub := range slices.Clone(s.subs) {
		if !s.ended && (c.Channel == "" || sub.topic.id.Name == c.Channel) {
			s.dropSubscription(sub, UnsubscribeServer)
		}
	}
}

// serverSubscribe subscribes the session without asking for permission: the
// backend has decided. A session that is subscribed stays as it is.
func (s *Session) serverSubscribe(c *engine.Control) {
	opts, err := s.tenant.resolve(c.Channel)
	if err != nil || s.find(c.Channel) != nil {
		return
	}
	if len(s.subs) >= s.shard.hub.cfg.MaxChannels {
		s.shard.hub.count.subscriptions.Inc()
		s.Disconnect(DisconnectChannelLimit)
		return
	}
	r := SubscribeRequest{Channel: c.Channel, Positioned: true, Recoverable: true, JoinLeave: true, override: c.Options.Override}
	if c.Options.Recover != nil {
		r.Recover, r.Since = true, *c.Options.Recover
	}
	sub := &subscription{options: opts, flags: subscribeFlags(opts, &r) | flagServer, expireAt: c.Options.ExpireAt * 1000}
	sub.setInfo(s, c.Options.Info)
	s.register(sub, c.Channel, &r, func(res SubscribeResult, err error) {
		if err != nil {
			s.shard.hub.log.Warn("server-side subscribe failed", "channel", c.Channel, "error", err)
			return
		}
		res.Data = c.Options.Data
		s.enc.Protocol.Tell(s, Notice{Channel: c.Channel, Subscribed: &res})
	})
}

package client

import (
	"context"
	"fmt"
	"time"
)

// firstResubscribe is the first code of an unsubscribe push after which the
// client subscribes again.
const firstResubscribe = 2500

// subscription is what is known of a channel; it outlives connections.
type subscription struct {
	name    string
	token   string
	pos     Position
	began   bool // there is something to come back to
	recover bool // pos can be come back to
	live    bool // subscribed on this connection
	delay   backoff
}

func newSubscription(c Channel, delay backoff) *subscription {
	sub := &subscription{name: c.Name, token: c.Token, delay: delay}
	if c.Since != nil {
		sub.pos, sub.began, sub.recover = *c.Since, true, true
	}
	return sub
}

// command asks from where the subscription stands.
func (sub *subscription) command() *subscribeCommand {
	c := &subscribeCommand{Channel: sub.name, Token: sub.token, Positioned: true, Recoverable: true}
	if sub.recover {
		c.Recover, c.Epoch, c.Offset = true, sub.pos.Epoch, sub.pos.Offset
	}
	return c
}

// subscribed takes the reply. What it brings is shown after it.
func (c *connection) subscribed(sub *subscription, r *subscribeReply) {
	told := Subscribed{
		Recoverable: r.Recoverable, Recovered: r.Recovered, Lost: sub.began && !r.Recovered,
	}
	told.Position = Position{Epoch: r.Epoch, Offset: r.Offset}
	if r.Recovered && sub.recover && r.Epoch == sub.pos.Epoch {
		// Some servers answer with the channel's top: what follows leads there.
		told.Offset = sub.pos.Offset
	}
	sub.began, sub.recover, sub.live = true, r.Recoverable, true
	sub.pos = told.Position
	sub.delay.attempt = 0
	c.cfg.OnSubscribed(sub.name, told)
	for i := range r.Publications {
		// The first may be the latest one only: a channel can recover by its cache.
		p := &r.Publications[i]
		if p.Offset > 0 {
			sub.pos.Offset = p.Offset
		}
		c.cfg.OnPublication(sub.name, p)
	}
}

// published takes a live publication. A gap that the server did not tell of ends
// the connection, and the next one recovers.
func (c *connection) published(sub *subscription, p *Publication) error {
	if p.Offset > 0 && sub.recover {
		switch last := sub.pos.Offset; {
		case p.Offset <= last:
			return nil
		case p.Offset > last+1:
			return fmt.Errorf("channel %s: offset %d came after %d", sub.name, p.Offset, last)
		}
		sub.pos.Offset = p.Offset
	}
	c.cfg.OnPublication(sub.name, p)
	return nil
}

// refused takes an error reply: it is final, or the subscription is tried again
// on this connection, which others share.
func (c *connection) refused(ctx context.Context, sub *subscription, e *apiError) error {
	if e.Code == CodeTokenExpired && c.cfg.Refresh != nil {
		token, err := c.cfg.Refresh(ctx, sub.name)
		if err == nil {
			sub.token = token
		}
	} else if !e.Temporary {
		return &SubscribeError{sub.name, e.error(0)}
	}
	c.later(sub)
	return nil
}

// unsubscribed takes the server's ending of a subscription.
func (c *connection) unsubscribed(sub *subscription, u *unsubscribePush) error {
	sub.live = false
	if u.Code < firstResubscribe {
		return &SubscribeError{sub.name, &Error{Code: u.Code, Message: u.Reason}}
	}
	c.later(sub)
	return nil
}

// later subscribes again after a while.
func (c *connection) later(sub *subscription) {
	at := time.Now().Add(sub.delay.next())
	c.waiting = append(c.waiting, waiting{sub, at})
}

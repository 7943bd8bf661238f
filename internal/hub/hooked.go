package hub

import (
	"errors"
	"math/rand/v2"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file is what clients do and a backend's hook decides, and what expires and a
// backend prolongs.

// askSubscribe has the backend decide, and admits the subscription. A client that
// unsubscribes meanwhile is not answered.
func (s *Session) askSubscribe(r *SubscribeRequest, then func(*subscription, error)) {
	b, h := s.backing(), s.shard.hub
	switch {
	case b.subscribing[r.Channel] != nil:
		then(nil, ErrAlreadySubscribed)
		return
	case len(s.subs)+len(b.subscribing) >= h.cfg.MaxChannels:
		h.count.subscriptions.Inc()
		then(nil, ErrLimitExceeded)
		return
	case b.subscribing == nil:
		b.subscribing = make(map[string]*SubscribeRequest)
	}
	b.subscribing[r.Channel] = r
	q := s.question(HookSubscribe)
	q.Backend = s.tenant.proxies(r.Channel).SubscribeProxyName
	q.Channel, q.Data, q.Binary = r.Channel, r.Data, r.Binary
	s.ask(q, func(a Answer, err error) {
		if b.subscribing[r.Channel] != r {
			return
		}
		delete(b.subscribing, r.Channel)
		if err = s.said(&a, err); err != nil {
			s.refused(channel.Subscribe, r.Channel, err)
			then(nil, err)
			return
		}
		r.verdict, r.override, r.reply = channel.Consented, a.Override, a.Data
		sub, err := s.admit(r)
		if err == nil {
			sub.setInfo(s, a.Info)
			sub.expireAt = unixMilli(a.ExpireAt)
			sub.flags |= flagHooked
		}
		then(sub, err)
	})
}

// proxies are the options that name who is asked about a channel.
func (t *tenant) proxies(name string) *channel.Options {
	opts, err := t.resolve(name)
	if err != nil {
		return &channel.Options{} // it was another while it was decided that somebody is asked
	}
	return opts
}

// refused tells the operator which rule refused. Of a backend that has not answered
// who asked it has told.
func (s *Session) refused(op channel.Op, name string, why error) {
	if errors.Is(why, ErrNoAnswer) {
		return
	}
	if opts, err := s.tenant.resolve(name); err == nil {
		_ = s.decide(op, name, opts, nil, channel.Refused) // that it refuses is known
	}
}

// heldPublish is a publication that the backend is asked about. Those of one
// channel are published in the order in which they came, whatever the order of the
// answers: each waits for those before it, all of which were asked before.
type heldPublish struct{ publish func() } // nil until answered

// askPublish has the backend decide on a publication, and change it.
func (s *Session) askPublish(p ClientPublish, done func(engine.PublishResult, error)) {
	b := s.backing()
	if b.publishing == nil {
		b.publishing = make(map[string][]*heldPublish)
	}
	held := &heldPublish{}
	b.publishing[p.Channel] = append(b.publishing[p.Channel], held)
	q := s.question(HookPublish)
	q.Backend = s.tenant.proxies(p.Channel).PublishProxyName
	q.Channel, q.Data, q.Binary = p.Channel, p.Data, p.Binary
	s.ask(q, func(a Answer, err error) {
		held.publish = func() { s.publishAnswered(p, &a, err, done) }
		b.publishInOrder(s, p.Channel)
	})
}

func (b *backing) publishInOrder(s *Session, name string) {
	for line := b.publishing[name]; len(line) > 0 && line[0].publish != nil && !s.ended; line = b.publishing[name] {
		if b.publishing[name] = line[1:]; len(line) == 1 {
			delete(b.publishing, name)
		}
		line[0].publish()
	}
}

func (s *Session) publishAnswered(p ClientPublish, a *Answer, err error, done func(engine.PublishResult, error)) {
	var opts *channel.Options
	if err != nil {
		s.refused(channel.Publish, p.Channel, err)
	} else {
		opts, err = s.permitted(channel.Publish, p.Channel, channel.Consented)
	}
	if err != nil {
		s.shard.hub.count.publishedByClient.count(engine.PublishResult{}, err)
		done(engine.PublishResult{}, err)
		return
	}
	if a.Data != nil {
		p.Data, p.Binary = a.Data, a.Binary
	}
	if a.Tags != nil {
		p.Tags = a.Tags
	}
	p.skipHistory, p.idempotencyKey = a.SkipHistory, a.IdempotencyKey
	s.hand(&p, opts, done)
}

// RPC is a question of a client to its backend.
type RPC struct {
	Method string
	Data   []byte
	Binary bool // Data is not JSON
}

// RPCResult answers it.
type RPCResult struct {
	Data   []byte
	Binary bool
}

// RPC asks the backend. Errors: ErrNotAvailable (there is no rpc hook),
// *BackendError, ErrNoAnswer.
func (s *Session) RPC(r RPC, done func(RPCResult, error)) {
	if !s.shard.hub.asked.rpc {
		done(RPCResult{}, ErrNotAvailable)
		return
	}
	q := s.question(HookRPC)
	q.Method, q.Data, q.Binary = r.Method, r.Data, r.Binary
	s.ask(q, func(a Answer, err error) { done(RPCResult{a.Data, a.Binary}, err) })
}

// refreshRetry is how long after a refresh without an answer, in milliseconds, the
// backend is asked again at the latest, sessions not all at once; what has expired lives on for expiredGrace meanwhile. What
// a hook has allowed and nobody can prolong ends when it expires.
const refreshRetry = 5000

func (b *backing) retryAfter(now int64) {
	b.retryAt = now + refreshRetry/2 + rand.Int64N(refreshRetry/2)
}

// prolonged reports whether the backend, and not the client, is asked when the
// session expires, or nobody.
func (s *Session) prolonged() bool { return s.is(vouched) || s.shard.hub.asked.refresh }

// refreshAt is when the backend is asked whether the session goes on; 0: not.
func (s *Session) refreshAt() int64 {
	if s.expireAt == 0 || !s.connected || !s.shard.hub.asked.refresh {
		return 0
	}
	b := s.shard.backings[s]
	switch {
	case b == nil:
		return s.expireAt
	case b.refreshing:
		return 0
	}
	return max(s.expireAt, b.retryAt)
}

// prolonged is the same for a subscription.
func (sub *subscription) prolonged() bool {
	return sub.flags&flagHooked != 0 || sub.isAskedAbout()
}

// isAskedAbout reports whether the backend may prolong the subscription.
func (sub *subscription) isAskedAbout() bool {
	return sub.options.SubRefreshProxyEnabled && sub.session.shard.hub.asked.subRefresh
}

func (sub *subscription) refreshAt() int64 {
	s := sub.session
	if sub.expireAt == 0 || sub.flags&flagAsking != 0 || !sub.isAskedAbout() {
		return 0
	}
	if b := s.shard.backings[s]; b != nil {
		return max(sub.expireAt, b.retryAt)
	}
	return sub.expireAt
}

// refreshDue asks about what expires now.
func (s *Session) refreshDue(now int64) {
	if at := s.refreshAt(); at > 0 && now >= at {
		s.askRefresh()
	}
	for _, sub := range s.subs {
		if at := sub.refreshAt(); at > 0 && now >= at {
			s.askSubRefresh(sub)
		}
	}
}

func (s *Session) askRefresh() {
	b := s.backing()
	b.refreshing = true
	s.ask(s.question(HookRefresh), func(a Answer, err error) {
		b.refreshing = false
		switch said := s.said(&a, err); {
		case err != nil:
			b.retryAfter(s.shard.now)
		case said != nil:
			s.shard.hub.log.Debug("session expired", "user", s.identity.User, "rule", "the refresh hook")
			s.Disconnect(DisconnectExpired)
			return
		default:
			s.expireAt = unixMilli(a.ExpireAt)
			if a.Info != nil {
				identity := *s.identity
				identity.Info = a.Info
				s.identity, s.info = &identity, nil
			}
		}
		s.arm()
	})
}

func (s *Session) askSubRefresh(sub *subscription) {
	b := s.backing()
	sub.flags |= flagAsking
	name := sub.topic.id.Name
	q := s.question(HookSubRefresh)
	q.Backend = sub.options.SubRefreshProxyName
	q.Channel = name
	s.ask(q, func(a Answer, err error) {
		sub.flags &^= flagAsking
		if s.find(name) != sub {
			return
		}
		switch said := s.said(&a, err); {
		case err != nil:
			b.retryAfter(s.shard.now)
		case said != nil:
			s.shard.hub.log.Debug("subscription expired", "channel", name, "user", s.identity.User, "rule", "the sub_refresh hook")
			s.dropSubscription(sub, UnsubscribeExpired)
			return
		default:
			sub.expireAt = unixMilli(a.ExpireAt)
			sub.setInfo(s, a.Info)
		}
		s.arm()
	})
}

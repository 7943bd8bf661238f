package hub

import (
	"errors"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// subscription is a session's interest in one channel.
type subscription struct {
	// A delivery looks at these, one cache line of them.

	session *Session
	options *channel.Options
	reading *readBuffer // not nil until history has been read
	variant *variant    // nil: it is sent what all are sent
	after   uint64      // publications up to here were in the subscribe reply
	place   int32       // in the shard's list of the topic
	flags   subFlags
	ops     channel.Op // granted to this subscription

	topic    *topic
	expireAt int64              // Unix ms, 0: never
	info     *engine.ClientInfo // with the channel's own info; nil: the session's
}

type subFlags uint16

const (
	flagPositioned  subFlags = 1 << iota // is told when it would miss something
	flagRecoverable                      // may come back with its position
	flagJoinLeave                        // is sent joins and leaves
	flagServer                           // made by the server, not the client
	flagAnnounced                        // others have been told that it is here
	flagUsers                            // joins and leaves are those of other users
	flagCount                            // is told how many subscribers there are
	flagFresh                            // has not been sent anything live yet
	flagGone                             // is in no table any more
	flagTold                             // a backend is told that it has begun
	flagHooked                           // the backend has allowed it
	flagAsking                           // the backend is asked whether it goes on
	flagTracked                          // is part of the channel's presence
	flagNoticed                          // that it comes and goes is announced
)

func (sub *subscription) positioned() bool { return sub.flags&flagPositioned != 0 }

func (sub *subscription) deadline() int64 {
	if sub.expireAt == 0 || sub.flags&flagHooked != 0 && !sub.isAskedAbout() {
		return sub.expireAt
	}
	return sub.expireAt + expiredGrace.Milliseconds()
}

// Subscribe registers the session on a channel. done is called before the first
// live publication is sent. Errors: ErrUnknownChannel, ErrBadRequest,
// ErrAlreadySubscribed, ErrLimitExceeded, ErrPermissionDenied,
// channel.ErrTokenInvalid, channel.ErrTokenExpired, ErrBusy, ErrNotAvailable (a
// filter where none is allowed), ErrTooManyRequests; of the subscribe hook
// *BackendError, ErrExpired and ErrNoAnswer.
func (s *Session) Subscribe(r SubscribeRequest, done func(SubscribeResult, error)) {
	sub, err := s.admit(&r)
	if errors.Is(err, errAsk) {
		s.askSubscribe(&r, func(sub *subscription, err error) {
			if err != nil {
				done(SubscribeResult{}, err)
				return
			}
			s.register(sub, r.Channel, &r, done)
		})
		return
	}
	if err != nil {
		done(SubscribeResult{}, err)
		return
	}
	s.register(sub, r.Channel, &r, done)
}

// register puts the subscription into the tables and, where positions matter,
// reads history. From here on live publications are kept for it: what is
// published before the read is in the read, what is published after it is in the
// buffer, what is in both is dropped by its offset.
func (s *Session) register(sub *subscription, name string, r *SubscribeRequest, done func(SubscribeResult, error)) {
	h := s.shard.hub
	sub.session = s
	s.subs = append(s.subs, sub)
	s.join(sub, channel.ID{App: s.identity.App, Name: name})
	if sub.expireAt > 0 {
		s.arm()
	}
	if !sub.positioned() && !sub.latest(r) {
		s.conclude(sub, r, sub.result(r), done)
		return
	}
	sub.reading = &readBuffer{}
	s.begin()
	h.engine.History(sub.historyRequest(r), func(res engine.HistoryResult, err error) {
		s.shard.Post(func() {
			s.finish()
			s.historyRead(sub, r, res, err, done)
		})
	})
}

// latest reports whether the subscription begins with the latest publication.
func (sub *subscription) latest(r *SubscribeRequest) bool {
	return r.Live && r.Latest && sub.options.HasHistory()
}

// conclude answers a subscribe once history is read, and members where they are
// wanted.
func (s *Session) conclude(sub *subscription, r *SubscribeRequest, result SubscribeResult, done func(SubscribeResult, error)) {
	if r.Members && result.Members == nil {
		s.readMembers(sub, r, result, done)
		return
	}
	last := sub.prune(&result)
	if s.joined(sub, result, last) {
		return
	}
	done(result, nil)
	s.start(sub, &result, last)
}

// start lets live publications through to a subscription that has its reply, or
// reads on after the last one of the reply.
func (s *Session) start(sub *subscription, result *SubscribeResult, last uint64) {
	if s.ended || s.find(sub.topic.id.Name) != sub {
		return
	}
	switch {
	case result.more:
		s.goOn(sub, engine.Position{Epoch: result.Position.Epoch, Offset: last})
	case sub.reading != nil:
		sub.live(result.Position.Offset)
	}
	s.announce(sub)
}

func (sub *subscription) result(r *SubscribeRequest) SubscribeResult {
	res := SubscribeResult{
		Channel:       sub.topic.id.Name,
		Positioned:    sub.positioned(),
		Recoverable:   sub.flags&flagRecoverable != 0,
		WasRecovering: r.Recover,
		Delta:         sub.variant.hasDelta(),
		Data:          r.reply,
	}
	if !sub.prolonged() {
		res.ExpireIn = sub.session.expiresIn(sub.expireAt)
	}
	return res
}

func (sub *subscription) clientInfo() *engine.ClientInfo { return sub.clientInfoOf(sub.session) }

func (sub *subscription) clientInfoOf(s *Session) *engine.ClientInfo {
	if sub.info != nil {
		return sub.info
	}
	return s.clientInfo()
}

func (sub *subscription) notice() (n engine.Notice) {
	if sub.flags&flagTracked != 0 {
		n |= engine.Track
	}
	if sub.flags&flagNoticed != 0 {
		n |= engine.Announce
	}
	return n
}

// announce tells of a subscriber that has its reply.
func (s *Session) announce(sub *subscription) {
	if s.ended || s.find(sub.topic.id.Name) != sub {
		return
	}
	s.shard.hub.changed(sub.topic.id)
	sub.tell(TellSubscribed)
	if n := sub.notice(); n != 0 {
		sub.flags |= flagAnnounced
		s.shard.hub.engine.Join(sub.topic.id, sub.clientInfo(), n)
		s.shard.hub.counted(sub, 1)
	}
}

// join puts a subscription into the topic's tables.
func (s *Session) join(sub *subscription, id channel.ID) {
	h := s.shard.hub
	top, first := h.topics.join(id, s.shard.index)
	sub.topic = top
	h.audienceMoved(id, 1)
	if sub.variant.hasDelta() {
		top.deltas.Add(1)
	}
	top.local[s.shard.index].add(sub)
	if first {
		h.engine.Follow(id)
	}
}

// leave takes it out of them.
func (s *Session) leave(sub *subscription) {
	h := s.shard.hub
	l := &sub.topic.local[s.shard.index]
	l.remove(sub)
	if sub.variant.hasDelta() {
		sub.topic.deltas.Add(-1)
	}
	h.audienceMoved(sub.topic.id, -1)
	if h.topics.leave(sub.topic, s.shard.index, l.empty()) {
		h.engine.Unfollow(sub.topic.id)
	}
}

// find returns the session's subscription on a channel, or nil. Sessions have
// few, so that a list beats a map in time and memory.
func (s *Session) find(name string) *subscription {
	for _, sub := range s.subs {
		if sub.topic.id.Name == name {
			return sub
		}
	}
	return nil
}

// Unsubscribe ends a subscription. Unsubscribing from a channel that the session
// has no subscription on does nothing.
func (s *Session) Unsubscribe(name string) {
	if b := s.shard.backings[s]; b != nil {
		delete(b.subscribing, name)
	}
	if sub := s.find(name); sub != nil {
		s.removeSubscription(sub)
	}
}

// dropSubscription ends a subscription for a reason that the client is told.
// One that the server made is never asked for again by the client: to resume, it
// has to connect again.
func (s *Session) dropSubscription(sub *subscription, why Unsubscribe) {
	if sub.flags&flagServer != 0 && why == UnsubscribeInsufficientState {
		s.Disconnect(DisconnectInsufficientState)
		return
	}
	name := sub.topic.id.Name
	s.removeSubscription(sub)
	s.enc.Protocol.Tell(s, Notice{Channel: name, Unsubscribed: &why})
}

func (s *Session) removeSubscription(sub *subscription) {
	for i := range s.subs {
		if s.subs[i] == sub {
			last := len(s.subs) - 1
			s.subs[i] = s.subs[last]
			s.subs[last] = nil
			s.subs = s.subs[:last]
			break
		}
	}
	h := s.shard.hub
	sub.flags |= flagGone
	s.leave(sub)
	sub.tell(TellUnsubscribed)
	if sub.flags&flagAnnounced != 0 {
		h.engine.Leave(sub.topic.id, sub.clientInfo(), sub.notice())
		h.counted(sub, -1)
	}
	h.changed(sub.topic.id)
}

// expireSubscriptions ends those whose token was not renewed in time.
func (s *Session) expireSubscriptions(now int64) {
	for i := len(s.subs) - 1; i >= 0 && !s.ended; i-- {
		if at := s.subs[i].deadline(); at > 0 && now >= at {
			s.dropSubscription(s.subs[i], UnsubscribeExpired)
		}
	}
}

// SubRefresh replaces a subscription's expiry by that of a new token. Errors:
// ErrNotSubscribed, ErrPermissionDenied (a token for another channel or user),
// channel.ErrTokenInvalid, channel.ErrTokenExpired.
func (s *Session) SubRefresh(name, token string, done func(expireIn uint32, err error)) {
	sub := s.find(name)
	if sub == nil {
		done(0, ErrNotSubscribed)
		return
	}
	grant, err := s.tenant.app.Load().Auth.Subscription(token)
	if err == nil {
		err = s.decide(channel.Subscribe, name, sub.options, grant, channel.Unasked)
	}
	if err != nil {
		done(0, err)
		return
	}
	sub.expireAt = unixMilli(grant.ExpireAt)
	s.arm()
	if sub.prolonged() {
		done(0, nil)
		return
	}
	done(s.expiresIn(sub.expireAt), nil)
}

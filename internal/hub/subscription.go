package hub

import (
	"errors"

	"github.com/google/uuid"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// subscription is a session's interest in one channel.
type subscription struct {
	session *Session
	topic   *topic
	options *channel.Options
	place   int32 // in the shard's list of the topic
	flags   subFlags
	ops     channel.Op // granted to this subscription

	after    uint64             // publications up to here were in the subscribe reply
	expireAt int64              // Unix ms, 0: never
	info     *engine.ClientInfo // with the channel's own info; nil: the session's
	reading  *readBuffer        // not nil until history has been read
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
)

// readBuffer keeps what arrives live while history is being read.
type readBuffer struct {
	live []*broadcast
	size int
}

func (sub *subscription) positioned() bool { return sub.flags&flagPositioned != 0 }

func (sub *subscription) deadline() int64 {
	if sub.expireAt == 0 {
		return 0
	}
	return sub.expireAt + expiredGrace.Milliseconds()
}

// offer hands the subscription an event in the order of its channel. What was
// part of the subscribe reply is dropped.
func (sub *subscription) offer(b *broadcast) {
	s := sub.session
	switch {
	case b.event.Kind != EventPublication:
		if sub.reading != nil || !sub.wants(b) {
			return
		}
	case b.from != uuid.Nil && b.from == s.id && !sub.positioned():
		return
	case sub.reading != nil:
		sub.buffer(b)
		return
	case b.event.Publication.Offset > 0 && b.event.Publication.Offset <= sub.after:
		return
	default:
		s.shard.delivered++
		if sub.options.MayLose() {
			s.enqueueOf(sub, b)
			return
		}
	}
	if frame := b.frameOf(s); frame != nil {
		s.enqueue(frame)
	}
}

// wants reports whether the subscription is told of an event that is no
// publication.
func (sub *subscription) wants(b *broadcast) bool {
	switch {
	case b.event.Kind == EventCount:
		return sub.flags&flagCount != 0
	case sub.flags&flagUsers != 0:
		return sub.flags&flagJoinLeave != 0 && b.event.Edge && b.from != sub.session.id
	}
	return sub.flags&flagJoinLeave != 0
}

// buffer keeps a publication until history has been read. A session whose buffer
// outgrows its outbox is as slow as one that does not read.
func (sub *subscription) buffer(b *broadcast) {
	r := sub.reading
	r.live = append(r.live, b)
	r.size += len(b.event.Publication.Data) + publicationCost
	if r.size > sub.session.shard.hub.cfg.OutboxMax {
		sub.session.shard.hub.count.outboxFull.Add(uint64(len(r.live)))
		sub.session.Disconnect(DisconnectSlow)
	}
}

// live ends the reading: what was buffered follows, in order.
func (sub *subscription) live(after uint64) {
	r := sub.reading
	sub.reading, sub.after = nil, after
	for _, b := range r.live {
		sub.offer(b)
	}
}

// SubscribeRequest is a client's wish to subscribe.
type SubscribeRequest struct {
	Channel     string
	Token       string // subscription token; "": none
	Recover     bool   // bring what was missed since Since
	Since       engine.Position
	Positioned  bool
	Recoverable bool
	JoinLeave   bool // wants joins and leaves, where the namespace has them

	// For protocols without positions:
	Grant      *channel.SubscriptionGrant // what the protocol has verified, in place of Token
	Live       bool                       // has no use for positions, whatever the namespace forces
	Latest     bool                       // bring the latest publication that is kept; with Live
	Users      bool                       // joins and leaves are those of users, not of sessions, and of others only
	Members    bool                       // bring who is there, the session itself included
	MaxMembers int                        // with Members: so many users at most; 0: any number
	Count      bool                       // wants to be told how many subscribers there are
}

// SubscribeResult is the answer to it.
type SubscribeResult struct {
	Channel       string
	Position      engine.Position // where the subscription starts: the channel's top
	Positioned    bool
	Recoverable   bool
	WasRecovering bool
	Recovered     bool
	Publications  []*engine.Publication
	ExpireIn      uint32 // seconds; 0: never
	Data          []byte // JSON from the backend
	Members       engine.Members
}

// Subscribe registers the session on a channel. done is called before the first
// live publication is sent. Errors: ErrUnknownChannel, ErrBadRequest,
// ErrAlreadySubscribed, ErrLimitExceeded, ErrPermissionDenied,
// channel.ErrTokenInvalid, channel.ErrTokenExpired, ErrBusy.
func (s *Session) Subscribe(r SubscribeRequest, done func(SubscribeResult, error)) {
	opts, grant, err := s.maySubscribe(&r)
	if err != nil {
		done(SubscribeResult{}, err)
		return
	}
	sub := &subscription{options: opts, flags: subscribeFlags(opts, &r)}
	if grant != nil {
		sub.expireAt = unixMilli(grant.ExpireAt)
		sub.ops = grant.Ops
		sub.setInfo(s, grant.Info)
		sub.setMember(s, grant.Member)
	}
	s.register(sub, r.Channel, &r, done)
}

func (s *Session) maySubscribe(r *SubscribeRequest) (*channel.Options, *channel.SubscriptionGrant, error) {
	h := s.shard.hub
	opts, err := h.resolve(r.Channel)
	if err != nil {
		return nil, nil, err
	}
	if s.find(r.Channel) != nil {
		return nil, nil, ErrAlreadySubscribed
	}
	if len(s.subs) >= h.cfg.MaxChannels {
		h.count.subscriptions.Inc()
		return nil, nil, ErrLimitExceeded
	}
	grant := r.Grant
	if r.Token != "" {
		if grant, err = h.cfg.Auth.Subscription(r.Token); err != nil {
			h.count.token.Inc()
			return nil, nil, err
		}
	}
	return opts, grant, s.decide(channel.Subscribe, r.Channel, opts, grant)
}

// decide asks for permission; the rule that refuses is told to the operator only.
func (s *Session) decide(op channel.Op, name string, opts *channel.Options, grant *channel.SubscriptionGrant) error {
	r := channel.Request{
		Op: op, Channel: name, Options: opts, Identity: s.identity, Token: grant,
	}
	if sub := s.find(name); sub != nil {
		r.Subscribed, r.Granted = true, sub.ops
	}
	if grant != nil && grant.Client != "" {
		r.Client = s.ID()
	}
	d := channel.Decide(r)
	if d.Allowed {
		return nil
	}
	s.shard.hub.count.permission.Inc()
	s.shard.hub.log.Debug("permission denied", "op", op.String(), "channel", name, "user", s.identity.User, "rule", d.Rule)
	return ErrPermissionDenied
}

func subscribeFlags(o *channel.Options, r *SubscribeRequest) (f subFlags) {
	if o.HasHistory() && !r.Live {
		if o.ForceRecovery || o.AllowRecovery && (r.Recoverable || r.Recover) {
			f |= flagRecoverable | flagPositioned
		}
		if o.ForcePositioning || o.AllowPositioning && r.Positioned {
			f |= flagPositioned
		}
	}
	if o.JoinLeave && (o.ForcePushJoinLeave || r.JoinLeave) {
		f |= flagJoinLeave
	}
	if r.Users {
		f |= flagUsers
	}
	if r.Count {
		f |= flagCount
	}
	return f
}

func (sub *subscription) setInfo(s *Session, chanInfo []byte) {
	if len(chanInfo) == 0 {
		return
	}
	info := *s.clientInfo()
	info.ChanInfo = chanInfo
	sub.info = &info
}

// setMember says who the session is to others on the channel.
func (sub *subscription) setMember(s *Session, user string) {
	if user == "" {
		return
	}
	info := *sub.clientInfoOf(s)
	info.User = user
	sub.info = &info
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

func (sub *subscription) historyRequest(r *SubscribeRequest) engine.HistoryRequest {
	cfg := &sub.session.shard.hub.cfg
	req := engine.HistoryRequest{Channel: sub.topic.id, Retention: engine.RetentionOf(sub.options)}
	switch {
	case sub.latest(r):
		req.Limit, req.Reverse = 1, true
	case !r.Recover || sub.flags&flagRecoverable == 0:
	case sub.options.RecoveryMode() == channel.RecoverCache:
		req.Limit, req.Reverse = 1, true
	default:
		req.Since, req.Limit, req.MaxBytes = &r.Since, cfg.RecoveryLimit, cfg.RecoveryBytes
	}
	return req
}

// historyRead is the second half of register: reply, then go live.
func (s *Session) historyRead(sub *subscription, r *SubscribeRequest, res engine.HistoryResult, err error, done func(SubscribeResult, error)) {
	if s.ended || s.find(sub.topic.id.Name) != sub {
		return // it left while history was read
	}
	if errors.Is(err, ErrUnrecoverable) {
		s.rereadTop(sub, r, done)
		return
	}
	if err != nil {
		s.removeSubscription(sub)
		done(SubscribeResult{}, err)
		return
	}
	result := sub.result(r)
	result.Position = res.Top
	if sub.latest(r) {
		result.Publications = res.Publications
	}
	if r.Recover && result.Recoverable {
		how := sub.recover(&result, r.Since, res)
		s.shard.hub.count.Recoveries.Of(how).Inc()
	}
	s.conclude(sub, r, result, done)
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
	done(result, nil)
	if s.ended || s.find(sub.topic.id.Name) != sub {
		return
	}
	if sub.reading != nil {
		sub.live(result.Position.Offset)
	}
	s.announce(sub)
}

// readMembers asks who is there. What the view does not hold is told afterwards;
// what it holds has been told before, to a subscription that did not listen yet.
func (s *Session) readMembers(sub *subscription, r *SubscribeRequest, result SubscribeResult, done func(SubscribeResult, error)) {
	if sub.reading == nil {
		sub.reading = &readBuffer{}
	}
	s.begin()
	s.shard.hub.engine.Members(sub.topic.id, func(members engine.Members, err error) {
		s.shard.Post(func() {
			s.finish()
			s.shard.inLine(sub.topic, func() { s.membersRead(sub, r, result, members, err, done) })
		})
	})
}

func (s *Session) membersRead(sub *subscription, r *SubscribeRequest, result SubscribeResult, members engine.Members, err error, done func(SubscribeResult, error)) {
	if s.ended || s.find(sub.topic.id.Name) != sub {
		return
	}
	if err == nil && r.MaxMembers > 0 && isCrowded(members, sub.clientInfo().User, r.MaxMembers) {
		s.shard.hub.count.members.Inc()
		err = ErrLimitExceeded
	}
	if err != nil {
		s.removeSubscription(sub)
		done(SubscribeResult{}, err)
		return
	}
	members[s.ID()] = sub.clientInfo()
	result.Members = members
	s.conclude(sub, r, result, done)
}

// isCrowded reports whether one more user is one too many.
func isCrowded(members engine.Members, user string, limit int) bool {
	users := make(map[string]struct{}, len(members))
	for _, info := range members {
		users[info.User] = struct{}{}
	}
	_, known := users[user]
	return !known && len(users) >= limit
}

// rereadTop asks once more, without the position that nothing can be recovered
// from, to tell the client where the channel stands now.
func (s *Session) rereadTop(sub *subscription, r *SubscribeRequest, done func(SubscribeResult, error)) {
	req := sub.historyRequest(r)
	req.Since, req.Limit = nil, 0
	s.begin()
	s.shard.hub.engine.History(req, func(res engine.HistoryResult, err error) {
		s.shard.Post(func() {
			s.finish()
			s.historyRead(sub, r, res, err, done)
		})
	})
}

// recover decides whether res is exactly what was missed since a position.
func (sub *subscription) recover(result *SubscribeResult, since engine.Position, res engine.HistoryResult) metrics.Recovery {
	if sub.options.RecoveryMode() == channel.RecoverCache {
		return result.recoverCache(since, res)
	}
	switch missed := res.Top.Offset - since.Offset; {
	case since.Epoch != res.Top.Epoch:
		return metrics.NotRecoveredEra
	case since.Offset > res.Top.Offset:
		return metrics.NotRecoveredNew
	case since.Offset+1 < res.Oldest:
		return metrics.NotRecoveredOld
	case uint64(len(res.Publications)) != missed || missed > 0 && res.Publications[0].Offset != since.Offset+1:
		return metrics.NotRecoveredMany
	}
	result.Recovered = true
	result.Publications = res.Publications
	return metrics.Recovered
}

// recoverCache brings the latest publication, unless the client has it.
func (result *SubscribeResult) recoverCache(since engine.Position, res engine.HistoryResult) metrics.Recovery {
	if len(res.Publications) == 0 || res.Publications[0].Offset != res.Top.Offset {
		return metrics.NotRecoveredOld
	}
	latest := res.Publications[0]
	result.Recovered = true
	if since.Offset != latest.Offset || since.Epoch != res.Top.Epoch {
		result.Publications = res.Publications[:1]
	}
	return metrics.Recovered
}

func (sub *subscription) result(r *SubscribeRequest) SubscribeResult {
	res := SubscribeResult{
		Channel:       sub.topic.id.Name,
		Positioned:    sub.positioned(),
		Recoverable:   sub.flags&flagRecoverable != 0,
		WasRecovering: r.Recover,
	}
	res.ExpireIn = sub.session.expiresIn(sub.expireAt)
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
	if sub.options.Presence {
		n |= engine.Track
	}
	if sub.options.JoinLeave {
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
	if n := sub.notice(); n != 0 {
		sub.flags |= flagAnnounced
		s.shard.hub.engine.Join(sub.topic.id, sub.clientInfo(), n)
	}
}

// join puts a subscription into the topic's tables.
func (s *Session) join(sub *subscription, id channel.ID) {
	h := s.shard.hub
	top, first := h.topics.join(id, s.shard.index)
	sub.topic = top
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
	if sub := s.find(name); sub != nil {
		s.removeSubscription(sub)
	}
}

// dropSubscription ends a subscription for a reason that the client is told.
func (s *Session) dropSubscription(sub *subscription, why Unsubscribe) {
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
	s.leave(sub)
	if sub.flags&flagAnnounced != 0 {
		h.engine.Leave(sub.topic.id, sub.clientInfo(), sub.notice())
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
	grant, err := s.shard.hub.cfg.Auth.Subscription(token)
	if err == nil {
		err = s.decide(channel.Subscribe, name, sub.options, grant)
	}
	if err != nil {
		done(0, err)
		return
	}
	sub.expireAt = unixMilli(grant.ExpireAt)
	s.arm()
	done(s.expiresIn(sub.expireAt), nil)
}

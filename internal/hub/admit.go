package hub

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// SubscribeRequest is a client's wish to subscribe.
type SubscribeRequest struct {
	Channel     string
	Token       string // subscription token; "": none
	Data        []byte // for the backend; nil: none
	Binary      bool   // Data is not JSON
	Recover     bool   // bring what was missed since Since
	Since       engine.Position
	Positioned  bool
	Recoverable bool
	JoinLeave   bool   // wants joins and leaves, where the namespace has them
	Quiet       bool   // is present, but nobody is told that it comes and goes
	Delta       string // wants publications as changes in this format, where the namespace allows it; "": no
	// Filter chooses publications by their tags, where the namespace allows it; nil:
	// all. It runs on the session's shard.
	Filter func(*engine.Publication) bool

	budget   int              // bytes of the first page of a recovery; 0: RecoveryBytes
	verdict  channel.Verdict  // of the backend
	override channel.Override // of the backend
	reply    []byte           // Data of the result

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
	Since         uint64 // of a recovered subscription: Publications lead on from this offset
	Publications  []*engine.Publication
	Delta         bool   // publications come as changes
	ExpireIn      uint32 // seconds; 0: never
	Data          []byte // JSON from the backend
	Members       engine.Members

	more bool // further pages follow
}

// admit asks for permission and makes the subscription, which is in no table yet.
func (s *Session) admit(r *SubscribeRequest) (*subscription, error) {
	if !s.spend(subscribing, 1) {
		return nil, ErrTooManyRequests
	}
	opts, grant, err := s.maySubscribe(r)
	if err != nil {
		return nil, err
	}
	if r.Filter != nil && !opts.AllowTagsFilter {
		return nil, ErrNotAvailable
	}
	sub := &subscription{options: opts, flags: subscribeFlags(opts, r), variant: newVariant(opts, r)}
	if grant != nil {
		sub.expireAt = unixMilli(grant.ExpireAt)
		sub.ops = grant.Ops
		sub.setInfo(s, grant.Info)
		sub.setMember(s, grant.Member)
	}
	return sub, nil
}

func (s *Session) maySubscribe(r *SubscribeRequest) (*channel.Options, *channel.SubscriptionGrant, error) {
	h := s.shard.hub
	opts, err := s.tenant.resolve(r.Channel)
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
		if grant, err = s.tenant.app.Load().Auth.Subscription(r.Token); err != nil {
			h.count.token.Inc()
			return nil, nil, err
		}
	}
	return opts, grant, s.decide(channel.Subscribe, r.Channel, opts, grant, r.verdict)
}

// decide asks for permission; the rule that refuses is told to the operator only.
// Error: errAsk, ErrPermissionDenied.
func (s *Session) decide(op channel.Op, name string, opts *channel.Options, grant *channel.SubscriptionGrant, v channel.Verdict) error {
	r := channel.Request{
		Op: op, Channel: name, Options: opts, Identity: s.identity, Token: grant, Verdict: v,
	}
	if sub := s.find(name); sub != nil {
		r.Subscribed, r.Granted = true, sub.ops
	}
	if grant != nil && grant.Client != "" {
		r.Client = s.ID()
	}
	d := channel.Decide(r)
	switch {
	case d.Allowed:
		return nil
	case d.Asks():
		return errAsk
	}
	s.shard.hub.count.permission.Inc()
	s.shard.hub.log.Debug("permission denied", "op", op.String(), "channel", name, "user", s.identity.User, "rule", d.Rule)
	return ErrPermissionDenied
}

func subscribeFlags(options *channel.Options, r *SubscribeRequest) (f subFlags) {
	o := options
	if r.override != (channel.Override{}) {
		over := r.override.Over(*options, r.Channel)
		o = &over
	}
	if o.HasHistory() && !r.Live {
		if o.ForceRecovery || o.AllowRecovery && (r.Recoverable || r.Recover) {
			f |= flagRecoverable | flagPositioned
		}
		if o.ForcePositioning || o.AllowPositioning && r.Positioned {
			f |= flagPositioned
		}
	}
	// What a subscriber is told is that of others, whether or not they are told of it.
	if o.ForcePushJoinLeave || o.JoinLeave && r.JoinLeave {
		f |= flagJoinLeave
	}
	if o.Presence {
		f |= flagTracked
	}
	if o.JoinLeave && !r.Quiet {
		f |= flagNoticed
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

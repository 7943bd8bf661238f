package channel

// Request is one question of permission.
type Request struct {
	Op         Op
	Channel    string
	Options    *Options
	Identity   *Identity
	Client     string             // the session's id; only a Token that names one asks for it
	Subscribed bool               // the session is subscribed to the channel now
	Token      *SubscriptionGrant // from a verified subscription token; nil: none
	Granted    Op                 // by the grant of the subscription that there is now
	Verdict    Verdict            // of the backend's hook, where Decision.Asks
}

// Decision is the answer and the rule that gave it, for logs and traces; the
// rule never reaches a client.
type Decision struct {
	Allowed bool
	Rule    string
}

// Decide answers a request. The first rule that applies wins: a denial in the
// identity's grants, a subscription token, the private prefix, the backend's hook
// where the namespace has one, an allowing grant, what the subscription's own grant
// allows, the channel's Kind, then the namespace's flags. Nothing is allowed by
// default.
func Decide(r Request) Decision {
	if r.Identity.Grants.denies(r.Channel, r.Op) {
		return Decision{false, "denied by a grant of the identity"}
	}
	if r.Op == Subscribe {
		if r.Token != nil {
			return decideToken(r)
		}
		if IsPrivate(r.Channel) {
			return Decision{false, "a private channel needs a subscription token"}
		}
	}
	if d, decided := decideHook(r); decided {
		return d
	}
	if r.Identity.Grants.allows(r.Channel, r.Op) {
		return Decision{true, "allowed by a grant of the identity"}
	}
	if r.Subscribed && r.Op != 0 && r.Granted&r.Op == r.Op {
		return Decision{true, "allowed by the grant of the subscription"}
	}
	kind := KindOf(r.Channel)
	if d, decided := decideKind(r, kind); decided {
		return d
	}
	if d, decided := decideLimited(r, kind); decided {
		return d
	}
	return decideFlags(r)
}

func decideToken(r Request) Decision {
	switch {
	case r.Token.Channel != r.Channel:
		return Decision{false, "the subscription token is for another channel"}
	case r.Token.User != r.Identity.User:
		return Decision{false, "the subscription token is for another user"}
	case r.Token.Client != "" && r.Token.Client != r.Client:
		return Decision{false, "the subscription token is for another session"}
	}
	return Decision{true, "subscription token"}
}

// flags of one operation: forAnonymous only widens forClient and forSubscriber
// to sessions without a user, as in Centrifugo.
type flags struct {
	forClient, forSubscriber, forAnonymous bool
	client, subscriber, anonymous          string
}

func (o *Options) flags(op Op) flags {
	switch op {
	case Subscribe:
		return flags{
			o.AllowSubscribeForClient, false, o.AllowSubscribeForAnonymous,
			"allow_subscribe_for_client", "", "allow_subscribe_for_anonymous",
		}
	case Publish:
		return flags{
			o.AllowPublishForClient, o.AllowPublishForSubscriber, o.AllowPublishForAnonymous,
			"allow_publish_for_client", "allow_publish_for_subscriber", "allow_publish_for_anonymous",
		}
	case Presence:
		return flags{
			o.AllowPresenceForClient, o.AllowPresenceForSubscriber, o.AllowPresenceForAnonymous,
			"allow_presence_for_client", "allow_presence_for_subscriber", "allow_presence_for_anonymous",
		}
	case History:
		return flags{
			o.AllowHistoryForClient, o.AllowHistoryForSubscriber, o.AllowHistoryForAnonymous,
			"allow_history_for_client", "allow_history_for_subscriber", "allow_history_for_anonymous",
		}
	}
	return flags{}
}

func decideFlags(r Request) Decision {
	f := r.Options.flags(r.Op)
	if r.Identity.Anonymous() && !f.forAnonymous {
		return Decision{false, f.anonymous + " is off"}
	}
	switch {
	case f.forClient:
		return Decision{true, f.client}
	case f.forSubscriber && r.Subscribed:
		return Decision{true, f.subscriber}
	case f.forSubscriber:
		return Decision{false, f.subscriber + " needs a subscription"}
	}
	return Decision{false, f.client + " is off"}
}

package channel

import (
	"fmt"
	"testing"
)

// The rules of Decide, as they are told to operators.
const (
	ruleDenied       = "denied by a grant of the identity"
	ruleToken        = "subscription token"
	ruleOtherChannel = "the subscription token is for another channel"
	ruleOtherUser    = "the subscription token is for another user"
	rulePrivate      = "a private channel needs a subscription token"
	ruleGranted      = "allowed by a grant of the identity"
)

var (
	user      = Identity{App: DefaultApp, User: "ann"}
	anonymous = Identity{App: DefaultApp}
	forAnn    = &SubscriptionGrant{Channel: "room", User: "ann"}
	forNobody = &SubscriptionGrant{Channel: "room"}
)

func allowing(ch string, ops Op) Grants { return Grants{Allow: []Grant{{Channel: ch, Ops: ops}}} }

func (i Identity) with(g Grants) Identity {
	i.Grants = g
	return i
}

func TestDecide(t *testing.T) {
	const all = Subscribe | Publish | Presence | History
	var (
		none         Options
		subscribe    = Options{AllowSubscribeForClient: true}
		subAnonymous = Options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true}
		onlyAnon     = Options{AllowSubscribeForAnonymous: true, AllowPublishForAnonymous: true, AllowPresenceForAnonymous: true, AllowHistoryForAnonymous: true}
		pubClient    = Options{AllowPublishForClient: true}
		pubSub       = Options{AllowPublishForSubscriber: true}
		pubSubAnon   = Options{AllowPublishForSubscriber: true, AllowPublishForAnonymous: true}
		pubBoth      = Options{AllowPublishForClient: true, AllowPublishForSubscriber: true}
		presClient   = Options{AllowPresenceForClient: true}
		presSub      = Options{AllowPresenceForSubscriber: true}
		histClient   = Options{AllowHistoryForClient: true}
		histSub      = Options{AllowHistoryForSubscriber: true}
		histAll      = Options{AllowHistoryForClient: true, AllowHistoryForAnonymous: true}
	)
	denied := user.with(Grants{Deny: []Grant{{Channel: "room", Ops: all}}, Allow: []Grant{{Channel: "room", Ops: all}}})
	tests := []struct {
		name       string
		op         Op
		channel    string // "": room
		options    Options
		identity   Identity
		client     string
		subscribed bool
		token      *SubscriptionGrant
		allowed    bool
		rule       string
	}{
		// Nothing is allowed by default.
		{name: "nothing set, subscribe", op: Subscribe, identity: user, rule: "allow_subscribe_for_client is off"},
		{name: "nothing set, publish", op: Publish, identity: user, rule: "allow_publish_for_client is off"},
		{name: "nothing set, presence", op: Presence, identity: user, rule: "allow_presence_for_client is off"},
		{name: "nothing set, history", op: History, identity: user, rule: "allow_history_for_client is off"},
		{name: "nothing set, anonymous subscribe", op: Subscribe, identity: anonymous, rule: "allow_subscribe_for_anonymous is off"},
		{name: "nothing set, anonymous publish", op: Publish, identity: anonymous, rule: "allow_publish_for_anonymous is off"},
		{name: "nothing set, subscribed publish", op: Publish, identity: user, subscribed: true, rule: "allow_publish_for_client is off"},
		{name: "nothing set, subscribed history", op: History, identity: user, subscribed: true, rule: "allow_history_for_client is off"},
		{name: "no operation", op: 0, options: subscribe, identity: user, rule: " is off"},

		// Flags of the namespace.
		{name: "subscribe", op: Subscribe, options: subscribe, identity: user, allowed: true, rule: "allow_subscribe_for_client"},
		{name: "subscribe, anonymous", op: Subscribe, options: subscribe, identity: anonymous, rule: "allow_subscribe_for_anonymous is off"},
		{name: "subscribe, anonymous too", op: Subscribe, options: subAnonymous, identity: anonymous, allowed: true, rule: "allow_subscribe_for_client"},
		{name: "subscribe, only anonymous", op: Subscribe, options: onlyAnon, identity: anonymous, rule: "allow_subscribe_for_client is off"},
		{name: "subscribe allows no publish", op: Publish, options: subAnonymous, identity: user, subscribed: true, rule: "allow_publish_for_client is off"},
		{name: "publish allows no subscribe", op: Subscribe, options: pubBoth, identity: user, rule: "allow_subscribe_for_client is off"},
		{name: "publish", op: Publish, options: pubClient, identity: user, allowed: true, rule: "allow_publish_for_client"},
		{name: "publish, anonymous", op: Publish, options: pubClient, identity: anonymous, subscribed: true, rule: "allow_publish_for_anonymous is off"},
		{name: "publish, only anonymous", op: Publish, options: onlyAnon, identity: anonymous, subscribed: true, rule: "allow_publish_for_client is off"},
		{name: "publish for subscriber", op: Publish, options: pubSub, identity: user, subscribed: true, allowed: true, rule: "allow_publish_for_subscriber"},
		{name: "publish for subscriber, not subscribed", op: Publish, options: pubSub, identity: user, rule: "allow_publish_for_subscriber needs a subscription"},
		{name: "publish for subscriber, anonymous", op: Publish, options: pubSub, identity: anonymous, subscribed: true, rule: "allow_publish_for_anonymous is off"},
		{name: "publish for subscriber, anonymous too", op: Publish, options: pubSubAnon, identity: anonymous, subscribed: true, allowed: true, rule: "allow_publish_for_subscriber"},
		{name: "publish for subscriber, anonymous too, not subscribed", op: Publish, options: pubSubAnon, identity: anonymous, rule: "allow_publish_for_subscriber needs a subscription"},
		{name: "publish for both, not subscribed", op: Publish, options: pubBoth, identity: user, allowed: true, rule: "allow_publish_for_client"},
		{name: "presence", op: Presence, options: presClient, identity: user, allowed: true, rule: "allow_presence_for_client"},
		{name: "presence allows no history", op: History, options: presClient, identity: user, rule: "allow_history_for_client is off"},
		{name: "presence for subscriber", op: Presence, options: presSub, identity: user, subscribed: true, allowed: true, rule: "allow_presence_for_subscriber"},
		{name: "presence for subscriber, not subscribed", op: Presence, options: presSub, identity: user, rule: "allow_presence_for_subscriber needs a subscription"},
		{name: "presence, only anonymous", op: Presence, options: onlyAnon, identity: anonymous, rule: "allow_presence_for_client is off"},
		{name: "history", op: History, options: histClient, identity: user, allowed: true, rule: "allow_history_for_client"},
		{name: "history for subscriber", op: History, options: histSub, identity: user, subscribed: true, allowed: true, rule: "allow_history_for_subscriber"},
		{name: "history for subscriber, not subscribed", op: History, options: histSub, identity: user, rule: "allow_history_for_subscriber needs a subscription"},
		{name: "history, anonymous", op: History, options: histClient, identity: anonymous, rule: "allow_history_for_anonymous is off"},
		{name: "history, anonymous too", op: History, options: histAll, identity: anonymous, allowed: true, rule: "allow_history_for_client"},

		// Subscription tokens.
		{name: "token", op: Subscribe, identity: user, token: forAnn, allowed: true, rule: ruleToken},
		{name: "token, anonymous", op: Subscribe, identity: anonymous, token: forNobody, allowed: true, rule: ruleToken},
		{name: "token of another channel", op: Subscribe, channel: "hall", options: subscribe, identity: user, token: forAnn, rule: ruleOtherChannel},
		{name: "token of another user", op: Subscribe, options: subscribe, identity: Identity{User: "bob"}, token: forAnn, rule: ruleOtherUser},
		{name: "token of a user, anonymous", op: Subscribe, options: subAnonymous, identity: anonymous, token: forAnn, rule: ruleOtherUser},
		{name: "token of nobody, user", op: Subscribe, options: subscribe, identity: user, token: forNobody, rule: ruleOtherUser},
		{name: "token for publish", op: Publish, identity: user, token: forAnn, rule: "allow_publish_for_client is off"},
		{name: "token for history", op: History, identity: user, token: forAnn, rule: "allow_history_for_client is off"},

		{name: "token of a session", op: Subscribe, identity: user, client: "s1", token: &SubscriptionGrant{Channel: "room", User: "ann", Client: "s1"}, allowed: true, rule: ruleToken},
		{name: "token of another session", op: Subscribe, options: subscribe, identity: user, client: "s1", token: &SubscriptionGrant{Channel: "room", User: "ann", Client: "s2"}, rule: "the subscription token is for another session"},

		// Private channels.
		{name: "private", op: Subscribe, channel: "$room", options: subAnonymous, identity: user, rule: rulePrivate},
		{name: "private, anonymous", op: Subscribe, channel: "$room", options: subAnonymous, identity: anonymous, rule: rulePrivate},
		{name: "private with token", op: Subscribe, channel: "$room", identity: user, token: &SubscriptionGrant{Channel: "$room", User: "ann"}, allowed: true, rule: ruleToken},
		{name: "private with the public one's token", op: Subscribe, channel: "$room", identity: user, token: forAnn, rule: ruleOtherChannel},
		{name: "private, granted", op: Subscribe, channel: "$room", options: subscribe, identity: user.with(allowing("$room", all)), rule: rulePrivate},
		{name: "private, publish by subscriber", op: Publish, channel: "$room", options: pubSub, identity: user, subscribed: true, allowed: true, rule: "allow_publish_for_subscriber"},
		{name: "prefix elsewhere", op: Subscribe, channel: "room$", options: subscribe, identity: user, allowed: true, rule: "allow_subscribe_for_client"},

		// Grants of the identity.
		{name: "granted", op: Subscribe, identity: user.with(allowing("room", Subscribe)), allowed: true, rule: ruleGranted},
		{name: "granted, anonymous", op: History, identity: anonymous.with(allowing("room", History)), allowed: true, rule: ruleGranted},
		{name: "granted something else", op: Publish, identity: user.with(allowing("room", Subscribe|History)), rule: "allow_publish_for_client is off"},
		{name: "granted elsewhere", op: Subscribe, identity: user.with(allowing("roo", all)), rule: "allow_subscribe_for_client is off"},
		{name: "granted by no pattern", op: Subscribe, identity: user.with(allowing("*", all)), rule: "allow_subscribe_for_client is off"},
		{name: "granted and flagged", op: Publish, options: pubClient, identity: user.with(allowing("room", all)), allowed: true, rule: ruleGranted},
		{name: "granted does not need a subscription", op: Publish, options: pubSub, identity: user.with(allowing("room", Publish)), allowed: true, rule: ruleGranted},
		{name: "granted and a bad token", op: Subscribe, identity: Identity{User: "bob", Grants: allowing("room", all)}, token: forAnn, rule: ruleOtherUser},

		// Denials come first.
		{name: "denied and granted", op: Publish, options: pubBoth, identity: denied, subscribed: true, rule: ruleDenied},
		{name: "denied with token", op: Subscribe, options: subscribe, identity: denied, token: forAnn, rule: ruleDenied},
		{name: "denied elsewhere", op: Subscribe, channel: "hall", options: subscribe, identity: denied, allowed: true, rule: "allow_subscribe_for_client"},
		{name: "denied something else", op: Subscribe, options: subscribe, identity: user.with(Grants{Deny: []Grant{{Channel: "room", Ops: Publish}}}), allowed: true, rule: "allow_subscribe_for_client"},
		{name: "nothing set but deny", op: Presence, options: none, identity: denied, rule: ruleDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.channel == "" {
				tt.channel = "room"
			}
			got := Decide(Request{
				Op: tt.op, Channel: tt.channel, Options: &tt.options, Identity: &tt.identity, Subscribed: tt.subscribed, Token: tt.token,
				Client: tt.client,
			})
			if want := (Decision{tt.allowed, tt.rule}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// Every combination of an operation's flags, for each who, follows one formula.
func TestDecideFlags(t *testing.T) {
	for _, op := range []Op{Subscribe, Publish, Presence, History} {
		for bits := range 1 << 5 {
			client, subscriber, anon := bits&1 != 0, bits&2 != 0 && op != Subscribe, bits&4 != 0
			subscribed, identity := bits&8 != 0, user
			if bits&16 != 0 {
				identity = anonymous
			}
			o := flagged(op, client, subscriber, anon)
			got := Decide(Request{Op: op, Channel: "room", Options: &o, Identity: &identity, Subscribed: subscribed})
			want := (client || subscriber && subscribed) && (anon || identity.User != "")
			if got.Allowed != want {
				t.Errorf("%s: client %t, subscriber %t, anonymous %t; user %q, subscribed %t: %+v", op, client, subscriber, anon, identity.User, subscribed, got)
			}
			for _, other := range []Op{Subscribe, Publish, Presence, History} {
				if other == op {
					continue
				}
				if d := Decide(Request{Op: other, Channel: "room", Options: &o, Identity: &identity, Subscribed: subscribed}); d.Allowed {
					t.Errorf("flags of %s allow %s: %+v", op, other, d)
				}
			}
		}
	}
}

// flagged sets the flags of one operation.
func flagged(op Op, client, subscriber, anonymous bool) Options {
	switch op {
	case Subscribe:
		return Options{AllowSubscribeForClient: client, AllowSubscribeForAnonymous: anonymous}
	case Publish:
		return Options{AllowPublishForClient: client, AllowPublishForSubscriber: subscriber, AllowPublishForAnonymous: anonymous}
	case Presence:
		return Options{AllowPresenceForClient: client, AllowPresenceForSubscriber: subscriber, AllowPresenceForAnonymous: anonymous}
	case History:
		return Options{AllowHistoryForClient: client, AllowHistoryForSubscriber: subscriber, AllowHistoryForAnonymous: anonymous}
	}
	panic(fmt.Sprint("unknown operation ", op))
}

func TestOpsHaveNames(t *testing.T) {
	for op, want := range map[Op]string{Subscribe: "subscribe", Publish: "publish", Presence: "presence", History: "history", 0: "unknown", Subscribe | Publish: "unknown"} {
		if got := op.String(); got != want {
			t.Errorf("%d is %q, want %q", op, got, want)
		}
	}
}

package channel

import (
	"fmt"
	"testing"
)

// Where a hook decides, for every operation, kind, verdict and flag.
func TestDecideHook(t *testing.T) {
	open := Options{
		SubscribeProxyEnabled: true, PublishProxyEnabled: true,
		AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true, AllowPublishForClient: true, AllowPublishForAnonymous: true,
		AllowUserLimitedChannels: true,
	}
	shut := Options{SubscribeProxyEnabled: true, PublishProxyEnabled: true}
	off := Options{AllowSubscribeForClient: true, AllowPublishForClient: true}
	granted := user.with(allowing("room", Subscribe|Publish))
	denied := user.with(Grants{Deny: []Grant{{Channel: "room", Ops: Subscribe | Publish}}})
	tests := []struct {
		name       string
		op         Op
		channel    string // "": room
		options    Options
		identity   Identity
		subscribed bool
		token      *SubscriptionGrant
		rule       string // when nobody has been asked
	}{
		{name: "asked, though shut", op: Subscribe, options: shut, identity: user, rule: ruleAsk},
		{name: "asked, though open", op: Subscribe, options: open, identity: user, rule: ruleAsk},
		{name: "asked, anonymous", op: Subscribe, options: shut, identity: anonymous, rule: ruleAsk},
		{name: "asked, though granted", op: Subscribe, options: shut, identity: granted, rule: ruleAsk},
		{name: "not asked, denied", op: Subscribe, options: open, identity: denied, rule: ruleDenied},
		{name: "not asked, token", op: Subscribe, options: shut, identity: user, token: forAnn, rule: ruleToken},
		{name: "not asked, bad token", op: Subscribe, options: open, identity: Identity{User: "bob"}, token: forAnn, rule: ruleOtherUser},
		{name: "not asked, private", op: Subscribe, channel: "$room", options: open, identity: user, rule: rulePrivate},
		{name: "not asked, listed", op: Subscribe, channel: "room#ann,bob", options: open, identity: user, rule: "allow_user_limited_channels"},
		{name: "not asked, not listed", op: Subscribe, channel: "room#bob", options: open, identity: user, rule: "the channel's name does not list the user"},
		{name: "not asked, own", op: Subscribe, channel: UserChannel("ann"), options: open, identity: user, rule: "the user's own channel"},
		{name: "not asked, another's own", op: Subscribe, channel: UserChannel("bob"), options: open, identity: user, rule: "the channel belongs to another user"},
		{name: "asked, guarded", op: Subscribe, channel: "private-room", options: shut, identity: user, rule: ruleAsk},
		{name: "off", op: Subscribe, options: off, identity: user, rule: "allow_subscribe_for_client"},

		{name: "publish, shut", op: Publish, options: shut, identity: user, rule: ruleAsk},
		{name: "publish, open", op: Publish, options: open, identity: anonymous, rule: ruleAsk},
		{name: "publish, granted", op: Publish, options: open, identity: granted, rule: ruleAsk},
		{name: "publish, denied", op: Publish, options: open, identity: denied, rule: ruleDenied},
		{name: "publish, listed", op: Publish, channel: "room#ann", options: open, identity: user, rule: ruleAsk},
		{name: "publish, not listed", op: Publish, channel: "room#bob", options: open, identity: user, rule: "the channel's name does not list the user"},
		{name: "publish to a user", op: Publish, channel: UserChannel("ann"), options: open, identity: user, rule: "clients do not publish to a user's channel"},
		{name: "publish, encrypted", op: Publish, channel: "private-encrypted-room", options: open, identity: user, subscribed: true, rule: "clients do not publish to an encrypted channel"},
		{name: "publish, guarded", op: Publish, channel: "private-room", options: open, identity: user, rule: "a private or presence channel is for its subscribers"},
		{name: "publish, guarded, subscribed", op: Publish, channel: "private-room", options: open, identity: user, subscribed: true, rule: ruleAsk},
		{name: "publish, off", op: Publish, options: off, identity: user, rule: "allow_publish_for_client"},

		{name: "presence is not the hooks'", op: Presence, options: open, identity: user, rule: "allow_presence_for_client is off"},
		{name: "history is not the hooks'", op: History, options: open, identity: user, rule: "allow_history_for_client is off"},
	}
	for _, tt := range tests {
		if tt.channel == "" {
			tt.channel = "room"
		}
		for verdict, rule := range map[Verdict]string{Unasked: ruleAsk, Consented: ruleConsented, Refused: ruleRefused} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, verdict), func(t *testing.T) {
				want := tt.rule
				if want == ruleAsk {
					want = rule
				}
				d := Decide(Request{
					Op: tt.op, Channel: tt.channel, Options: &tt.options, Identity: &tt.identity, Subscribed: tt.subscribed,
					Token: tt.token, Verdict: verdict,
				})
				if d.Rule != want || d.Asks() != (want == ruleAsk) {
					t.Errorf("%+v, want %q", d, want)
				}
				if want == ruleConsented && !d.Allowed || (want == ruleRefused || want == ruleAsk) && d.Allowed {
					t.Errorf("%+v", d)
				}
			})
		}
	}
}

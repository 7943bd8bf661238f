package channel

import (
	"cmp"
	"testing"
	"time"
)

func TestKindOf(t *testing.T) {
	tests := []struct {
		name string
		want Kind
	}{
		{"room", 0},
		{"private", 0},
		{"privateer-1", 0},
		{"chat:private-1", 0},
		{"private-", KindGuarded},
		{"private-room", KindGuarded},
		{"private-chat:room", KindGuarded},
		{"$private-room", KindGuarded},
		{"Private-room", 0},
		{"private-encrypted-room", KindGuarded | KindEncrypted},
		{"private-cache-room", KindGuarded | KindCache},
		{"private-encrypted-cache-room", KindGuarded | KindEncrypted | KindCache},
		{"private-cache-encrypted-room", KindGuarded | KindCache},
		{"presence-room", KindGuarded | KindPresence},
		{"presence-cache-room", KindGuarded | KindPresence | KindCache},
		{"presence-encrypted-room", KindGuarded | KindPresence},
		{"cache-room", KindCache},
		{"encrypted-room", 0},
		{"#server-to-user-ann", KindUser},
		{"#server-to-user-private-x", KindUser},
		{"#server-to-ann", KindLimited},
		{"$#server-to-user-ann", KindLimited},
		{"dialog#1,2", KindLimited},
		{"chat:dialog#1,2", KindLimited},
		{"private-dialog#1", KindGuarded | KindLimited},
	}
	for _, tt := range tests {
		if got := KindOf(tt.name); got != tt.want {
			t.Errorf("KindOf(%q) = %b, want %b", tt.name, got, tt.want)
		}
	}
}

// Whatever the options allow, a kind holds.
func TestDecideKind(t *testing.T) {
	const all = Subscribe | Publish | Presence | History
	open := Options{
		AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true,
		AllowPublishForClient: true, AllowPublishForAnonymous: true,
		AllowPresenceForClient: true, AllowPresenceForAnonymous: true,
		AllowHistoryForClient: true, AllowHistoryForAnonymous: true,
	}
	shared := open
	shared.AllowUserLimitedChannels = true
	const (
		notListed    = "the channel's name does not list the user"
		limited      = "allow_user_limited_channels"
		needsGrant   = "a private or presence channel needs a grant"
		forMembers   = "a private or presence channel is for its subscribers"
		noPublish    = "clients do not publish to an encrypted channel"
		notToUser    = "clients do not publish to a user's channel"
		ofAnother    = "the channel belongs to another user"
		own          = "the user's own channel"
		bySubscriber = "allowed by the grant of the subscription"
	)
	granted := func(ch string) *SubscriptionGrant { return &SubscriptionGrant{Channel: ch, User: "ann"} }
	tests := []struct {
		name       string
		op         Op
		channel    string
		options    *Options // nil: everything is open
		identity   Identity
		token      *SubscriptionGrant
		subscribed bool
		granted    Op
		allowed    bool
		rule       string
	}{
		{name: "private", op: Subscribe, channel: "private-x", identity: user, rule: needsGrant},
		{name: "presence", op: Subscribe, channel: "presence-x", identity: user, rule: needsGrant},
		{name: "encrypted", op: Subscribe, channel: "private-encrypted-x", identity: user, rule: needsGrant},
		{name: "private namespace", op: Subscribe, channel: "private-chat:x", identity: user, rule: needsGrant},
		{name: "public cache", op: Subscribe, channel: "cache-x", identity: user, allowed: true, rule: "allow_subscribe_for_client"},
		{name: "private with a grant", op: Subscribe, channel: "private-x", identity: user, token: granted("private-x"), allowed: true, rule: ruleToken},
		{name: "private with another's grant", op: Subscribe, channel: "private-x", identity: user, token: granted("private-y"), rule: ruleOtherChannel},
		{name: "private, granted by the identity", op: Subscribe, channel: "private-x", identity: user.with(allowing("private-x", all)), allowed: true, rule: ruleGranted},
		{name: "history from outside", op: History, channel: "private-x", identity: user, rule: forMembers},
		{name: "presence from outside", op: Presence, channel: "presence-x", identity: user, rule: forMembers},
		{name: "publish from outside", op: Publish, channel: "private-x", identity: user, rule: forMembers},
		{name: "history inside", op: History, channel: "private-x", identity: user, subscribed: true, allowed: true, rule: "allow_history_for_client"},
		{name: "publish inside", op: Publish, channel: "private-x", identity: user, subscribed: true, allowed: true, rule: "allow_publish_for_client"},
		{name: "publish to encrypted", op: Publish, channel: "private-encrypted-x", identity: user, subscribed: true, rule: noPublish},
		{name: "publish by the subscription's grant", op: Publish, channel: "private-x", identity: user, subscribed: true, granted: Publish, allowed: true, rule: bySubscriber},
		{name: "a grant of the past", op: Publish, channel: "private-x", identity: user, granted: Publish, rule: forMembers},
		{name: "a grant of something else", op: History, channel: "room", identity: user, subscribed: true, granted: Publish, allowed: true, rule: "allow_history_for_client"},
		{name: "own channel", op: Subscribe, channel: "#server-to-user-ann", identity: user, allowed: true, rule: own},
		{name: "another's channel", op: Subscribe, channel: "#server-to-user-bob", identity: user, rule: ofAnother},
		{name: "nobody's channel", op: Subscribe, channel: "#server-to-user-", identity: anonymous, rule: ofAnother},
		{name: "publish to oneself", op: Publish, channel: "#server-to-user-ann", identity: user, subscribed: true, rule: notToUser},
		{name: "another's history", op: History, channel: "#server-to-user-bob", identity: user, rule: forMembers},
		{name: "listed", op: Subscribe, channel: "dialog#bob,ann", options: &shared, identity: user, allowed: true, rule: limited},
		{name: "listed, of no option", op: Subscribe, channel: "dialog#bob,ann", options: &Options{}, identity: user, rule: "allow_subscribe_for_client is off"},
		{name: "listed, by other options", op: Subscribe, channel: "#ann", identity: user, allowed: true, rule: "allow_subscribe_for_client"},
		{name: "listed first", op: Subscribe, channel: "ann#bob", options: &shared, identity: user, rule: notListed},
		{name: "only the last list counts", op: Subscribe, channel: "#ann#bob", options: &shared, identity: user, rule: notListed},
		{name: "a part of one listed", op: Subscribe, channel: "dialog#anna,bob", options: &shared, identity: user, rule: notListed},
		{name: "nobody listed", op: Subscribe, channel: "dialog#,", options: &shared, identity: anonymous, rule: notListed},
		{name: "not listed, with a grant", op: Subscribe, channel: "dialog#bob", identity: user, token: granted("dialog#bob"), allowed: true, rule: ruleToken},
		{name: "not listed, publish", op: Publish, channel: "dialog#bob", identity: user, rule: notListed},
		{name: "not listed, history", op: History, channel: "dialog#bob", identity: user, rule: notListed},
		{name: "not listed, presence", op: Presence, channel: "dialog#bob", identity: user, rule: notListed},
		{name: "listed, history", op: History, channel: "#ann", identity: user, allowed: true, rule: "allow_history_for_client"},
		{name: "listed, private all the same", op: Subscribe, channel: "private-dialog#ann", options: &shared, identity: user, rule: needsGrant},
		{name: "listed, token prefix all the same", op: Subscribe, channel: "$dialog#ann", options: &shared, identity: user, rule: rulePrivate},
		{name: "own history", op: History, channel: "#server-to-user-ann", identity: user, subscribed: true, allowed: true, rule: "allow_history_for_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Decide(Request{
				Op: tt.op, Channel: tt.channel, Options: cmp.Or(tt.options, &open), Identity: &tt.identity,
				Token: tt.token, Subscribed: tt.subscribed, Granted: tt.granted,
			})
			if want := (Decision{tt.allowed, tt.rule}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

func TestKindsChangeOptions(t *testing.T) {
	kept := Options{HistorySize: 50, HistoryTTL: time.Hour}
	ns, err := NewNamespaces(Options{}, []Namespace{{Name: "presence-cache-kept", Options: kept}, {Name: "kept", Options: kept}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		presence bool
		size     int
	}{
		{"room", false, 0},
		{"private-room", false, 0},
		{"presence-room", true, 0},
		{"cache-room", false, 1},
		{"private-encrypted-cache-room", false, 1},
		{"presence-cache-room", true, 1},
		{"kept:room", false, 50},
		{"presence-cache-kept:room", true, 50},
		{"#server-to-user-a:b", false, 0},
	}
	for _, tt := range tests {
		o, err := ns.Resolve(tt.name)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if o.Presence != tt.presence || o.JoinLeave != tt.presence || o.HistorySize != tt.size {
			t.Errorf("%s: presence %t, join_leave %t, history_size %d; want %t, %t, %d",
				tt.name, o.Presence, o.JoinLeave, o.HistorySize, tt.presence, tt.presence, tt.size)
		}
		if tt.size == 1 && (o.HistoryTTL != CacheTTL || o.Durability() != Memory) {
			t.Errorf("%s: kept for %s, %s", tt.name, o.HistoryTTL, o.Durability())
		}
	}
}

func TestPrefixes(t *testing.T) {
	sized := func(n int) Options { return Options{HistorySize: n, HistoryTTL: time.Hour} }
	ns, err := NewNamespaces(sized(1), []Namespace{
		{Name: "chat", Prefixes: []string{"chat-", "private-chat-"}, Options: sized(2)},
		{Name: "vip", Prefixes: []string{"chat-vip-"}, Options: sized(3)},
		{Name: AnyNamespace, Options: sized(4)},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		size int
	}{
		{"room", 1},
		{"chat", 1},
		{"presence-chat-1", 1},
		{":chat-1", 1},
		{"chat-", 2},
		{"chat-1", 2},
		{"private-chat-1", 2},
		{"$chat-1", 2},
		{"chat:1", 2},
		{"chat-vip-1", 3},
		{"vip:1", 3},
		{"chat-1:x", 4},
		{"chat-vip-1:x", 4},
	}
	for _, tt := range tests {
		if o, err := ns.Resolve(tt.name); err != nil || o.HistorySize != tt.size {
			t.Errorf("%s: %+v, %v, want the options with size %d", tt.name, o, err, tt.size)
		}
	}
}

func TestPrefixesRefused(t *testing.T) {
	with := func(prefixes ...string) []Namespace { return []Namespace{{Name: "chat", Prefixes: prefixes}} }
	tests := []struct {
		name string
		list []Namespace
		want string
	}{
		{"good", with("a", "b-"), ""},
		{"empty", with(""), `"" is none`},
		{"colon", with("a:b"), "is none"},
		{"private", with("$a"), "is none"},
		{"user", with("#a"), "is none"},
		{"control", with("a\n"), "is none"},
		{"twice", with("a", "a"), "given twice"},
		{"of two", append(with("a"), Namespace{Name: "news", Prefixes: []string{"a"}}), `"news": prefixes: "a" is given twice`},
		{"any", []Namespace{{Name: AnyNamespace, Prefixes: []string{"a"}}}, "stands for others"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewNamespaces(Options{}, tt.list)
			expectError(t, err, tt.want)
		})
	}
}

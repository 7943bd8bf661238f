package channel

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestResolve(t *testing.T) {
	list := []Namespace{
		{Name: "chat", Options: Options{Presence: true}},
		{Name: "digits", Options: Options{ChannelRegex: `^\d+$`, JoinLeave: true}},
		{Name: "has", Options: Options{ChannelRegex: `x`}}, // matched anywhere
	}
	without := Options{HistorySize: 1, HistoryTTL: time.Second, ChannelRegex: `^[a-z:]*$`}
	strict, err := NewNamespaces(without, list)
	if err != nil {
		t.Fatal(err)
	}
	open, err := NewNamespaces(without, append(list, Namespace{Name: AnyNamespace, Options: Options{ForcePushJoinLeave: true, JoinLeave: true}}))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		strict string // which options: of a namespace, "without"; or the error
		open   string // the same where AnyNamespace is defined
	}{
		{"room", "without", "without"},
		{"$room", "without", "without"},
		{":room", "without", "without"},
		{"Room", "bad", "bad"},
		{"$Room", "bad", "bad"},
		{"chat:Room", "chat", "chat"},
		{"$chat:Room", "chat", "chat"},
		{"chat:", "chat", "chat"},
		{"chat:digits:x", "chat", "chat"},
		{"digits:12", "digits", "digits"},
		{"$digits:12", "digits", "digits"},
		{"digits:", "bad", "bad"},
		{"digits:12:13", "bad", "bad"},
		{"digits:1x", "bad", "bad"},
		{"has:axb", "has", "has"},
		{"has:ab", "bad", "bad"},
		{"other:room", "unknown", "any"},
		{"Chat:room", "unknown", "any"},
		{"$other:room", "unknown", "any"},
		{"chat :room", "unknown", "any"},
		{"", "bad", "bad"},
		{"chat:\n", "bad", "bad"},
	}
	for _, tt := range tests {
		if got := resolvedTo(strict.Resolve(tt.name)); got != tt.strict {
			t.Errorf("%q resolves to %s, want %s", tt.name, got, tt.strict)
		}
		if got := resolvedTo(open.Resolve(tt.name)); got != tt.open {
			t.Errorf("%q resolves to %s where any namespace may be, want %s", tt.name, got, tt.open)
		}
	}
}

// resolvedTo tells which options of TestResolve these are.
func resolvedTo(o *Options, err error) string {
	switch {
	case errors.Is(err, ErrBadName):
		return "bad"
	case errors.Is(err, ErrUnknownNamespace):
		return "unknown"
	case err != nil:
		return err.Error()
	case o.Presence:
		return "chat"
	case o.ForcePushJoinLeave:
		return "any"
	case o.JoinLeave:
		return "digits"
	case o.HasHistory():
		return "without"
	}
	return "has"
}

func TestNewNamespacesRefuses(t *testing.T) {
	named := func(names ...string) (list []Namespace) {
		for _, name := range names {
			list = append(list, Namespace{Name: name})
		}
		return list
	}
	bad := Options{HistorySize: -1}
	tests := []struct {
		name    string
		without Options
		list    []Namespace
		want    string // "": accepted
	}{
		{"none", Options{}, nil, ""},
		{"good names", Options{}, named("ab", "A-b_9.", "--", strings.Repeat("x", 64), AnyNamespace), ""},
		{"twice", Options{}, named("chat", "news", "chat"), `"chat": defined twice`},
		{"any twice", Options{}, named(AnyNamespace, AnyNamespace), "defined twice"},
		{"no name", Options{}, named(""), `"": the name must match`},
		{"short", Options{}, named("a"), "must match"},
		{"long", Options{}, named(strings.Repeat("x", 65)), "must match"},
		{"colon", Options{}, named("a:b"), "must match"},
		{"private prefix", Options{}, named("$chat"), "must match"},
		{"space", Options{}, named("a b"), "must match"},
		{"line", Options{}, named("ab\n"), "must match"},
		{"not ASCII", Options{}, named("éé"), "must match"},
		{"options without namespace", bad, nil, "without_namespace: history_size"},
		{"options of one", Options{}, []Namespace{{Name: "chat", Options: bad}}, `namespace "chat": history_size`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewNamespaces(tt.without, tt.list)
			expectError(t, err, tt.want)
		})
	}
}

func TestCheck(t *testing.T) {
	history := Options{HistorySize: 10, HistoryTTL: time.Minute}
	with := func(change func(o *Options)) Options {
		o := history
		change(&o)
		return o
	}
	tests := []struct {
		name    string
		options Options
		want    string // "": accepted
	}{
		{"nothing", Options{}, ""},
		{"history", history, ""},
		{"largest", Options{HistorySize: MaxHistorySize, HistoryTTL: MaxHistoryTTL}, ""},
		{"negative size", Options{HistorySize: -1, HistoryTTL: time.Second}, "history_size -1"},
		{"size too large", Options{HistorySize: MaxHistorySize + 1, HistoryTTL: time.Second}, "history_size 1000001"},
		{"negative ttl", Options{HistorySize: 1, HistoryTTL: -1}, "history_ttl"},
		{"ttl too long", Options{HistorySize: 1, HistoryTTL: MaxHistoryTTL + 1}, "history_ttl"},
		{"size alone", Options{HistorySize: 1}, "history needs both"},
		{"ttl alone", Options{HistoryTTL: 1}, "history needs both"},
		{"negative meta ttl", with(func(o *Options) { o.HistoryMetaTTL = -1 }), "history_meta_ttl"},
		{"meta ttl below ttl", with(func(o *Options) { o.HistoryMetaTTL = time.Second }), "must not be shorter"},
		{"meta ttl as ttl", with(func(o *Options) { o.HistoryMetaTTL = time.Minute }), ""},
		{"disk", with(func(o *Options) { o.HistoryDurability = Disk }), ""},
		{"memory", with(func(o *Options) { o.HistoryDurability = Memory }), ""},
		{"another durability", with(func(o *Options) { o.HistoryDurability = "Disk" }), `history_durability "Disk"`},
		{"stream", with(func(o *Options) { o.ForceRecoveryMode = RecoverStream }), ""},
		{"cache", with(func(o *Options) { o.ForceRecoveryMode = RecoverCache }), ""},
		{"another mode", with(func(o *Options) { o.ForceRecoveryMode = "all" }), `force_recovery_mode "all"`},
		{"recovery", with(func(o *Options) { o.ForceRecovery, o.AllowRecovery = true, true }), ""},
		{"force_recovery without history", Options{ForceRecovery: true}, "without history"},
		{"allow_recovery without history", Options{AllowRecovery: true}, "without history"},
		{"force_positioning without history", Options{ForcePositioning: true}, "without history"},
		{"allow_positioning without history", Options{AllowPositioning: true}, "without history"},
		{"join and leave", Options{JoinLeave: true, ForcePushJoinLeave: true}, ""},
		{"push of what there is not", Options{ForcePushJoinLeave: true}, "force_push_join_leave without join_leave"},
		{"regex", Options{ChannelRegex: `^\w+$`}, ""},
		{"no regex", Options{ChannelRegex: `(`}, "channel_regex"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expectError(t, tt.options.Check(), tt.want) })
	}
}

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want %q", err, want)
	}
}

func TestDefaultsOfOptions(t *testing.T) {
	var o Options
	if o.HasHistory() || o.Durability() != Disk || o.MetaTTL() != DefaultHistoryMetaTTL || o.RecoveryMode() != RecoverStream {
		t.Errorf("history %t, %s, meta ttl %s, %s", o.HasHistory(), o.Durability(), o.MetaTTL(), o.RecoveryMode())
	}
	o = Options{
		HistorySize: 1, HistoryTTL: 2 * DefaultHistoryMetaTTL, HistoryDurability: Memory, ForceRecoveryMode: RecoverCache,
	}
	if !o.HasHistory() || o.Durability() != Memory || o.MetaTTL() != o.HistoryTTL || o.RecoveryMode() != RecoverCache {
		t.Errorf("history %t, %s, meta ttl %s, %s", o.HasHistory(), o.Durability(), o.MetaTTL(), o.RecoveryMode())
	}
	o.HistoryMetaTTL = 3 * DefaultHistoryMetaTTL
	if o.MetaTTL() != o.HistoryMetaTTL {
		t.Errorf("meta ttl %s", o.MetaTTL())
	}
}

package channel

import (
	"path"
	"strings"
	"testing"
)

func TestGrantNames(t *testing.T) {
	tests := []struct {
		pattern string
		match   Match
		name    string
		want    bool
	}{
		{"news", Exact, "news", true},
		{"news", Exact, "news2", false},
		{"new*", Exact, "news", false},
		{"new*", Exact, "new*", true},
		{"news", Prefix, "news", true},
		{"news", Prefix, "news:1", true},
		{"news:", Prefix, "news", false},
		{"", Prefix, "anything", true},
		{"*", Wildcard, "anything", true},
		{"*", Wildcard, "chat:1", true},
		{"chat:*", Wildcard, "chat:1", true},
		{"chat:*", Wildcard, "chat:", true},
		{"chat:*", Wildcard, "chats:1", false},
		{"*:42", Wildcard, "chat:42", true},
		{"*:42", Wildcard, "chat:421", false},
		{"a*b*c", Wildcard, "abc", true},
		{"a*b*c", Wildcard, "a-b-b-c", true},
		{"a*b*c", Wildcard, "acb", false},
		{"a**c", Wildcard, "ac", true},
		{"ab*ba", Wildcard, "aba", false},
		{"news", Wildcard, "news", true},
		{"new?", Wildcard, "news", false},
		{"chat:[1]", Wildcard, "chat:1", false},
		{"Chat", Exact, "chat", false},
		{"*", 9, "chat", false},
	}
	for _, tt := range tests {
		g := Grant{Channel: tt.pattern, Match: tt.match}
		if got := g.names(tt.name); got != tt.want {
			t.Errorf("%q %s names %q: %t", tt.pattern, tt.match, tt.name, got)
		}
	}
}

// Patterns agree with another implementation wherever both mean the same.
func FuzzGlob(f *testing.F) {
	f.Add("a*b", "aab")
	f.Add("*a*", "bab")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.ContainsAny(pattern, `?[]\/`) || strings.Contains(name, "/") {
			return
		}
		want, err := path.Match(pattern, name)
		if got := glob(pattern, name); err == nil && got != want {
			t.Errorf("%q matches %q: %t", pattern, name, got)
		}
	})
}

func TestMatchHasAName(t *testing.T) {
	for m, want := range map[Match]string{Exact: "", Prefix: "prefix", Wildcard: "wildcard", 9: ""} {
		if m.String() != want {
			t.Errorf("%d is %q", m, m.String())
		}
	}
}

// oracle says in the words of the documentation who may do what; it shares
// nothing with Decide but its inputs. denied and granted come from the row.
func oracle(op Op, name string, flagOn, subscribed, token, denied, granted, ops bool, user string) bool {
	private := strings.HasPrefix(name, "$")
	guarded := strings.HasPrefix(name, "private-") || strings.HasPrefix(name, "presence-")
	encrypted := strings.HasPrefix(name, "private-encrypted-")
	switch {
	case denied:
		return false
	case op == Subscribe && token:
		return true
	case op == Subscribe && private:
		return false
	case granted:
		return true
	case subscribed && ops:
		return true
	case name == "#server-to-user-"+user && op == Subscribe:
		return true
	case strings.HasPrefix(name, "#server-to-user-"):
		return subscribed && op != Publish && op != Subscribe && flagOn
	case strings.Contains(name, "#") && name != "room#"+user:
		return false
	case encrypted && op == Publish:
		return false
	case guarded && op == Subscribe:
		return false
	case guarded && !subscribed:
		return false
	}
	return flagOn
}

// Every operation on every kind of channel, for each set of grants, with and
// without flag, subscription, its own grant, and token, follows the oracle.
func TestDecideCrossProduct(t *testing.T) {
	const all = Subscribe | Publish | Presence | History
	names := []string{
		"room", "room:1", "$room", "private-room", "presence-room", "private-encrypted-room",
		"room#ann", "room#bob", "#server-to-user-ann", "#server-to-user-bob",
	}
	type grants struct {
		name    string
		grants  Grants
		denied  func(name string) bool
		granted func(name string) bool
	}
	never := func(string) bool { return false }
	always := func(string) bool { return true }
	owned := func(name string) bool { return strings.Contains(name, "#") }
	sets := []grants{
		{"none", Grants{}, never, never},
		{"all by wildcard", Grants{Allow: []Grant{{"*", all, Wildcard}}}, never, func(n string) bool { return !owned(n) }},
		{"all by prefix", Grants{Allow: []Grant{{"", all, Prefix}}}, never, func(n string) bool { return !owned(n) }},
		{"users' channels by wildcard", Grants{Allow: []Grant{{"*#*", all, Wildcard}}}, never, owned},
		{"one exactly", Grants{Allow: []Grant{{"room#bob", all, Exact}}}, never, func(n string) bool { return n == "room#bob" }},
		{"first decides", Grants{Allow: []Grant{{"room", 0, Exact}, {"room*", all, Wildcard}}}, never, func(n string) bool { return n == "room:1" }},
		{"all denied", Grants{Deny: []Grant{{"*", all, Wildcard}}, Allow: []Grant{{"*", all, Wildcard}}}, always, never},
		{"some denied", Grants{Deny: []Grant{{"room", all, Prefix}}}, func(n string) bool { return strings.HasPrefix(n, "room") }, never},
		{"of no match", Grants{Deny: []Grant{{"*", all, 9}}, Allow: []Grant{{"*", all, 9}}}, never, never},
	}
	rows := 0
	for _, op := range []Op{Subscribe, Publish, Presence, History} {
		for _, name := range names {
			for _, set := range sets {
				for bits := range 16 {
					flagOn, subscribed, token, own := bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0
					rows++
					o := flagged(op, flagOn, false, flagOn)
					who := Identity{App: DefaultApp, User: "ann", Grants: set.grants}
					r := Request{Op: op, Channel: name, Options: &o, Identity: &who, Subscribed: subscribed}
					if token {
						r.Token = &SubscriptionGrant{Channel: name, User: "ann"}
					}
					if own {
						r.Granted = op
					}
					got := Decide(r)
					want := oracle(op, name, flagOn, subscribed, token, set.denied(name), set.granted(name), own, "ann")
					if got.Allowed != want || got.Rule == "" {
						t.Errorf("%s %s, grants %s, flag %t, subscribed %t, token %t, own %t: %+v", op, name, set.name, flagOn, subscribed, token, own, got)
					}
				}
			}
		}
	}
	if rows < 5000 {
		t.Errorf("only %d rows", rows)
	}
}

// A grant for one operation is none for another.
func TestGrantsOfOneOperation(t *testing.T) {
	ops := []Op{Subscribe, Publish, Presence, History}
	for _, match := range []Match{Exact, Prefix, Wildcard} {
		for _, granted := range ops {
			for _, asked := range ops {
				grant := []Grant{{"room", granted, match}}
				allow := user.with(Grants{Allow: grant})
				if d := Decide(Request{Op: asked, Channel: "room", Options: &Options{}, Identity: &allow}); d.Allowed != (asked == granted) {
					t.Errorf("%s granted, %s asked: %+v", granted, asked, d)
				}
				o, deny := flagged(asked, true, false, true), user.with(Grants{Deny: grant})
				if d := Decide(Request{Op: asked, Channel: "room", Options: &o, Identity: &deny}); d.Allowed != (asked != granted) {
					t.Errorf("%s denied, %s asked: %+v", granted, asked, d)
				}
			}
		}
	}
}

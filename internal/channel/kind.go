package channel

import "strings"

// Kind is what the beginning of a name says about a channel, through every
// protocol. The names are those of Pusher Channels ("Channel naming
// conventions"); a prefix of the namespace's counts as well: private-chat:1 is
// private.
type Kind uint8

// The parts of a Kind.
const (
	// KindGuarded needs a grant to subscribe; only its subscribers do anything else.
	KindGuarded Kind = 1 << iota
	// KindPresence has presence, and shows it to its subscribers.
	KindPresence
	// KindEncrypted holds what only its subscribers can read; clients do not
	// publish to it.
	KindEncrypted
	// KindCache keeps at least its latest publication.
	KindCache
	// KindUser belongs to the one user that it names.
	KindUser
	// KindLimited is for the users that its name lists.
	KindLimited
)

// The prefixes of kinds.
const (
	prefixPrivate   = "private-"
	prefixEncrypted = "encrypted-"
	prefixPresence  = "presence-"
	prefixCache     = "cache-"
	prefixUser      = "#server-to-user-"
)

// UserChannel is the channel that belongs to a user.
func UserChannel(user string) string { return prefixUser + user }

// KindOf reads the kind from a name.
func KindOf(name string) (k Kind) {
	if strings.HasPrefix(name, prefixUser) {
		return KindUser
	}
	name = strings.TrimPrefix(name, PrivatePrefix)
	if rest, ok := strings.CutPrefix(name, prefixPrivate); ok {
		k, name = KindGuarded, rest
		if rest, ok = strings.CutPrefix(name, prefixEncrypted); ok {
			k, name = k|KindEncrypted, rest
		}
	} else if rest, ok = strings.CutPrefix(name, prefixPresence); ok {
		k, name = KindGuarded|KindPresence, rest
	}
	if strings.HasPrefix(name, prefixCache) {
		k |= KindCache
	}
	if strings.Contains(name, userBoundary) {
		k |= KindLimited
	}
	return k
}

// What follows the last userBoundary of a name lists users, as in Centrifugo:
// dialog#1,2 is for 1 and 2, #42 for 42 alone.
const (
	userBoundary  = "#"
	userSeparator = ","
)

// listed reports whether a name lists a user; the anonymous are never listed.
func listed(name, user string) bool {
	list := name[strings.LastIndex(name, userBoundary)+len(userBoundary):]
	for one := range strings.SplitSeq(list, userSeparator) {
		if one == user && user != "" {
			return true
		}
	}
	return false
}

// Has reports whether k has all parts of part.
func (k Kind) Has(part Kind) bool { return k&part == part }

// kindOptions are the parts of a Kind that change options.
const kindOptions = KindPresence | KindCache

// of is o as it holds for channels of a kind.
func (o Options) of(k Kind) *Options {
	if k.Has(KindPresence) {
		o.Presence, o.JoinLeave = true, true
		o.AllowPresenceForSubscriber, o.AllowPresenceForAnonymous = true, true
	}
	if k.Has(KindCache) && !o.HasHistory() {
		o.HistorySize, o.HistoryTTL, o.HistoryDurability = 1, CacheTTL, Memory
	}
	return &o
}

// decideKind answers what the kind of a channel alone decides.
func decideKind(r Request, k Kind) (d Decision, decided bool) {
	if k.Has(KindLimited) && !listed(r.Channel, r.Identity.User) {
		return Decision{false, "the channel's name does not list the user"}, true
	}
	switch {
	case k.Has(KindUser) && r.Op == Subscribe:
		return decideOwn(r), true
	case k.Has(KindUser) && r.Op == Publish:
		return Decision{false, "clients do not publish to a user's channel"}, true
	case k.Has(KindEncrypted) && r.Op == Publish:
		return Decision{false, "clients do not publish to an encrypted channel"}, true
	case k&(KindGuarded|KindUser) == 0:
		return Decision{}, false
	case r.Op == Subscribe:
		return Decision{false, "a private or presence channel needs a grant"}, true
	case !r.Subscribed:
		return Decision{false, "a private or presence channel is for its subscribers"}, true
	}
	return Decision{}, false
}

// decideLimited answers for a user that the name lists.
func decideLimited(r Request, k Kind) (d Decision, decided bool) {
	if k.Has(KindLimited) && r.Op == Subscribe && r.Options.AllowUserLimitedChannels {
		return Decision{true, "allow_user_limited_channels"}, true
	}
	return Decision{}, false
}

func decideOwn(r Request) Decision {
	if user := strings.TrimPrefix(r.Channel, prefixUser); user == "" || user != r.Identity.User {
		return Decision{false, "the channel belongs to another user"}
	}
	return Decision{true, "the user's own channel"}
}

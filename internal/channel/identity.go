package channel

import (
	"errors"
	"time"
)

// Errors every verifier of tokens returns, so that protocols can name them in
// their own terms.
var (
	ErrTokenInvalid = errors.New("invalid token")
	ErrTokenExpired = errors.New("token expired")
)

// Identity is who a session speaks for.
type Identity struct {
	App      string
	User     string    // "": anonymous
	Info     []byte    // JSON shown to others in presence, joins and publications; nil: none
	ExpireAt time.Time // zero: never
	Channels []string  // subscribed for it when it connects, without asking
	Grants   Grants
}

// Anonymous reports whether no user is known.
func (i *Identity) Anonymous() bool { return i.User == "" }

// Op is a set of operations on a channel.
type Op uint8

// The operations that permission is asked for.
const (
	Subscribe Op = 1 << iota
	Publish
	Presence
	History
)

// String names a single operation.
func (o Op) String() string {
	switch o {
	case Subscribe:
		return "subscribe"
	case Publish:
		return "publish"
	case Presence:
		return "presence"
	case History:
		return "history"
	}
	return "unknown"
}

// Grant allows or denies operations on the channel it names exactly.
type Grant struct {
	Channel string
	Ops     Op
}

// Grants are what an Identity brings along, beyond its namespace's flags.
// Deny is asked first.
type Grants struct {
	Deny  []Grant
	Allow []Grant
}

func match(list []Grant, name string, op Op) bool {
	for i := range list {
		if list[i].Ops&op != 0 && list[i].Channel == name {
			return true
		}
	}
	return false
}

// SubscriptionGrant is what a subscription token or a signature says: its bearer
// may subscribe to one channel.
type SubscriptionGrant struct {
	Channel  string
	User     string
	Client   string    // only this session; "": any of the user's
	Member   string    // who the bearer is to others in this channel; "": User
	Info     []byte    // JSON shown to others as chan_info; nil: none
	Ops      Op        // what a subscriber may do beside subscribing
	ExpireAt time.Time // zero: never
}

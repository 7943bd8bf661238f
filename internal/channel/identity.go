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
	// ErrTokenKeys says that the token cannot be judged yet: its key has still to be
	// fetched. The client should try again.
	ErrTokenKeys = errors.New("the keys of tokens are being fetched")
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

package auth

import (
	"errors"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Explanation says what a token is worth. Only what a key has verified is in it.
type Explanation struct {
	Err       error // why it is refused; nil: it is accepted
	Algorithm string
	KeyID     string // as the token says
	Key       *Key   // that verified it; nil: none did, and nothing below is known

	Identity  channel.Identity           // of a connection token
	Grant     *channel.SubscriptionGrant // of a subscription token
	Issuer    string
	NotBefore time.Time // zero: not told
	IssuedAt  time.Time // zero: not told
}

// Explain reads a token of either kind. What has expired is explained too.
func (v *Verifier) Explain(token string) Explanation {
	var e Explanation
	if h, err := readHeader(token); err == nil {
		e.Algorithm, e.KeyID = h.alg, h.kid
	}
	c, key, err := v.parse(token)
	e.Err = err
	if err != nil && !errors.Is(err, channel.ErrTokenExpired) {
		return e
	}
	e.Key, e.Issuer = key, c.Issuer
	if c.NotBefore != nil {
		e.NotBefore = c.NotBefore.Time
	}
	if c.IssuedAt != nil {
		e.IssuedAt = c.IssuedAt.Time
	}
	if c.Channel != "" {
		e.Grant, err = v.grant(c)
	} else if id, idErr := v.identity(c); idErr == nil {
		e.Identity = *id
	} else {
		err = idErr
	}
	if err != nil {
		e.Err = err
	}
	return e
}

package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Source holds keys that change while the server runs. Find never waits. Errors:
// channel.ErrTokenKeys (not known yet; asking later helps), or none with no keys.
type Source interface {
	Find(id, alg string) ([]Key, error)
}

// Config is what a Verifier is made of. Without Secret, Keys and Source every
// token is refused.
type Config struct {
	Secret    string           // of the App, for HS256, HS384 and HS512; "": none
	Keys      []Key            // beside it, MaxKeys at most
	Source    Source           // asked when none of these verifies; nil: none
	App       string           // whose tokens they are; "": channel.DefaultApp
	Audience  string           // must be in the claim aud; "": not asked
	Issuer    string           // must be the claim iss; "": not asked
	UserClaim string           // that holds the user; "": sub
	Leeway    time.Duration    // by which clocks may differ: added to exp, taken from nbf
	Now       func() time.Time // nil: time.Now
}

// Verifier turns tokens into what they say. Its methods may be called from any
// goroutine and never wait. Their errors wrap channel.ErrTokenInvalid,
// channel.ErrTokenExpired or channel.ErrTokenKeys; the rest of the text is for
// logs.
type Verifier struct {
	cfg  Config
	keys []Key
	base []jwt.ParserOption
}

// New makes a Verifier.
func New(cfg Config) *Verifier {
	if cfg.App == "" {
		cfg.App = channel.DefaultApp
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	v := &Verifier{cfg: cfg, base: []jwt.ParserOption{jwt.WithTimeFunc(cfg.Now), jwt.WithStrictDecoding(), jwt.WithLeeway(cfg.Leeway)}}
	if cfg.Audience != "" {
		v.base = append(v.base, jwt.WithAudience(cfg.Audience))
	}
	if cfg.Issuer != "" {
		v.base = append(v.base, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Secret != "" {
		v.keys = append(v.keys, secretKey("", "app.secret", []byte(cfg.Secret)))
	}
	v.keys = append(v.keys, cfg.Keys...)
	for i := range v.keys {
		v.keys[i].parser = parserOf(&v.keys[i], v.base)
	}
	return v
}

// Connection reads a connection token. One for a channel is refused: who was
// given it may subscribe, not connect.
func (v *Verifier) Connection(token string) (*channel.Identity, error) {
	c, _, err := v.parse(token)
	if err != nil {
		return nil, err
	}
	return v.identity(c)
}

func (v *Verifier) identity(c *claims) (*channel.Identity, error) {
	switch {
	case c.Channel != "":
		return nil, invalid(errors.New("a subscription token cannot connect"))
	case c.Client != "": // a session has no id before it connects
		return nil, invalid(errors.New("a connection token cannot be for one client"))
	case c.Allow != nil:
		return nil, invalid(errors.New("allow is a claim of subscription tokens; connection tokens have caps"))
	}
	info, err := c.info()
	if err != nil {
		return nil, invalid(err)
	}
	grants, err := c.Caps.grants()
	if err != nil {
		return nil, invalid(err)
	}
	return &channel.Identity{
		App: v.cfg.App, User: c.user, Info: info, ExpireAt: v.expireAt(c), Channels: c.Channels, Grants: grants,
	}, nil
}

// Subscription reads a subscription token. Whether its user and channel are those
// of who brings it is channel.Decide's to say.
func (v *Verifier) Subscription(token string) (*channel.SubscriptionGrant, error) {
	c, _, err := v.parse(token)
	if err != nil {
		return nil, err
	}
	return v.grant(c)
}

func (v *Verifier) grant(c *claims) (*channel.SubscriptionGrant, error) {
	switch {
	case c.Channel == "":
		return nil, invalid(errors.New("it names no channel"))
	case c.Caps != nil:
		return nil, invalid(errors.New("caps is a claim of connection tokens; subscription tokens have allow"))
	}
	info, err := c.info()
	if err != nil {
		return nil, invalid(err)
	}
	ops, err := opsOf(c.Allow)
	if err != nil {
		return nil, invalid(err)
	}
	return &channel.SubscriptionGrant{
		Channel: c.Channel, User: c.user, Client: c.Client, Info: info, Ops: ops, ExpireAt: v.expireAt(c),
	}, nil
}

// expireAt is when a token ends for this server, whose clock may be ahead.
func (v *Verifier) expireAt(c *claims) time.Time {
	if c.ExpiresAt == nil {
		return time.Time{}
	}
	return c.ExpiresAt.Add(v.cfg.Leeway)
}

// parse gives the claims and the key that verified them. Of a token that has
// expired it gives both, with the error.
func (v *Verifier) parse(token string) (*claims, *Key, error) {
	if len(token) > MaxToken {
		return nil, nil, invalid(fmt.Errorf("%d bytes, at most %d are allowed", len(token), MaxToken))
	}
	if len(v.keys) == 0 && v.cfg.Source == nil {
		return nil, nil, invalid(errors.New("app.secret is not set, nor any other key"))
	}
	h, err := readHeader(token)
	if err != nil {
		return nil, nil, invalid(err)
	}
	named := false // a key of that name is here: the Source has no other
	for i := range v.keys {
		if k := &v.keys[i]; k.verifies(h.alg) && k.holds(v.cfg.Now()) && (k.ID == "" || h.kid == "" || k.ID == h.kid) {
			if c, mine, err := v.with(k, token); mine {
				return c, k, err
			}
			named = named || k.ID != "" && k.ID == h.kid
		}
	}
	if v.cfg.Source != nil && !named && !strings.HasPrefix(h.alg, "HS") {
		found, err := v.cfg.Source.Find(h.kid, h.alg)
		if err != nil {
			return nil, nil, err
		}
		for i := range found {
			if k := &found[i]; k.verifies(h.alg) {
				if c, mine, err := v.with(k, token); mine {
					return c, k, err
				}
			}
		}
	}
	return nil, nil, invalid(fmt.Errorf("no key verifies it (alg %.16q, kid %.64q)", h.alg, h.kid))
}

// with parses by one key; mine is false when the signature is not that key's.
func (v *Verifier) with(k *Key, token string) (c *claims, mine bool, err error) {
	c = &claims{userClaim: v.cfg.UserClaim}
	parser := k.parser
	if parser == nil { // of a Source, which does not know the rules
		parser = parserOf(k, v.base)
	}
	_, err = parser.ParseWithClaims(token, c, func(*jwt.Token) (any, error) { return k.material, nil })
	switch {
	case err == nil:
		return c, true, nil
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, false, err
	case onlyExpired(err):
		return c, true, fmt.Errorf("%w: %w", channel.ErrTokenExpired, err)
	}
	return nil, true, invalid(err)
}

// otherFaults are what may be wrong besides an expiry; any of them makes a token
// one that a new expiry would not make good.
var otherFaults = []error{
	jwt.ErrTokenMalformed, jwt.ErrTokenNotValidYet, jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenRequiredClaimMissing, errClaims,
}

// onlyExpired reports that a token was good once: a client may bring a new one.
func onlyExpired(err error) bool {
	if !errors.Is(err, jwt.ErrTokenExpired) {
		return false
	}
	for _, other := range otherFaults {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// header is what of a token is looked at before its signature.
type header struct{ alg, kid string }

var errHeader = errors.New("the header is none that is understood")

// readHeader finds out which keys to try. A critical extension is none that this
// server understands (RFC 7515, 4.1.11).
func readHeader(token string) (h header, err error) {
	if strings.ContainsAny(token, "\r\n") { // which the decoder of base64 passes over
		return h, errHeader
	}
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return h, errHeader
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil || fields["crit"] != nil || json.Unmarshal(fields["alg"], &h.alg) != nil {
		return h, errHeader
	}
	if kid, there := fields["kid"]; there && json.Unmarshal(kid, &h.kid) != nil {
		return h, errHeader
	}
	return h, nil
}

func invalid(why error) error { return fmt.Errorf("%w: %w", channel.ErrTokenInvalid, why) }

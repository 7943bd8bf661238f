package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Config is what a Verifier is made of.
type Config struct {
	Secret string           // of the App; "": every token is refused
	App    string           // whose tokens they are; "": channel.DefaultApp
	Now    func() time.Time // nil: time.Now
}

// Verifier turns tokens into what they say. Its methods may be called from any
// goroutine. Their errors wrap channel.ErrTokenInvalid or
// channel.ErrTokenExpired; the rest of the text is for logs.
type Verifier struct {
	app    string
	secret []byte
	parser *jwt.Parser
}

// New makes a Verifier.
func New(cfg Config) *Verifier {
	if cfg.App == "" {
		cfg.App = channel.DefaultApp
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Verifier{
		app:    cfg.App,
		secret: []byte(cfg.Secret),
		// The token's own word on its algorithm is not trusted (RFC 8725, 3.1).
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithTimeFunc(cfg.Now),
			jwt.WithStrictDecoding(),
		),
	}
}

// Connection reads a connection token. One for a channel is refused: who was
// given it may subscribe, not connect.
func (v *Verifier) Connection(token string) (*channel.Identity, error) {
	c, info, err := v.parse(token)
	if err != nil {
		return nil, err
	}
	if c.Channel != "" {
		return nil, invalid(errors.New("a subscription token cannot connect"))
	}
	if c.Client != "" { // a session has no id before it connects
		return nil, invalid(errors.New("a connection token cannot be for one client"))
	}
	return &channel.Identity{
		App: v.app, User: c.Subject, Info: info, ExpireAt: c.expireAt(), Channels: c.Channels,
	}, nil
}

// Subscription reads a subscription token. Whether its user and channel are those
// of who brings it is channel.Decide's to say.
func (v *Verifier) Subscription(token string) (*channel.SubscriptionGrant, error) {
	c, info, err := v.parse(token)
	if err != nil {
		return nil, err
	}
	if c.Channel == "" {
		return nil, invalid(errors.New("it names no channel"))
	}
	return &channel.SubscriptionGrant{Channel: c.Channel, User: c.Subject, Client: c.Client, Info: info, ExpireAt: c.expireAt()}, nil
}

func (v *Verifier) parse(token string) (*claims, []byte, error) {
	switch {
	case len(v.secret) == 0:
		return nil, nil, invalid(errors.New("app.secret is not set"))
	case len(token) > MaxToken:
		return nil, nil, invalid(fmt.Errorf("%d bytes, at most %d are allowed", len(token), MaxToken))
	}
	c := &claims{}
	_, err := v.parser.ParseWithClaims(token, c, func(*jwt.Token) (any, error) { return v.secret, nil })
	if onlyExpired(err, c) {
		return nil, nil, fmt.Errorf("%w: %w", channel.ErrTokenExpired, err)
	}
	if err != nil {
		return nil, nil, invalid(err)
	}
	info, err := c.info()
	if err != nil {
		return nil, nil, invalid(err)
	}
	return c, info, nil
}

// onlyExpired reports that a token was good once: a client may bring a new one.
func onlyExpired(err error, c *claims) bool {
	return errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenNotValidYet) && c.Validate() == nil
}

func invalid(why error) error { return fmt.Errorf("%w: %w", channel.ErrTokenInvalid, why) }

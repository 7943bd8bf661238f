package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Limits of a token.
const (
	MaxToken = 16 << 10 // bytes of a token in its compact form
	MaxUser  = 255      // bytes of the claim sub
)

// lastExpiry bounds exp: later instants overflow where times are milliseconds.
var lastExpiry = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// claims are what a token may say; what is not listed is ignored.
type claims struct {
	jwt.RegisteredClaims                 // sub, exp, nbf; iat is not judged
	Channel              string          `json:"channel,omitempty"` // makes it a subscription token
	Client               string          `json:"client,omitempty"`  // of a subscription token: only this session may use it
	Info                 json.RawMessage `json:"info,omitempty"`
	B64Info              string          `json:"b64info,omitempty"`  // base64, instead of info
	Channels             []string        `json:"channels,omitempty"` // of a connection token: subscribed at once
}

// Validate is called by the library after the signature has been verified.
func (c *claims) Validate() error {
	switch {
	case len(c.Subject) > MaxUser:
		return fmt.Errorf("sub has %d bytes, at most %d are allowed", len(c.Subject), MaxUser)
	case c.ExpiresAt != nil && c.ExpiresAt.After(lastExpiry):
		return errors.New("exp is out of range")
	}
	return nil
}

func (c *claims) expireAt() time.Time {
	if c.ExpiresAt == nil {
		return time.Time{}
	}
	return c.ExpiresAt.Time
}

// info is what others are shown, as JSON on one line; nil: nothing. Bytes that
// are no JSON become a JSON string in base64, as data of publications does.
func (c *claims) info() ([]byte, error) {
	if c.B64Info == "" {
		return compact(c.Info)
	}
	raw, err := base64.StdEncoding.DecodeString(c.B64Info)
	if err != nil {
		return nil, fmt.Errorf("b64info: %w", err)
	}
	if info, err := compact(raw); err == nil {
		return info, nil
	}
	return []byte(`"` + base64.StdEncoding.EncodeToString(raw) + `"`), nil
}

var errNoJSON = errors.New("info is no JSON in UTF-8")

// compact puts JSON on one line: on the wire a line is a message.
func compact(info []byte) ([]byte, error) {
	if len(info) == 0 || string(info) == "null" {
		return nil, nil
	}
	var b bytes.Buffer
	if !utf8.Valid(info) || json.Compact(&b, info) != nil {
		return nil, errNoJSON
	}
	return b.Bytes(), nil
}

// Token is what a new token says.
type Token struct {
	User     string    // "": anonymous
	Channel  string    // "": a connection token, otherwise a subscription token for it
	Info     []byte    // JSON shown to others; nil: none
	IssuedAt time.Time // zero: not told
	ExpireAt time.Time // zero: never
}

// ErrNoSecret says that there is nothing to sign with.
var ErrNoSecret = errors.New("no secret to sign with")

// Mint signs a token. Errors: ErrNoSecret, channel.ErrBadName, or what a
// Verifier would not accept.
func Mint(secret string, t Token) (string, error) {
	if secret == "" {
		return "", ErrNoSecret
	}
	info, err := compact(t.Info)
	if err != nil {
		return "", err
	}
	c := &claims{Channel: t.Channel, Info: info}
	c.Subject = t.User
	if !t.IssuedAt.IsZero() {
		c.IssuedAt = jwt.NewNumericDate(t.IssuedAt)
	}
	if !t.ExpireAt.IsZero() {
		c.ExpiresAt = jwt.NewNumericDate(t.ExpireAt)
	}
	if err := c.Validate(); err != nil {
		return "", err
	}
	if t.Channel != "" {
		if err := channel.CheckName(t.Channel); err != nil {
			return "", err
		}
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	if len(signed) > MaxToken {
		return "", fmt.Errorf("the token has %d bytes, at most %d are allowed", len(signed), MaxToken)
	}
	return signed, nil
}

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
	Caps                 capabilities    `json:"caps,omitempty"`     // of a connection token: grants
	Allow                []string        `json:"allow,omitempty"`    // of a subscription token: what a subscriber may do beside

	userClaim string // where the user stands; "": sub
	user      string
}

// UnmarshalJSON reads the user from the claim that holds it.
func (c *claims) UnmarshalJSON(b []byte) error {
	type plain claims
	if err := json.Unmarshal(b, (*plain)(c)); err != nil {
		return err
	}
	if c.userClaim == "" {
		c.user = c.Subject
		return nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	var user *string
	if json.Unmarshal(all[c.userClaim], &user) != nil || user == nil {
		return fmt.Errorf("it has no claim %s that is text", c.userClaim)
	}
	c.user = *user
	return nil
}

// errClaims is what Validate finds.
var errClaims = errors.New("a claim is out of bounds")

// Validate is called by the library after the signature has been verified.
func (c *claims) Validate() error {
	switch {
	case len(c.user) > MaxUser:
		return fmt.Errorf("%w: the user has %d bytes, at most %d are allowed", errClaims, len(c.user), MaxUser)
	case c.ExpiresAt != nil && c.ExpiresAt.After(lastExpiry):
		return fmt.Errorf("%w: exp", errClaims)
	}
	return nil
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

package auth

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Token is what a new token says.
type Token struct {
	User     string         // "": anonymous
	Channel  string         // "": a connection token, otherwise a subscription token for it
	Info     []byte         // JSON shown to others; nil: none
	Grants   channel.Grants // of a connection token
	Ops      channel.Op     // of a subscription token: what a subscriber may do beside
	Audience string         // "": not told
	Issuer   string         // "": not told
	IssuedAt time.Time      // zero: not told
	ExpireAt time.Time      // zero: never
}

// ErrNoSecret says that there is nothing to sign with.
var ErrNoSecret = errors.New("no secret to sign with")

// Signer signs tokens with one key and one algorithm.
type Signer struct {
	id  string
	alg string
	key any
}

// NewSigner signs with a private key in PEM (PKCS #8, PKCS #1 or SEC 1), by the
// first algorithm of its kind or by alg. id becomes kid; "": none. Errors:
// ErrNoPEM, ErrKeyKind, ErrWeakKey.
func NewSigner(id, alg string, text []byte) (Signer, error) {
	private, err := parsePrivatePEM(text)
	if err != nil {
		return Signer{}, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return Signer{}, ErrKeyKind
	}
	public, err := PublicKey(id, "", signer.Public())
	if err != nil {
		return Signer{}, err
	}
	if alg == "" {
		alg = public.algs[0]
	}
	if !public.verifies(alg) {
		return Signer{}, fmt.Errorf("%w: it does not sign %s, only %v", ErrKeyKind, alg, public.algs)
	}
	return Signer{id: id, alg: alg, key: private}, nil
}

func parsePrivatePEM(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, ErrNoPEM
	}
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return nil, fmt.Errorf("%w: %s, want PRIVATE KEY", ErrNoPEM, block.Type)
}

// Mint signs a token by HS256. Errors: ErrNoSecret, or those of Signer.Mint.
func Mint(secret string, t Token) (string, error) {
	if secret == "" {
		return "", ErrNoSecret
	}
	return Signer{alg: "HS256", key: []byte(secret)}.Mint(t)
}

// Mint signs a token. Errors: channel.ErrBadName, or what a Verifier would not
// accept.
func (s Signer) Mint(t Token) (string, error) {
	c, err := t.claims()
	if err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(s.alg), c)
	if s.id != "" {
		token.Header["kid"] = s.id
	}
	signed, err := token.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	if len(signed) > MaxToken {
		return "", fmt.Errorf("the token has %d bytes, at most %d are allowed", len(signed), MaxToken)
	}
	return signed, nil
}

func (t *Token) claims() (*claims, error) {
	info, err := compact(t.Info)
	if err != nil {
		return nil, err
	}
	c := &claims{Channel: t.Channel, Info: info, Caps: capsOf(t.Grants), Allow: OpNames(t.Ops), user: t.User}
	c.Subject, c.Issuer = t.User, t.Issuer
	if t.Audience != "" {
		c.Audience = jwt.ClaimStrings{t.Audience}
	}
	if !t.IssuedAt.IsZero() {
		c.IssuedAt = jwt.NewNumericDate(t.IssuedAt)
	}
	if !t.ExpireAt.IsZero() {
		c.ExpiresAt = jwt.NewNumericDate(t.ExpireAt)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if t.Channel == "" {
		_, err = c.Caps.grants()
		return c, err
	}
	return c, channel.CheckName(t.Channel)
}

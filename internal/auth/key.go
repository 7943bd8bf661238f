package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Bounds of keys: RFC 7518, 3.2 and 3.3, and what a verification may cost.
const (
	MinSecret  = 32   // bytes of a secret that stands beside app.secret
	minRSABits = 2048 // of a modulus
	maxRSABits = 8192
	MaxKeys    = 32 // keys of a Verifier, not counting those of its Source
)

// Key verifies tokens. It holds the algorithms that its kind allows, so what a
// token says of its algorithm chooses among keys, and never how a key is used
// (RFC 8725, 3.1): a public key cannot become a secret, and nothing verifies
// none.
type Key struct {
	ID     string    // kid of the tokens it verifies; "": of any
	Source string    // where it was found, for people; never the key itself
	Until  time.Time // when it stops to hold; zero: never

	algs     []string
	material any // as the JWT library wants it
	parser   *jwt.Parser
}

// Errors of keys.
var (
	ErrWeakKey = errors.New("the key is too weak")
	ErrKeyKind = errors.New("no key for tokens: it must be RSA, ECDSA on P-256, P-384 or P-521, or Ed25519")
	ErrNoPEM   = errors.New("no PEM with a key")
	ErrIsPEM   = errors.New("a PEM is no secret; public keys have a setting of their own")
)

// SecretKey is a key for HS256, HS384 and HS512. Errors: ErrWeakKey, ErrIsPEM.
func SecretKey(id, source string, secret []byte) (Key, error) {
	switch {
	case bytes.Contains(secret, []byte("-----BEGIN ")):
		return Key{}, ErrIsPEM
	case len(secret) < MinSecret:
		return Key{}, fmt.Errorf("%w: %d bytes, at least %d are needed", ErrWeakKey, len(secret), MinSecret)
	}
	return secretKey(id, source, secret), nil
}

// AppSecret is a key like app.secret: of any length, and for tokens with any kid.
func AppSecret(source string, secret []byte) Key { return secretKey("", source, secret) }

func secretKey(id, source string, secret []byte) Key {
	return Key{ID: id, Source: source, algs: []string{"HS256", "HS384", "HS512"}, material: slices.Clone(secret)}
}

// PublicKey is a key for the algorithms of its kind: RSA for RS and PS, each
// curve for the ES of its size (RFC 7518, 3.4), Ed25519 for EdDSA. Errors:
// ErrWeakKey, ErrKeyKind.
func PublicKey(id, source string, public crypto.PublicKey) (Key, error) {
	k := Key{ID: id, Source: source, material: public}
	switch p := public.(type) {
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits || p.E < 3 || p.E%2 == 0 {
			return Key{}, fmt.Errorf("%w: RSA of %d bits with exponent %d", ErrWeakKey, bits, p.E)
		}
		k.algs = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PublicKey:
		alg, known := curves[p.Curve]
		if !known {
			return Key{}, ErrKeyKind
		}
		if _, err := p.ECDH(); err != nil { // not a point of the curve
			return Key{}, fmt.Errorf("%w: %w", ErrWeakKey, err)
		}
		k.algs = []string{alg}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return Key{}, ErrKeyKind
		}
		k.algs = []string{"EdDSA"}
	default:
		return Key{}, ErrKeyKind
	}
	return k, nil
}

var curves = map[elliptic.Curve]string{elliptic.P256(): "ES256", elliptic.P384(): "ES384", elliptic.P521(): "ES512"}

// Only narrows a key to one algorithm; false: the key has not got it.
func (k Key) Only(alg string) (Key, bool) {
	if !k.verifies(alg) {
		return Key{}, false
	}
	k.algs = []string{alg}
	return k, true
}

// Algorithms are those that the key verifies.
func (k *Key) Algorithms() []string { return slices.Clone(k.algs) }

func (k *Key) holds(now time.Time) bool { return k.Until.IsZero() || now.Before(k.Until) }

func (k *Key) verifies(alg string) bool { return slices.Contains(k.algs, alg) }

// ParsePublicPEM reads a public key (PKIX or PKCS #1) or certificate; of a
// private key nothing is taken: it does not belong on this server.
func ParsePublicPEM(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, ErrNoPEM
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	return nil, fmt.Errorf("%w: %s, want PUBLIC KEY or CERTIFICATE", ErrNoPEM, block.Type)
}

// parserOf makes a parser that takes the algorithms of one key and no other.
func parserOf(k *Key, base []jwt.ParserOption) *jwt.Parser {
	return jwt.NewParser(append(slices.Clone(base), jwt.WithValidMethods(k.algs))...)
}

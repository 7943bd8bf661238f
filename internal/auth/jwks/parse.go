package jwks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/fanfare-push/fanfare/internal/auth"
)

// Limits of a set.
const (
	MaxBody = 256 << 10 // bytes
	MaxKeys = 64
	MaxID   = 255 // bytes of a kid
)

// Errors of sets.
var (
	ErrTooLarge = errors.New("the key set is too large")
	ErrNoKeys   = errors.New("the key set has no key that can verify a token")
)

// Parse reads a set. Keys that are not for verifying tokens, or that are too weak,
// are passed over; a secret among them is never used. Errors: ErrTooLarge,
// ErrNoKeys, and of JSON.
func Parse(r io.Reader) ([]auth.Key, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	if len(body) > MaxBody {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxBody)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("the key set is no JSON: %w", err)
	}
	if len(set.Keys) > MaxKeys {
		return nil, fmt.Errorf("%w: %d keys, at most %d are taken", ErrTooLarge, len(set.Keys), MaxKeys)
	}
	var keys []auth.Key
	for _, raw := range set.Keys {
		if k, ok := parseKey(raw); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, ErrNoKeys
	}
	return keys, nil
}

// parseKey reads one key. A set may hold keys of kinds that are yet to be
// invented (RFC 7517, 5), so one that cannot be used is no fault.
func parseKey(raw json.RawMessage) (auth.Key, bool) {
	var use struct {
		Operations []string `json:"key_ops"`
	}
	var jwk jose.JSONWebKey
	if json.Unmarshal(raw, &use) != nil || jwk.UnmarshalJSON(raw) != nil {
		return auth.Key{}, false
	}
	switch {
	case jwk.Use != "" && jwk.Use != "sig",
		use.Operations != nil && !slices.Contains(use.Operations, "verify"),
		!jwk.Valid(), !jwk.IsPublic(), len(jwk.KeyID) > MaxID:
		return auth.Key{}, false
	}
	k, err := auth.PublicKey(jwk.KeyID, "key set", jwk.Key)
	if err != nil {
		return auth.Key{}, false
	}
	if jwk.Algorithm != "" {
		return k.Only(jwk.Algorithm)
	}
	return k, true
}

package tenant

import (
	"context"
	"fmt"
	"time"
)

// CreateKey gives an App a key. The secret is given out this once. Errors as Do.
func (r *Registry) CreateKey(ctx context.Context, app, id string, scope Scope) (k Key, secret string, err error) {
	k, secret = NewKey(id, scope, r.cfg.Now())
	err = r.Do(ctx, Change{App: app, CreateKey: &k})
	return k, secret, err
}

// RotateKey gives a key another secret. The one before holds for overlap, at most
// MaxOverlap; one that was replaced earlier no longer does. Errors as Do.
func (r *Registry) RotateKey(ctx context.Context, app, id string, overlap time.Duration) (secret string, holds time.Time, err error) {
	if overlap < 0 || overlap > MaxOverlap {
		return "", holds, fmt.Errorf("%w: the secret before holds for 0 to %s", ErrBadChange, MaxOverlap)
	}
	a := r.App(app)
	if a == nil {
		return "", holds, fmt.Errorf("app %q: %w", app, ErrNotFound)
	}
	i, err := a.changeable(id)
	if err != nil {
		return "", holds, err
	}
	next, secret := newSecret(a.Keys[i].Scope)
	holds = until(r.cfg.Now(), overlap)
	return secret, holds, r.Do(ctx, Change{App: app, RotateKey: &Rotation{ID: id, Secret: next, Until: holds}})
}

// Signing are the secrets that verify what the App's keys have signed, each with
// the key's id.
func (a *App) Signing() (list []SigningSecret) {
	for i := range a.Keys {
		k := &a.Keys[i]
		if k.Scope != Sign {
			continue
		}
		for _, s := range k.Secrets {
			list = append(list, SigningSecret{KeyID: k.ID, Text: s.Text, Until: s.Until, Fixed: k.Fixed})
		}
	}
	return list
}

// SigningSecret is one of a key that signs.
type SigningSecret struct {
	KeyID string
	Text  string
	Until time.Time // zero: until it is revoked
	Fixed bool      // by the settings
}

// Valid reports whether it still holds.
func (s *SigningSecret) Valid(now time.Time) bool { return s.Until.IsZero() || now.Before(s.Until) }

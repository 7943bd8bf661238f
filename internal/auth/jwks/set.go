package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/channel"
)

// When keys are fetched.
const (
	MinInterval = 10 * time.Second // between fetches, whatever tokens name
	maxBackoff  = time.Minute      // between fetches that fail
	MaxStale    = 24 * time.Hour   // how long keys are used that could not be fetched again
	maxAsked    = 1024             // ids that are remembered until the next fetch
	maxUnnamed  = 4                // keys that are tried for a token that names none
)

// Config is what a Set is made of.
type Config struct {
	URL     string
	Client  *http.Client  // follows no redirect, has a timeout
	Refresh time.Duration // between fetches; at least MinInterval
	Log     *slog.Logger
}

// Set is the keys of one address. Its methods may be called from any goroutine.
type Set struct {
	cfg  Config
	wake chan struct{} // a token names a key that is not known

	mu      sync.Mutex
	keys    []auth.Key
	fetched time.Time       // when the last fetch that succeeded began; zero: none has
	asked   map[string]bool // ids that were asked for since then, and are not known
	absent  map[string]bool // ids that were asked for before that fetch, which did not bring them
}

// New makes a Set, empty until Refresh or Run.
func New(cfg Config) *Set {
	cfg.Refresh = max(cfg.Refresh, MinInterval)
	return &Set{cfg: cfg, wake: make(chan struct{}, 1), asked: map[string]bool{}}
}

// Find implements auth.Source. A key that is not known is fetched soon; until
// then, and while there are no keys at all, the error is channel.ErrTokenKeys. An
// id that the set has just been asked for, in vain, is known not to be there.
func (s *Set) Find(id, alg string) ([]auth.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetched.IsZero() || time.Since(s.fetched) > MaxStale {
		return nil, fmt.Errorf("%w: no fetch has succeeded", channel.ErrTokenKeys)
	}
	var found []auth.Key
	for i := range s.keys {
		if k := &s.keys[i]; (id == "" || k.ID == id || k.ID == "") && slices.Contains(k.Algorithms(), alg) {
			found = append(found, *k)
		}
	}
	switch {
	case id == "" && len(found) > maxUnnamed:
		return nil, nil // so many tries are more than a stranger's token is worth
	case id == "" || len(found) > 0, len(id) > MaxID, s.absent[id] && time.Since(s.fetched) < MinInterval:
		return found, nil
	}
	if len(s.asked) < maxAsked {
		s.asked[id] = true
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil, fmt.Errorf("%w: kid %.64q is not known", channel.ErrTokenKeys, id)
}

// Refresh fetches the keys once. When it fails those that there are stay.
func (s *Set) Refresh(ctx context.Context) error {
	s.mu.Lock()
	before, began := s.asked, time.Now()
	s.asked = map[string]bool{}
	s.mu.Unlock()
	keys, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		for id := range before {
			if len(s.asked) < maxAsked {
				s.asked[id] = true
			}
		}
		return err
	}
	s.keys, s.fetched, s.absent = keys, began, before
	return nil
}

// ErrStatus is an answer that is no key set, a redirect included.
var ErrStatus = errors.New("the key set's server does not answer 200")

func (s *Set) fetch(ctx context.Context) ([]auth.Key, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.cfg.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w but %d", ErrStatus, res.StatusCode)
	}
	return Parse(res.Body)
}

// Run keeps the keys fresh until ctx ends.
func (s *Set) Run(ctx context.Context) {
	defer s.cfg.Client.CloseIdleConnections()
	backoff := time.Second
	for {
		err := s.Refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.cfg.Log.Warn("keys of tokens could not be fetched", "error", err, "retry_in", backoff)
			if !sleep(ctx, backoff, nil) {
				return
			}
			backoff = min(2*backoff, maxBackoff)
			continue
		}
		s.cfg.Log.Debug("keys of tokens fetched")
		backoff = time.Second
		if !sleep(ctx, MinInterval, nil) || !sleep(ctx, s.cfg.Refresh-MinInterval, s.wake) {
			return
		}
	}
}

// sleep waits for d or wake; false: ctx has ended.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}

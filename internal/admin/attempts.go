package admin

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Limits of guessing.
const (
	// maxGuesses is how many wrong passwords one address may give in a row; after
	// that it has one more each guessEvery.
	maxGuesses = 10
	guessEvery = 6 * time.Minute
	// maxGuessers is how many addresses are remembered; those beyond share what one
	// address has.
	maxGuessers = 10_000
	// tellEvery is the time between two lines in the log about wrong passwords.
	tellEvery = 10 * time.Second
)

// attempts count wrong passwords by address: tokens of a bucket that fills by one
// each guessEvery.
type attempts struct {
	log *slog.Logger

	mu    sync.Mutex
	full  map[netip.Prefix]time.Time // when the bucket is full again
	told  time.Time
	quiet int // wrong passwords since then
}

func newAttempts(log *slog.Logger) *attempts {
	return &attempts{log: log, full: make(map[netip.Prefix]time.Time)}
}

// take allows a guess and counts it as a wrong one until it is forgiven; many at
// once are no way around the limit. wait is how long until the next, where it
// refuses.
func (a *attempts) take(from netip.Prefix) (wait time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	from = a.knownLocked(from, now)
	full := a.full[from]
	if full.Before(now) {
		full = now
	}
	full = full.Add(guessEvery)
	if over := full.Sub(now) - maxGuesses*guessEvery; over > 0 {
		return over, false
	}
	a.full[from] = full
	return 0, true
}

// knownLocked is who a guess is counted for.
func (a *attempts) knownLocked(from netip.Prefix, now time.Time) netip.Prefix {
	if _, known := a.full[from]; known || len(a.full) < maxGuessers {
		return from
	}
	for one, full := range a.full {
		if full.Before(now) {
			delete(a.full, one)
		}
	}
	if len(a.full) < maxGuessers {
		return from
	}
	return netip.Prefix{}
}

// forgive takes a guess back: it was right.
func (a *attempts) forgive(from netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.full[from] = a.full[from].Add(-guessEvery)
}

// wrong tells the operator, now and then.
func (a *attempts) wrong(from netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.quiet++
	if now := time.Now(); now.Sub(a.told) >= tellEvery {
		a.log.Warn("wrong admin password", "remote", from.Addr().String(), "times", a.quiet)
		a.told, a.quiet = now, 0
	}
}

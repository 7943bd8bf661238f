package admin

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/limit"
)

// Limits of guessing.
const (
	// maxGuesses is how many wrong passwords one address may give in a row; after
	// that it has one more each guessEvery.
	maxGuesses = 10
	guessEvery = 6 * time.Minute
	// maxGuessers is how many addresses are remembered; those beyond share a few
	// buckets.
	maxGuessers = 10_000
	// tellEvery is the time between two lines in the log about wrong passwords.
	tellEvery = 10 * time.Second
)

// guess is what one takes of a bucket that gains a token in a second.
const guess = int64(guessEvery / time.Second)

// attempts count wrong passwords by address.
type attempts struct {
	log     *slog.Logger
	start   time.Time
	buckets *limit.Set[netip.Prefix]

	mu    sync.Mutex
	told  time.Time
	quiet int // wrong passwords since then
}

func newAttempts(log *slog.Logger) *attempts {
	rate := limit.NewRate(1, maxGuesses*guessEvery, guess)
	return &attempts{log: log, start: time.Now(), buckets: limit.NewSet[netip.Prefix](rate, maxGuessers)}
}

// take allows a guess and counts it as a wrong one until it is forgiven; many at
// once are no way around the limit. wait is how long until the next, where it
// refuses.
func (a *attempts) take(from netip.Prefix) (wait time.Duration, ok bool) {
	return a.buckets.Take(time.Since(a.start), from, guess)
}

// forgive takes a guess back: it was right.
func (a *attempts) forgive(from netip.Prefix) { a.buckets.Give(time.Since(a.start), from, guess) }

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

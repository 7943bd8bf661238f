package limit

import (
	"math/bits"
	"sync"
	"time"
)

// Rate is how many tokens a bucket gains in a second, and how many it holds. The
// zero value is no limit.
type Rate struct {
	PerSecond int64 // 0: unlimited
	Burst     int64 // 1 to MaxBurst
}

// Buckets count in billionths of a token, so that what a nanosecond brings is
// PerSecond of them, a whole number: nothing is ever rounded.
const billion = int64(time.Second)

// MaxBurst is the most that a bucket can hold.
const MaxBurst = (1<<63 - 1) / billion / 2

// NewRate is a rate whose bucket holds what comes in the time burst, but at least
// the tokens of least, or of one; perSecond 0 is no limit.
func NewRate(perSecond int64, burst time.Duration, least int64) Rate {
	if perSecond <= 0 {
		return Rate{}
	}
	high, low := bits.Mul64(uint64(perSecond), uint64(max(burst, 0)))
	size := MaxBurst
	if high == 0 {
		size = int64(min(low/uint64(billion), uint64(MaxBurst)))
	}
	return Rate{PerSecond: perSecond, Burst: min(max(size, least, 1), MaxBurst)}
}

// Limited reports whether there is a limit.
func (r Rate) Limited() bool { return r.PerSecond > 0 }

// Fill is how long an empty bucket takes to be full.
func (r Rate) Fill() time.Duration {
	if !r.Limited() {
		return 0
	}
	return timeFor(r.Burst*billion, r)
}

// timeFor is how long so many billionths take to come, rounded up.
func timeFor(n int64, r Rate) time.Duration {
	return time.Duration((n-1)/r.PerSecond + 1)
}

// Bucket holds tokens. The zero value is full. It is two words and knows neither
// its rate nor a lock.
type Bucket struct {
	spent int64         // billionths of a token that are missing
	at    time.Duration // when that was so
}

// Take takes n tokens or none. When there are too few, wait is how long it takes
// until there are enough; more than r.Burst are never there. A now before that of
// an earlier call brings nothing.
func (b *Bucket) Take(now time.Duration, n int64, r Rate) (wait time.Duration, ok bool) {
	if !r.Limited() || n <= 0 {
		return 0, true
	}
	b.gain(now, r)
	if n > r.Burst {
		return r.Fill(), false
	}
	if missing := b.spent + (n-r.Burst)*billion; missing > 0 {
		return timeFor(missing, r), false
	}
	b.spent += n * billion
	return 0, true
}

// Give takes back what was taken: n tokens, of which a bucket that is full has no need.
func (b *Bucket) Give(n int64) { b.spent = max(b.spent-min(max(n, 0), MaxBurst)*billion, 0) }

// Full reports whether nothing is missing, so that the bucket can be forgotten.
func (b *Bucket) Full(now time.Duration, r Rate) bool {
	b.gain(now, r)
	return b.spent == 0
}

func (b *Bucket) gain(now time.Duration, r Rate) {
	if now <= b.at {
		return
	}
	high, low := bits.Mul64(uint64(now-b.at), uint64(r.PerSecond))
	b.at = now
	if high > 0 || low >= uint64(b.spent) {
		b.spent = 0
		return
	}
	b.spent -= int64(low)
}

// Shared is a bucket for any number of goroutines. nil has no limit.
type Shared struct {
	rate   Rate
	mu     sync.Mutex
	bucket Bucket
}

// NewShared makes a full one; nil for a rate without a limit.
func NewShared(r Rate) *Shared {
	if !r.Limited() {
		return nil
	}
	return &Shared{rate: r}
}

// Take is Bucket.Take.
func (s *Shared) Take(now time.Duration, n int64) (wait time.Duration, ok bool) {
	if s == nil {
		return 0, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bucket.Take(now, n, s.rate)
}

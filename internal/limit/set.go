package limit

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// parts of a set have a lock each. A key's part is chosen by a hash with a seed
	// of the set's own: nobody outside can make keys that meet in one part.
	parts = 64
	// DefaultKeys is how many buckets a Set holds at most.
	DefaultKeys = 1 << 20
	// firstSweep is how many buckets of a part are kept without a look at them.
	firstSweep = 64
	// sweepEvery is how often a part that is used forgets what is full.
	sweepEvery = time.Minute
)

// Set is a bucket for each key, all of one rate, for any number of goroutines.
// Buckets that are full are forgotten, unless somebody holds them. There is a most of buckets: while so many
// are in use, keys that have none share one with others, so that what is let
// through stays bounded whatever keys a client makes up. nil has no limit.
type Set[K comparable] struct {
	rate  Rate
	most  int // buckets of one part
	seed  maphash.Seed
	parts [parts]part[K]
}

type part[K comparable] struct {
	mu      sync.Mutex
	buckets map[K]*slot
	others  slot          // of keys that have no room
	look    int           // at so many buckets full ones are looked for
	next    time.Duration // and at this time
}

// slot is a bucket and how many hold it.
type slot struct {
	Bucket

	holders int
}

// NewSet makes an empty set of at most keys buckets; 0: DefaultKeys. It is nil for
// a rate without a limit.
func NewSet[K comparable](r Rate, keys int) *Set[K] {
	if !r.Limited() {
		return nil
	}
	if keys <= 0 {
		keys = DefaultKeys
	}
	return &Set[K]{rate: r, most: max(keys/parts, 1), seed: maphash.MakeSeed()}
}

// Take takes n tokens of a key's bucket, see Bucket.Take.
func (s *Set[K]) Take(now time.Duration, key K, n int64) (wait time.Duration, ok bool) {
	if s == nil {
		return 0, true
	}
	p := &s.parts[maphash.Comparable(s.seed, key)%parts]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.find(now, key, s.rate, s.most).Take(now, n, s.rate)
}

// Give takes back n tokens that were taken of a key's bucket.
func (s *Set[K]) Give(now time.Duration, key K, n int64) {
	if s == nil {
		return
	}
	p := &s.parts[maphash.Comparable(s.seed, key)%parts]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.find(now, key, s.rate, s.most).Give(n)
}

// find is a key's bucket, which may be that of others.
func (p *part[K]) find(now time.Duration, key K, r Rate, most int) *slot {
	b, known := p.buckets[key]
	if now >= p.next || !known && len(p.buckets) >= p.look {
		p.sweep(now, r, most)
		b, known = p.buckets[key]
	}
	switch {
	case known:
	case len(p.buckets) >= most:
		b = &p.others
	default:
		b = &slot{}
		p.buckets[key] = b
	}
	return b
}

// sweep forgets what is full and held by nobody. A map does not give back what it once needed, so
// what is left moves to a new one. The next look comes when there are twice as
// many: it costs no more than the buckets that came since.
func (p *part[K]) sweep(now time.Duration, r Rate, most int) {
	kept := make(map[K]*slot)
	for key, b := range p.buckets {
		if b.holders > 0 || !b.Full(now, r) {
			kept[key] = b
		}
	}
	p.buckets = kept
	p.look = min(max(2*len(kept), firstSweep), most)
	p.next = now + sweepEvery
}

// Len is how many buckets there are.
func (s *Set[K]) Len() (n int) {
	if s == nil {
		return 0
	}
	for i := range s.parts {
		p := &s.parts[i]
		p.mu.Lock()
		n += len(p.buckets)
		p.mu.Unlock()
	}
	return n
}

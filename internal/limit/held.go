package limit

import (
	"hash/maphash"
	"sync"
	"time"
)

// Held is one key's bucket of a Set, found once for all that is taken later: it is
// not forgotten before Release. The zero value has no limit. Take is for any number
// of goroutines, and any number may hold the bucket of one key.
type Held struct {
	mu   *sync.Mutex // of its part
	slot *slot
	rate Rate
}

// Hold holds a key's bucket; Release follows. While there are no more buckets it is
// the one that other keys share.
func (s *Set[K]) Hold(now time.Duration, key K) Held {
	if s == nil {
		return Held{}
	}
	p := &s.parts[maphash.Comparable(s.seed, key)%parts]
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.find(now, key, s.rate, s.most)
	b.holders++
	return Held{&p.mu, b, s.rate}
}

// Take is Bucket.Take.
func (h *Held) Take(now time.Duration, n int64) (wait time.Duration, ok bool) {
	if h.slot == nil {
		return 0, true
	}
	h.mu.Lock()
	wait, ok = h.slot.Take(now, n, h.rate)
	h.mu.Unlock()
	return wait, ok
}

// Release lets the bucket be forgotten once it is full. The Held has no limit
// afterwards; releasing it again does nothing.
func (h *Held) Release() {
	if h.slot == nil {
		return
	}
	h.mu.Lock()
	h.slot.holders--
	h.mu.Unlock()
	*h = Held{}
}

// Held reports whether there is a bucket.
func (h *Held) Held() bool { return h.slot != nil }

package limit

import (
	"hash/maphash"
	"sync"
)

// Counts is how many there are of each key at once, for any number of goroutines.
// A key without any takes no memory. nil has no limit.
type Counts[K comparable] struct {
	most  int
	seed  maphash.Seed
	parts [parts]counted[K]
}

type counted[K comparable] struct {
	mu sync.Mutex
	n  map[K]int
}

// NewCounts lets in at most so many of a key; nil for 0, which is no limit.
func NewCounts[K comparable](most int) *Counts[K] {
	if most <= 0 {
		return nil
	}
	return &Counts[K]{most: most, seed: maphash.MakeSeed()}
}

func (c *Counts[K]) part(key K) *counted[K] {
	return &c.parts[maphash.Comparable(c.seed, key)%parts]
}

// Enter counts one of key, unless there are as many as may be. Leave follows each
// Enter that returned true.
func (c *Counts[K]) Enter(key K) bool {
	if c == nil {
		return true
	}
	p := c.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n[key] >= c.most {
		return false
	}
	if p.n == nil {
		p.n = make(map[K]int)
	}
	p.n[key]++
	return true
}

// Leave counts one of key out.
func (c *Counts[K]) Leave(key K) {
	if c == nil {
		return
	}
	p := c.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n[key]--; p.n[key] <= 0 {
		delete(p.n, key)
	}
}

// Of is how many there are of key.
func (c *Counts[K]) Of(key K) int {
	if c == nil {
		return 0
	}
	p := c.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n[key]
}

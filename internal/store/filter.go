package store

import "hash/maphash"

// recentKeys knows of most idempotency keys that they are new without asking
// Pebble. It holds what was remembered since the store was opened; of periods
// begun before that it knows nothing.
type recentKeys struct {
	seed    maphash.Seed
	old     int64 // the last period that may hold keys from before; -1: none
	filters [2]periodFilter
}

type periodFilter struct {
	period int64
	filter keyFilter
}

func newRecentKeys(l Log) recentKeys {
	r := recentKeys{seed: maphash.MakeSeed(), old: -1}
	if l.Number > 0 {
		r.old = l.KeyPeriod
	}
	return r
}

func (r *recentKeys) hash(k batchKey) uint64 { return maphash.Comparable(r.seed, k) }

func (r *recentKeys) add(period int64, hash uint64) {
	f := &r.filters[period&1]
	if f.period != period {
		*f = periodFilter{period: period}
	}
	f.filter.add(hash)
}

// mayHold is false only if no key with the hash was remembered in the period.
func (r *recentKeys) mayHold(period int64, hash uint64) bool {
	if period <= r.old {
		return true
	}
	f := &r.filters[period&1]
	return f.period == period && f.filter.mayHold(hash)
}

// keyFilter is a Bloom filter that grows: parts, each twice as large as the one
// before. Once the last one is full it takes more, and is wrong more often: a
// look-up in Pebble for nothing.
type keyFilter struct{ parts []filterPart }

type filterPart struct {
	blocks []block // a power of two
	left   int     // keys until it is full
}

// block is what one key's bits are in: one line of the processor's cache.
type block [8]uint64

const (
	minBlocks    = 1 << 12 // 256 KiB
	maxBlocks    = 1 << 16 // 4 MiB, all parts of a period 8 MiB: 4 million keys
	keysPerBlock = 32      // 16 bits per key: one in 100 is looked up for nothing
	bitsPerKey   = 4
	blockShift   = 40 // bits of a hash below choose within the block
)

func (f *keyFilter) add(hash uint64) {
	n := len(f.parts)
	switch {
	case n == 0:
		f.grow(minBlocks)
	case f.parts[n-1].left == 0 && len(f.parts[n-1].blocks) < maxBlocks:
		f.grow(2 * len(f.parts[n-1].blocks))
	}
	p := &f.parts[len(f.parts)-1]
	p.left = max(p.left-1, 0)
	b := p.block(hash)
	for range bitsPerKey {
		b[hash>>6&7] |= 1 << (hash & 63)
		hash >>= 9
	}
}

func (f *keyFilter) grow(blocks int) {
	f.parts = append(f.parts, filterPart{make([]block, blocks), blocks * keysPerBlock})
}

func (f *keyFilter) mayHold(hash uint64) bool {
	for i := range f.parts {
		if f.parts[i].mayHold(hash) {
			return true
		}
	}
	return false
}

func (p *filterPart) block(hash uint64) *block {
	return &p.blocks[hash>>blockShift&uint64(len(p.blocks)-1)]
}

func (p *filterPart) mayHold(hash uint64) bool {
	b := p.block(hash)
	for range bitsPerKey {
		if b[hash>>6&7]&(1<<(hash&63)) == 0 {
			return false
		}
		hash >>= 9
	}
	return true
}

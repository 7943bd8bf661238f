package keys

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
)

const shardCount = 256 // a power of two

// Keys are those of the last engine.IdempotencyWindow. Between Seen and Remember
// of one key nobody may ask for it: the caller holds a lock of the channel.
type Keys struct {
	budget    index.Budget
	forgotten atomic.Uint64
	seed      maphash.Seed
	shards    [shardCount]shard
}

// shard remembers the keys that hash to it, oldest first.
type shard struct {
	mu     sync.Mutex
	m      map[name]remembered
	order  []keyAt
	head   int
	oldest atomic.Int64 // when the oldest expires; index.NoUse: there is none
}

type name struct {
	ch  channel.ID
	key string
}

type remembered struct {
	pos   engine.Position
	until int64 // Unix milliseconds
}

type keyAt struct {
	name  name
	until int64
}

// New remembers at most limit keys; over it the oldest are forgotten.
func New(limit int) *Keys {
	k := &Keys{seed: maphash.MakeSeed()}
	k.budget.Limit = int64(limit)
	for i := range k.shards {
		k.shards[i].m = make(map[name]remembered)
		k.shards[i].oldest.Store(index.NoUse)
	}
	return k
}

func (k *Keys) of(n name) *shard { return &k.shards[maphash.Comparable(k.seed, n)%shardCount] }

// Seen finds what a key was remembered with, at a time in Unix milliseconds.
func (k *Keys) Seen(ch channel.ID, key string, now int64) (pos engine.Position, seen bool) {
	n := name{ch, key}
	s := k.of(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	k.expireLocked(s, now)
	r, ok := s.m[n]
	if !ok || now >= r.until {
		return engine.Position{}, false
	}
	return r.pos, true
}

// Remember keeps a key for the window.
func (k *Keys) Remember(ch channel.ID, key string, pos engine.Position, now int64) {
	n := name{ch, key}
	until := now + engine.IdempotencyWindow.Milliseconds()
	s := k.of(n)
	s.mu.Lock()
	if _, known := s.m[n]; !known {
		k.budget.Used.Add(1)
	}
	s.m[n] = remembered{pos, until}
	s.order = append(s.order, keyAt{n, until})
	s.stampLocked()
	s.mu.Unlock()
	if k.budget.Over() {
		index.MakeRoom(&k.budget, k.shards[:], func(s *shard) int64 { return s.oldest.Load() }, k.shrink)
	}
}

// Forgotten counts the keys that were forgotten for the limit.
func (k *Keys) Forgotten() uint64 { return k.forgotten.Load() }

// Len is how many keys are remembered.
func (k *Keys) Len() int64 { return k.budget.Used.Load() }

// sweepShards is how many shards one sweep looks at.
const sweepShards = 16

// Sweep gives back what the window has left in some shards, others each turn.
func (k *Keys) Sweep(turn int, now int64) {
	for i := range sweepShards {
		s := &k.shards[(turn*sweepShards+i)%shardCount]
		s.mu.Lock()
		k.expireLocked(s, now)
		s.mu.Unlock()
	}
}

func (k *Keys) shrink(s *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head < len(s.order) {
		k.forgotten.Add(1)
		k.forgetOldestLocked(s)
	}
}

// stampLocked notes when the oldest key of the shard expires.
func (s *shard) stampLocked() {
	at := index.NoUse
	if s.head < len(s.order) {
		at = s.order[s.head].until
	}
	s.oldest.Store(at)
}

// expireLocked removes what the window has left.
func (k *Keys) expireLocked(s *shard, now int64) {
	for s.head < len(s.order) && s.order[s.head].until <= now {
		k.forgetOldestLocked(s)
	}
}

func (k *Keys) forgetOldestLocked(s *shard) {
	at := s.order[s.head]
	s.order[s.head] = keyAt{}
	s.head++
	if r, ok := s.m[at.name]; ok && r.until == at.until {
		delete(s.m, at.name)
		k.budget.Used.Add(-1)
	}
	if s.head > len(s.order)/2 {
		n := copy(s.order, s.order[s.head:])
		clear(s.order[n:])
		s.order, s.head = s.order[:n], 0
	}
	s.stampLocked()
}

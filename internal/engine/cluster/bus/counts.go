package bus

import (
	"iter"
	"maps"
	"slices"
	"sync"
)

// MaxSharedKeys is how many counts of this node others are told, and how many of
// another node this one keeps; more are counted as unshared and limited on their
// node alone.
const MaxSharedKeys = 1 << 18

// MaxSharedKey is the longest key of a count in bytes.
const MaxSharedKey = 1024

// shares is how many of something, say sessions of a user, each node has. Others
// know it a beat later: limits by it are approximate, by what a node lets in
// within that time.
type shares struct {
	mu     sync.Mutex
	own    map[string]uint64
	dirty  map[string]struct{} // what others were not told yet
	peers  map[uint32]map[string]uint64
	others map[string]uint64   // the sums of peers
	moved  map[string]struct{} // of others, what the Follower was not told yet; nil: it is told nothing
}

func (s *shares) init() {
	s.own = make(map[string]uint64)
	s.dirty = make(map[string]struct{})
	s.peers = make(map[uint32]map[string]uint64)
	s.others = make(map[string]uint64)
}

// Count adds by to what this node has of a key; below zero it does not fall.
func (b *Bus) Count(key string, by int) {
	s := &b.counts
	s.mu.Lock()
	defer s.mu.Unlock()
	n, known := s.own[key]
	if len(key) > MaxSharedKey || !known && len(s.own) >= MaxSharedKeys {
		b.count.unshared.Add(1)
		return
	}
	if now := int64(n) + int64(by); now > 0 {
		s.own[key] = uint64(now)
	} else {
		delete(s.own, key)
	}
	s.dirty[key] = struct{}{}
}

// Others is what all other nodes have of a key, as far as this one has heard.
func (b *Bus) Others(key string) int {
	s := &b.counts
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.others[key])
}

// changed is what others were not told yet; of a key that is gone, 0.
func (s *shares) changed() []count {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]count, 0, len(s.dirty))
	for key := range s.dirty {
		list = append(list, count{key, s.own[key]})
	}
	clear(s.dirty)
	return list
}

// all is all that this node has.
func (s *shares) all() []count {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]count, 0, len(s.own))
	for key, n := range s.own {
		list = append(list, count{key, n})
	}
	return list
}

// take sets what a node has of some keys.
func (s *shares) take(node uint32, list []count) {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := s.peers[node]
	if has == nil {
		has = make(map[string]uint64)
		s.peers[node] = has
	}
	for _, c := range list {
		old, known := has[c.key]
		if !known && len(has) >= MaxSharedKeys {
			continue
		}
		s.addLocked(c.key, c.n, old)
		if c.n == 0 {
			delete(has, c.key)
		} else {
			has[c.key] = c.n
		}
	}
}

// merge takes a part of all that a node has, which replaces what was known.
func (s *shares) merge(node uint32, list []count, first bool) {
	if first {
		s.forget(node)
	}
	s.take(node, list)
}

// forget takes away what a node has.
func (s *shares) forget(node uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, n := range s.peers[node] {
		s.addLocked(key, 0, n)
	}
	delete(s.peers, node)
}

func (s *shares) addLocked(key string, n, instead uint64) {
	sum := s.others[key] + n - instead
	if n != instead && s.moved != nil {
		s.moved[key] = struct{}{}
	}
	if sum == 0 {
		delete(s.others, key)
	} else {
		s.others[key] = sum
	}
}

// Shared implements engine.Peers.
func (b *Bus) Shared() iter.Seq2[string, int] {
	b.counts.mu.Lock()
	all := maps.Clone(b.counts.others)
	b.counts.mu.Unlock()
	return func(yield func(string, int) bool) {
		for key, n := range all {
			if !yield(key, int(n)) {
				return
			}
		}
	}
}

// tellMoved tells the Follower which keys others have another number of.
func (b *Bus) tellMoved() {
	s := &b.counts
	s.mu.Lock()
	keys := slices.Collect(maps.Keys(s.moved))
	clear(s.moved)
	s.mu.Unlock()
	if len(keys) > 0 {
		b.respondent.Shared(keys)
	}
}

// watch has the Follower told from now on.
func (s *shares) watch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = make(map[string]struct{})
}

func (s *shares) keys() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.own)
}

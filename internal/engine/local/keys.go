package local

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
)

// keyRing remembers idempotency keys in RAM for one lane, oldest first.
type keyRing struct {
	m     map[laneKey]ramKey
	order []keyAt
	head  int
}

type laneKey struct {
	ch  channel.ID
	key string
}

type ramKey struct {
	pos   engine.Position
	until int64 // Unix milliseconds
}

type keyAt struct {
	key   laneKey
	until int64
}

// repeatLocked finds what a key was answered with before.
func (e *Engine) repeatLocked(l *lane, req *engine.PublishRequest, now int64) (engine.PublishResult, bool) {
	e.forgetLocked(l, now)
	k, ok := l.keys.m[laneKey{req.Channel, req.IdempotencyKey}]
	if !ok || now >= k.until {
		return engine.PublishResult{}, false
	}
	e.count.duplicates.Add(1)
	return engine.PublishResult{Position: k.pos, Duplicate: true}, true
}

// rememberLocked keeps a key for the window. boundKeys must follow.
func (e *Engine) rememberLocked(l *lane, req *engine.PublishRequest, pos engine.Position, now int64) {
	k := laneKey{req.Channel, req.IdempotencyKey}
	until := now + engine.IdempotencyWindow.Milliseconds()
	if _, known := l.keys.m[k]; !known {
		e.keys.Used.Add(1)
	}
	l.keys.m[k] = ramKey{pos, until}
	l.keys.order = append(l.keys.order, keyAt{k, until})
	l.stampKeysLocked()
}

// boundKeys holds keys to MemoryKeys: the oldest of all lanes go. No lane is
// locked.
func (e *Engine) boundKeys() {
	if e.keys.Over() {
		index.MakeRoom(&e.keys, e.lanes.all[:], func(l *lane) int64 { return l.keyOldest.Load() }, e.shrinkKeys)
	}
}

func (e *Engine) shrinkKeys(l *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys.head < len(l.keys.order) {
		e.count.keysForgotten.Add(1)
		e.forgetOldestLocked(l)
	}
}

// stampKeysLocked notes when the oldest key of the lane expires.
func (l *lane) stampKeysLocked() {
	at := index.NoUse
	if l.keys.head < len(l.keys.order) {
		at = l.keys.order[l.keys.head].until
	}
	l.keyOldest.Store(at)
}

// forgetLocked removes what the window has left.
func (e *Engine) forgetLocked(l *lane, now int64) {
	for l.keys.head < len(l.keys.order) && l.keys.order[l.keys.head].until <= now {
		e.forgetOldestLocked(l)
	}
}

func (e *Engine) forgetOldestLocked(l *lane) {
	r := &l.keys
	at := r.order[r.head]
	r.order[r.head] = keyAt{}
	r.head++
	if k, ok := r.m[at.key]; ok && k.until == at.until {
		delete(r.m, at.key)
		e.keys.Used.Add(-1)
	}
	if r.head > len(r.order)/2 {
		n := copy(r.order, r.order[r.head:])
		clear(r.order[n:])
		r.order, r.head = r.order[:n], 0
	}
	l.stampKeysLocked()
}

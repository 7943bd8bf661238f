package local

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
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

// rememberLocked keeps a key for the window. Over MemoryKeys the oldest of the
// lane goes.
func (e *Engine) rememberLocked(l *lane, req *engine.PublishRequest, pos engine.Position, now int64) {
	k := laneKey{req.Channel, req.IdempotencyKey}
	until := now + engine.IdempotencyWindow.Milliseconds()
	if _, known := l.keys.m[k]; !known {
		e.keys.Add(1)
	}
	l.keys.m[k] = ramKey{pos, until}
	l.keys.order = append(l.keys.order, keyAt{k, until})
	if e.keys.Load() > int64(e.cfg.MemoryKeys) {
		e.count.keysForgotten.Add(1)
		e.forgetOldestLocked(l)
	}
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
		e.keys.Add(-1)
	}
	if r.head > len(r.order)/2 {
		n := copy(r.order, r.order[r.head:])
		clear(r.order[n:])
		r.order, r.head = r.order[:n], 0
	}
}

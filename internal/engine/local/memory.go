package local

import (
	"container/list"
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
)

// memoryChannel is a channel whose history is in RAM only. Its lane's mutex
// guards it.
type memoryChannel struct {
	ch    channel.ID
	epoch string
	top   uint64
	ring  index.Ring // all that is kept
	ret   engine.Retention
	last  int64 // of the last publication or first use, Unix milliseconds; never falls
	keys  int64 // until when an idempotency key is remembered
	use   *list.Element
	used  int64
}

// newBoot names this start of the engine in epochs of memory channels.
func newBoot() string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.HexEncoding.EncodeToString(b[:]))
}

// memoryChannelCost is what a channel without publications takes, roughly.
func memoryChannelCost(m *memoryChannel) int64 {
	return int64(384 + len(m.ch.App) + len(m.ch.Name))
}

func (m *memoryChannel) position() engine.Position {
	return engine.Position{Epoch: m.epoch, Offset: m.top}
}

func (m *memoryChannel) expired(now int64) bool {
	return m.ret.MetaTTL > 0 && now >= max(m.last+m.ret.MetaTTL.Milliseconds(), m.keys)
}

// memoryLocked finds or makes a channel, trimmed to a time.
func (e *Engine) memoryLocked(l *lane, ch channel.ID, ret engine.Retention, now int64) *memoryChannel {
	m := l.memory[ch]
	if m != nil && m.expired(now) {
		e.forgetMemoryLocked(l, m)
		m = nil
	}
	if m == nil {
		n := e.epochs.Add(1)
		m = &memoryChannel{ch: ch, epoch: e.boot + "." + strconv.FormatUint(n, 36), ret: ret, last: now}
		l.memory[ch] = m
		m.use = l.memUse.PushFront(m)
		e.memory.Used.Add(memoryChannelCost(m))
	}
	m.used = e.uses.Add(1)
	l.memUse.MoveToFront(m.use)
	e.trimMemoryLocked(m, now)
	l.stampMemoryLocked()
	return m
}

func (e *Engine) trimMemoryLocked(m *memoryChannel, now int64) {
	keep := min(m.ret.Size, len(m.ring.Pubs))
	if m.ret.TTL > 0 {
		keep = min(keep, len(m.ring.Pubs)-m.ring.FirstAfter(now-m.ret.TTL.Milliseconds()))
	}
	e.memory.Used.Add(-m.ring.DropTo(keep))
}

func (e *Engine) forgetMemoryLocked(l *lane, m *memoryChannel) {
	e.memory.Used.Add(-m.ring.DropTo(0) - memoryChannelCost(m))
	l.memUse.Remove(m.use)
	delete(l.memory, m.ch)
}

// publishToMemory gives a publication its offset, keeps it, and hands it to the
// Follower.
func (e *Engine) publishToMemory(req *engine.PublishRequest, pub *engine.Publication) engine.PublishResult {
	l := e.lanes.of(req.Channel)
	l.mu.Lock()
	res := e.publishMemoryLocked(l, req, pub)
	l.mu.Unlock()
	e.boundMemory()
	return res
}

// boundMemory holds memory channels to their budget. No lane is locked.
func (e *Engine) boundMemory() {
	if e.memory.Over() {
		index.MakeRoom(&e.memory, e.lanes.all[:], func(l *lane) int64 { return l.memOldest.Load() }, e.shrinkMemory)
	}
}

func (e *Engine) publishMemoryLocked(l *lane, req *engine.PublishRequest, pub *engine.Publication) engine.PublishResult {
	now := e.now()
	if req.IdempotencyKey != "" {
		if res, dup := e.repeat(req.Channel, req.IdempotencyKey, now); dup {
			return res
		}
	}
	m := e.memoryLocked(l, req.Channel, req.Retention, now)
	m.ret = req.Retention
	m.last = max(m.last, now)
	m.top++
	pub.Offset, pub.Time = m.top, m.last
	e.memory.Used.Add(m.ring.Push(pub))
	e.trimMemoryLocked(m, m.last)
	if req.IdempotencyKey != "" {
		e.keys.Remember(req.Channel, req.IdempotencyKey, m.position(), now)
		m.keys = now + engine.IdempotencyWindow.Milliseconds()
	}
	e.follower.Publication(req.Channel, m.epoch, pub)
	return engine.PublishResult{Position: m.position()}
}

func (e *Engine) readMemory(req *engine.HistoryRequest) (engine.HistoryResult, error) {
	defer e.boundMemory()
	l := e.lanes.of(req.Channel)
	l.mu.Lock()
	defer l.mu.Unlock()
	m := e.memoryLocked(l, req.Channel, req.Retention, e.now())
	low := m.ring.First(m.top)
	w, err := index.WindowOf(req, m.position(), low)
	if err == nil && w.From <= w.To {
		w.Result.Publications, _ = m.ring.Page(&w, req, m.top)
	}
	return w.Result, err
}

func (e *Engine) removeMemory(ch channel.ID) {
	l := e.lanes.of(ch)
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.memory[ch]; m != nil {
		e.memory.Used.Add(-m.ring.DropTo(0))
	}
}

// stampMemoryLocked notes when the longest unused channel of the lane was used.
func (l *lane) stampMemoryLocked() {
	at := index.NoUse
	if el := l.memUse.Back(); el != nil {
		at = memoryOf(el).used
	}
	l.memOldest.Store(at)
}

// memoryOf is the channel of an element of lane.memUse.
func memoryOf(el *list.Element) *memoryChannel {
	m, _ := el.Value.(*memoryChannel)
	return m
}

// shrinkMemory takes from the longest unused channel of the lane what the budget
// needs: its oldest publications first, and in the end its position too, so that
// whoever returns to it learns that it cannot be recovered.
func (e *Engine) shrinkMemory(l *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	el := l.memUse.Back()
	if el == nil {
		return
	}
	m := memoryOf(el)
	for len(m.ring.Pubs) > 0 && e.memory.Over() {
		e.memory.Used.Add(-m.ring.DropTo(len(m.ring.Pubs) - 1))
		e.count.memoryTrimmed.Add(1)
	}
	if e.memory.Over() {
		e.forgetMemoryLocked(l, m)
		e.count.memoryForgotten.Add(1)
	}
	l.stampMemoryLocked()
}

// sweepLanes is how many lanes one tick looks at.
const sweepLanes = 16

// sweepMemory gives back what expired in memory channels and keys that nobody
// asks for.
func (e *Engine) sweepMemory(turn int) {
	now := e.now()
	e.keys.Sweep(turn, now)
	for i := range sweepLanes {
		l := &e.lanes.all[(turn*sweepLanes+i)%laneCount]
		l.mu.Lock()
		for _, m := range l.memory {
			if m.expired(now) {
				e.forgetMemoryLocked(l, m)
			} else {
				e.trimMemoryLocked(m, now)
			}
		}
		l.stampMemoryLocked()
		l.mu.Unlock()
	}
}

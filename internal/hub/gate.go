package hub

import (
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/metrics"
)

// gate is the back-pressure of publishing: it bounds what has been accepted but
// not yet stored, or stored but not yet written to sessions. Who finds it full
// waits in line for publish_wait and is then refused, with nothing stored and
// nothing delivered.
//
// The unit is cost: payload bytes plus publicationCost for each publication and
// deliveryCost for each delivery that still has to be made.
type gate struct {
	limit    int64
	wait     time.Duration
	timedOut *metrics.Counter // who waited in vain
	lineFull *metrics.Counter // who was refused at once

	mu      sync.Mutex
	used    int64
	waiters []*waiter // in order of arrival
	letting bool      // somebody lets waiters in; nobody may pass them
	closed  bool
}

const (
	publicationCost = 256
	deliveryCost    = 64
	// maxWaiters bounds the line; whoever comes later is refused at once.
	maxWaiters = 4096
)

type waiter struct {
	cost  int64
	timer *time.Timer
	enter func(error)
}

// enter calls fn once: with nil, cost then being taken until release, or with
// ErrBusy. It never blocks; fn may run on the goroutine of a release. Those let in
// keep the order in which they came: their fn is called one after the other, and
// before that of anybody who comes later.
func (g *gate) enter(cost int64, fn func(error)) {
	g.mu.Lock()
	switch {
	case g.closed:
		g.mu.Unlock()
		fn(ErrShutdown)
		return
	case g.used < g.limit && len(g.waiters) == 0 && !g.letting:
		g.used += cost
		g.mu.Unlock()
		fn(nil)
		return
	case len(g.waiters) >= maxWaiters || g.wait <= 0:
		g.mu.Unlock()
		g.lineFull.Inc()
		fn(ErrBusy)
		return
	}
	w := &waiter{cost: cost, enter: fn}
	g.waiters = append(g.waiters, w)
	w.timer = time.AfterFunc(g.wait, func() { g.expire(w) })
	g.mu.Unlock()
}

// add takes cost that cannot be refused any more.
func (g *gate) add(cost int64) {
	g.mu.Lock()
	g.used += cost
	g.mu.Unlock()
}

// release gives cost back and lets those in who wait for it.
func (g *gate) release(cost int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= cost
	if g.letting { // who does it sees the room that is made here
		return
	}
	g.letting = true
	for len(g.waiters) > 0 && g.used < g.limit {
		w := g.waiters[0]
		g.waiters = g.waiters[1:]
		w.timer.Stop()
		g.used += w.cost
		g.mu.Unlock()
		w.enter(nil)
		g.mu.Lock()
	}
	g.letting = false
}

func (g *gate) expire(w *waiter) {
	g.mu.Lock()
	for i, x := range g.waiters {
		if x == w {
			g.waiters = append(g.waiters[:i:i], g.waiters[i+1:]...)
			g.mu.Unlock()
			g.timedOut.Inc()
			w.enter(ErrBusy)
			return
		}
	}
	g.mu.Unlock() // it was let in meanwhile
}

// close refuses everybody, those in line included.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	waiters := g.waiters
	g.waiters = nil
	for _, w := range waiters {
		w.timer.Stop()
	}
	g.mu.Unlock()
	for _, w := range waiters {
		w.enter(ErrShutdown)
	}
}

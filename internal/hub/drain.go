package hub

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// releaseEvery is the time between two batches of sessions that a drain releases.
const releaseEvery = 50 * time.Millisecond

// MaxDrainRate is the fastest that sessions are released, in sessions a second.
const MaxDrainRate = 1_000_000

// Drain lets other nodes take over: new connections are refused with ErrShutdown,
// and the sessions that are here are told to come back (DisconnectShutdown), at
// most rate in a second, so that they do not arrive there all at once. All else
// goes on: who is not released yet publishes and is published to. It returns when
// no connection is left, or with an error that says how many there are when ctx
// ends. Calls share what is left: each releases at its own rate.
func (h *Hub) Drain(ctx context.Context, rate int) error {
	h.RefuseNew()
	rate = min(max(rate, 1), MaxDrainRate)
	tick := time.NewTicker(releaseEvery)
	defer tick.Stop()
	began, released := time.Now(), 0
	for turn := 0; ; turn++ {
		open := int(h.open.Load())
		if open == 0 {
			return nil
		}
		// As many as are due since the beginning: ticks that come late are made up for.
		due := int(time.Since(began).Seconds()*float64(rate)) + 1
		if n := min(due-released, open); n > 0 {
			released += h.releaseSome(ctx, n, turn)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("hub: %d connections were not released: %w", h.open.Load(), ctx.Err())
		case <-tick.C:
		}
	}
}

// releaseSome tells up to n sessions to come back, and returns how many it has
// told. turn says which shard is first.
func (h *Hub) releaseSome(ctx context.Context, n, turn int) int {
	var left atomic.Int64
	left.Store(int64(n))
	for i := range h.shards {
		if left.Load() <= 0 {
			break
		}
		sh, done := h.shards[(turn+i)%len(h.shards)], make(chan struct{})
		sh.Post(func() { sh.release(&left); close(done) })
		select {
		case <-done:
		case <-ctx.Done():
			return n - int(left.Load())
		}
	}
	return n - int(left.Load())
}

// release tells sessions to come back, while there are some left to be told.
func (sh *Shard) release(left *atomic.Int64) {
	// From the end, because whoever is forgotten at once is replaced by the last.
	for i := len(sh.sessions) - 1; i >= 0 && left.Load() > 0; i-- {
		if i < len(sh.sessions) && !sh.sessions[i].ended {
			sh.sessions[i].Disconnect(DisconnectShutdown)
			left.Add(-1)
		}
	}
	for g := range sh.guests {
		if left.Load() > 0 && sh.dismiss(g) {
			left.Add(-1)
		}
	}
}

// RefuseNew refuses new connections from now on; a Drain begins with it.
func (h *Hub) RefuseNew() { h.leaving.Store(true) }

// Leaving reports whether RefuseNew was called; there is no way back but a new start.
func (h *Hub) Leaving() bool { return h.leaving.Load() }

// Connections counts those that are open, those under way included.
func (h *Hub) Connections() int { return int(h.open.Load()) }

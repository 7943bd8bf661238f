package app

import (
	"context"
	"runtime/debug"
	"time"
)

// manyConnections is how many must have come or gone before memory is worth
// giving back: a storm of handshakes leaves buffers and stacks behind that the
// runtime keeps for the next one.
const manyConnections = 500

// returnMemory gives memory back to the system once it has been quiet for the
// time of the setting after many connections came or went.
func (a *App) returnMemory(ctx context.Context) {
	if a.cfg.MemoryReturn <= 0 {
		return
	}
	tick := time.NewTicker(a.cfg.MemoryReturn)
	defer tick.Stop()
	moves := func() uint64 { return a.metrics.Opened.Value() + a.metrics.Disconnects.Sum() }
	returned, last := moves(), moves()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := moves()
		if now == last && now-returned >= manyConnections {
			debug.FreeOSMemory()
			returned = now
		}
		last = now
	}
}

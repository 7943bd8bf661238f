package local

import (
	"fmt"
	"time"
)

// finishLoop waits for each flight to be durable, in order, and only then lets
// anybody see it.
func (e *Engine) finishLoop() {
	for f := range e.flights {
		landed := e.land(f)
		published := 0
		for i := range f.acts {
			if e.finish(&f.acts[i]) {
				published++
			}
		}
		e.count.committed.Add(uint64(published))
		if landed > 0 {
			e.cfg.OnCommit(published, landed)
		}
		if e.cache.over() {
			e.cache.makeRoom(e.lanes, func(l *lane) int64 { return l.hotOldest.Load() }, e.shrinkHot)
		}
	}
}

// land waits for the sync, and says how long it took from the write; 0: nothing
// was made durable.
func (e *Engine) land(f *flight) time.Duration {
	if f.batch == nil {
		if e.health.failed.Load() { // it may repeat what an earlier flight failed to store
			f.refuse(errFailed)
		}
		return 0
	}
	begun := e.monotonic()
	e.health.syncSince.Store(begun)
	err := f.batch.Wait()
	e.health.syncSince.Store(0)
	if err == nil && e.health.failed.Load() {
		// Pebble gave up elsewhere; what it says of this batch is not to be trusted.
		err = errFailed
	}
	if err != nil {
		e.fail(err.Error())
		f.refuse(fmt.Errorf("%w: %w", errFailed, err))
		return 0
	}
	now := e.monotonic()
	e.count.batches.Add(1)
	e.count.syncNanos.Add(uint64(now - begun))
	e.health.logTime.Store(f.time)
	return time.Duration(max(now-f.begun, 1))
}

// finish is one entry's turn: raise the durable top, fill the ring, tell the
// Follower, answer.
func (e *Engine) finish(a *act) (stored bool) {
	if a.hot != nil || a.pub != nil {
		l := e.lanes.of(a.ch)
		l.mu.Lock()
		if a.hot != nil {
			if a.err == nil {
				e.advanceLocked(a.hot, &a.rec, a.pub)
				stored = a.pub != nil
			}
			a.hot.pins--
		}
		if a.pub != nil {
			e.follower.Publication(a.ch, a.rec.Epoch, a.pub)
		}
		l.mu.Unlock()
	}
	if a.res.Duplicate && !stored && a.hot != nil {
		e.count.duplicates.Add(1)
	}
	if a.done != nil {
		a.done(a.res, a.err)
	}
	return stored
}

package index

import (
	"fmt"
	"time"
)

// finishLoop waits for each flight to be durable, in order, and only then lets
// anybody see it.
func (x *Index) finishLoop() {
	for f := range x.flights {
		landed := x.land(f)
		published := 0
		for i := range f.acts {
			if x.finish(&f.acts[i]) {
				published++
			}
		}
		x.count.committed.Add(uint64(published))
		if landed > 0 {
			x.cfg.OnCommit(published, landed)
		}
		if x.cache.Over() {
			MakeRoom(&x.cache, x.lanes.all[:], func(l *lane) int64 { return l.hotOldest.Load() }, x.shrinkHot)
		}
	}
}

// land waits for the sync, and says how long it took from the write; 0: nothing
// was made durable.
func (x *Index) land(f *Flight) time.Duration {
	if f.batch == nil {
		if x.health.failed.Load() { // it may repeat what an earlier flight failed to store
			f.refuse(ErrFailed)
		}
		return 0
	}
	begun := x.monotonic()
	x.health.syncSince.Store(begun)
	err := f.batch.Wait()
	x.health.syncSince.Store(0)
	if err == nil && x.health.failed.Load() {
		// Pebble gave up elsewhere; what it says of this batch is not to be trusted.
		err = ErrFailed
	}
	if err != nil {
		x.fail(err.Error())
		f.refuse(fmt.Errorf("%w: %w", ErrFailed, err))
		return 0
	}
	now := x.monotonic()
	x.count.batches.Add(1)
	x.count.syncNanos.Add(uint64(now - begun))
	x.health.logTime.Store(f.time)
	return time.Duration(max(now-f.begun, 1))
}

// finish is one entry's turn: raise the durable top, fill the ring, tell the
// Follower, answer.
func (x *Index) finish(a *act) (stored bool) {
	if a.hot != nil {
		l := a.hot.lane
		l.mu.Lock()
		if a.err == nil {
			x.advanceLocked(a.hot, &a.rec, a.pub)
			stored = a.pub != nil
		}
		a.hot.pins--
		l.mu.Unlock()
	}
	if a.pub != nil {
		x.cfg.Tell(a.ch, a.rec.Epoch, a.pub)
	}
	if a.res.Duplicate && !stored && a.hot != nil {
		x.count.duplicates.Add(1)
	}
	if a.done != nil {
		a.done(a.res, a.err)
	}
	return stored
}

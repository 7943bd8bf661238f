package store

import (
	"fmt"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// This file is the apply step: it takes an entry of the log and the state before
// it, and yields a position and what to write. It asks no clock and knows no
// node: whoever applies the same entries to the same state writes the same.

// Apply applies the next entry of the log. rec is the state of the entry's
// channel before it, and afterwards the state after it; the caller keeps one
// per channel and passes the same until the batch is committed. On an error rec
// is unchanged and the entry has no effect but that time passed.
func (b *Batch) Apply(e *Entry, rec *Record) (Outcome, error) {
	if e.Version > EntryVersion {
		return Outcome{}, fmt.Errorf("apply: %w", &VersionError{e.Version})
	}
	b.advance(e.Time)
	switch e.Kind {
	case Publish:
		return b.publish(e, rec)
	case Create:
		return b.create(e, rec), nil
	case Remove:
		b.remove(e, rec)
		return Outcome{Position: rec.Position()}, nil
	case Tick:
		return Outcome{}, nil
	case Adopt:
		return b.adopt(e, rec)
	}
	return Outcome{}, fmt.Errorf("apply: log entry of unknown kind %d", e.Kind)
}

// advance counts the entry and moves log time. With a new period of idempotency
// keys everything before the last one is forgotten.
func (b *Batch) advance(t int64) {
	b.log.Number++
	b.log.Time = max(b.log.Time, t)
	p := keyPeriod(b.log.Time)
	if p <= b.log.KeyPeriod {
		return
	}
	if p > 1 {
		b.deleteRange(appendKeyPeriod(nil, 0), appendKeyPeriod(nil, p-1))
	}
	b.log.KeyPeriod = p
	b.forgetWriters()
}

func (b *Batch) publish(e *Entry, rec *Record) (Outcome, error) {
	now := b.log.Time
	if rec.Expired(now) {
		b.drop(e.Channel, rec)
	}
	if e.Key != "" && now < rec.KeysUntil {
		offset, found, err := b.seen(rec.ID, e.Key)
		if err != nil {
			return Outcome{}, fmt.Errorf("apply: look up idempotency key: %w", err)
		}
		if found {
			out := Outcome{Position: rec.Position(), Duplicate: true}
			out.Offset = offset
			return out, nil
		}
	}
	if !rec.Exists() {
		b.found(rec)
	}
	rec.Top++
	rec.Last = now
	e.Pub.Offset, e.Pub.Time = rec.Top, now
	b.put(rec.ID, e.Pub, rec.Sum)
	rec.Sum += size(e.Pub)
	b.takes(e.Channel.App, int64(size(e.Pub)))
	b.retain(e, rec)
	if e.Key != "" {
		b.remember(rec.ID, e.Key, remembered{rec.Top, now})
		rec.KeysUntil = now + keyWindow
	}
	b.reschedule(e.Channel, rec)
	b.changed(e.Channel, rec)
	return Outcome{Position: rec.Position()}, nil
}

func (b *Batch) create(e *Entry, rec *Record) Outcome {
	now := b.log.Time
	if rec.Expired(now) {
		b.drop(e.Channel, rec)
	}
	if !rec.Exists() {
		b.found(rec)
		rec.Last = now
		b.retain(e, rec)
		b.reschedule(e.Channel, rec)
		b.changed(e.Channel, rec)
	}
	return Outcome{Position: rec.Position()}
}

func (b *Batch) remove(e *Entry, rec *Record) {
	if rec.Expired(b.log.Time) {
		b.drop(e.Channel, rec)
	}
	if !rec.Exists() {
		return
	}
	rec.Low = rec.Top + 1
	b.trimDisk(e.Channel, rec, 0)
	b.changed(e.Channel, rec)
}

// found gives the channel a position in an epoch of its own.
func (b *Batch) found(rec *Record) {
	*rec = Record{ID: b.log.Number, Epoch: epoch(b.log.Incarnation, b.log.Number), Low: 1, Deleted: 1}
}

// drop forgets the channel altogether.
func (b *Batch) drop(ch channel.ID, rec *Record) {
	b.delete(appendChannelKey(nil, ch))
	b.setDue(ch, rec, 0)
	if rec.Deleted <= rec.Top {
		b.deleteRange(appendPubKey(nil, rec.ID, rec.Deleted), appendPubKey(nil, rec.ID, rec.Top+1))
	}
	b.takes(ch.App, -int64(rec.Sum-rec.Freed))
	*rec = Record{}
}

// retain takes over the entry's retention and raises the low-water mark to it.
func (b *Batch) retain(e *Entry, rec *Record) {
	rec.Size, rec.TTL, rec.MetaTTL = e.Retention.Size, e.Retention.TTL, e.Retention.MetaTTL
	b.trimSize(e.Channel, rec)
	if rec.Low >= rec.Top { // it is the only one, or there is none
		rec.Oldest = b.log.Time
	}
}

// trimSize raises the low-water mark to what the channel keeps.
func (b *Batch) trimSize(ch channel.ID, rec *Record) {
	if size := uint64(max(rec.Size, 1)); rec.Top >= size {
		rec.Low = max(rec.Low, rec.Top-size+1)
	}
	b.trimDisk(ch, rec, max(uint64(max(rec.Size, 0)), minStale))
}

// minStale is how many publications at least wait below the low-water mark
// before they are deleted: a range deletion costs every later read of the same
// memtable, a stale publication only its space.
const minStale = 512

// trimDisk deletes what is below the low-water mark if more than stale are.
func (b *Batch) trimDisk(ch channel.ID, rec *Record, stale uint64) {
	if rec.Low-rec.Deleted <= stale {
		return
	}
	b.deleteRange(appendPubKey(nil, rec.ID, rec.Deleted), appendPubKey(nil, rec.ID, rec.Low))
	b.freed(ch.App, rec)
	rec.Deleted = rec.Low
}

// reschedule sees to it that the time index holds the channel, no later than
// something of it expires.
func (b *Batch) reschedule(ch channel.ID, rec *Record) {
	due := nextDue(rec)
	if due == 0 || rec.Due != 0 && rec.Due <= due {
		return
	}
	b.setDue(ch, rec, due)
}

func (b *Batch) setDue(ch channel.ID, rec *Record, due int64) {
	if rec.Due != 0 {
		b.key = appendDueKey(b.key[:0], rec.Due, rec.ID)
		b.delete(b.key)
	}
	rec.Due = due
	if due != 0 {
		b.key, b.value = appendDueKey(b.key[:0], due, rec.ID), appendChannel(b.value[:0], ch)
		b.set(b.key, b.value)
	}
}

// How coarse the time index is: a fraction of the ttl, within bounds. It only
// says when space is given back; what is too old is not read in any case.
const (
	minDueStep = 1_000   // milliseconds
	maxDueStep = 600_000 // milliseconds
	dueSteps   = 8       // per ttl
)

// nextDue is when something of the channel expires, rounded up; 0: never.
func nextDue(rec *Record) int64 {
	due := int64(0)
	if rec.MetaTTL > 0 {
		due = roundUp(rec.idleUntil(), rec.MetaTTL.Milliseconds())
	}
	if rec.TTL > 0 && rec.Low <= rec.Top {
		ttl := rec.TTL.Milliseconds()
		if at := roundUp(rec.Oldest+ttl, ttl); due == 0 || at < due {
			due = at
		}
	}
	return due
}

func roundUp(t, ttl int64) int64 {
	step := min(max(ttl/dueSteps, minDueStep), maxDueStep)
	return (t + step) / step * step
}

// Expire does what the time index says is due at the log's time: it raises the
// low-water mark over what is too old, or forgets the channel. rec is the state
// of the channel, of which the batch must hold no publication. An error leaves
// the channel as it was, to be looked at again later.
func (b *Batch) Expire(d Due, rec *Record) error {
	now := b.log.Time
	if rec.ID != d.ID || rec.Due != d.At {
		// Never so, but if it were it must not stay at the head of the index.
		b.delete(appendDueKey(nil, d.At, d.ID))
		return nil
	}
	if rec.Due > now {
		return nil
	}
	ch := d.Channel
	if rec.Expired(now) {
		b.drop(ch, rec)
		return nil
	}
	low, oldest, err := b.store.FirstAfter(rec.ID, rec.Low, rec.Top, rec.Horizon(now))
	if err != nil {
		b.setDue(ch, rec, now+maxDueStep)
		b.changed(ch, rec)
		return fmt.Errorf("expire: %w", err)
	}
	rec.Low, rec.Oldest = low, oldest
	b.trimDisk(ch, rec, 0)
	b.setDue(ch, rec, nextDue(rec))
	b.changed(ch, rec)
	return nil
}

// seen looks an idempotency key up.
func (b *Batch) seen(id uint64, key string) (offset uint64, found bool, err error) {
	if k, ok := b.keys[batchKey{id, key}]; ok && b.log.Time < k.time+keyWindow {
		return k.offset, true, nil
	}
	p, hash := keyPeriod(b.log.Time), b.store.recent.hash(batchKey{id, key})
	for _, period := range [...]int64{p, p - 1} {
		if period < 0 || !b.store.recent.mayHold(period, hash) {
			continue
		}
		b.scratch = appendIdempotencyKey(b.scratch[:0], period, id, key)
		k, ok, err := b.store.remembered(b.scratch)
		if err != nil {
			return 0, false, err
		}
		if ok && b.log.Time < k.time+keyWindow {
			return k.offset, true, nil
		}
	}
	return 0, false, nil
}

package store

import (
	"fmt"
	"sync"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file counts what the publications of each App take, without ever looking at
// all of them. A publication is stored with the sum of what those before it in its
// channel ever took. Where a channel is trimmed, that of the oldest that stays is read,
// once for hundreds that go: what is deleted took so much less than was counted before.

// pubOverhead is what a publication counts beside its parts, in bytes: keys, numbers,
// its channel's record.
const pubOverhead = 64

// size is what a publication counts, in bytes.
func size(p *engine.Publication) uint64 {
	n := pubOverhead + len(p.Data) + len(p.Event)
	for k, v := range p.Tags {
		n += len(k) + len(v)
	}
	if i := p.Info; i != nil {
		n += len(i.User) + len(i.Client) + len(i.ConnInfo) + len(i.ChanInfo)
	}
	return uint64(n)
}

// putSum is where a publication that the batch holds lies, and what those before it
// took.
type putSum struct{ id, offset, sum uint64 }

// taken is what Apps take on disk by what was committed.
type taken struct {
	mu    sync.RWMutex
	bytes map[string]int64 // those that take something only
}

// Taken is how many bytes the publications of an App count that are on disk, those
// included that may be deleted. What was stored before it was counted is missing. Any
// goroutine may call it.
func (s *Store) Taken(app string) int64 {
	s.taken.mu.RLock()
	defer s.taken.mu.RUnlock()
	return s.taken.bytes[app]
}

// takes adds to what an App takes once the batch is committed.
func (b *Batch) takes(app string, bytes int64) { b.apps[app] += bytes }

// commitTaken writes what Apps take with the batch.
func (b *Batch) commitTaken() {
	t := &b.store.taken
	t.mu.Lock()
	defer t.mu.Unlock()
	for app, more := range b.apps {
		if more == 0 {
			continue
		}
		n := t.bytes[app] + more
		b.key = append(append(b.key[:0], tableApp), app...)
		if n == 0 {
			delete(t.bytes, app)
			b.delete(b.key)
			continue
		}
		t.bytes[app] = n
		b.value = appendTaken(b.value[:0], n)
		b.set(b.key, b.value)
	}
}

// freed counts what is deleted below rec.Low, from rec.Deleted on. What cannot be
// read now is made up for when the channel is trimmed next.
func (b *Batch) freed(app string, rec *Record) {
	sum, known := rec.Sum, true
	if rec.Low <= rec.Top {
		sum, known = b.sumBefore(rec)
	}
	if !known {
		return
	}
	b.takes(app, -int64(sum-rec.Freed))
	rec.Freed = sum
}

// sumBefore is what the publications before rec.Low ever took; false: it is not known.
func (b *Batch) sumBefore(rec *Record) (sum uint64, known bool) {
	for i := len(b.puts) - 1; i >= 0; i-- {
		if p := &b.puts[i]; p.id == rec.ID && p.offset == rec.Low {
			return p.sum, true
		}
	}
	b.scratch = appendPubKey(b.scratch[:0], rec.ID, rec.Low)
	v, closer, err := b.store.db.Get(b.scratch)
	if err != nil {
		return 0, false
	}
	sum, known, err = publicationSum(v)
	if cerr := closer.Close(); err != nil || cerr != nil {
		return 0, false
	}
	return sum, known
}

func (s *Store) loadTaken() (err error) {
	s.taken.bytes = make(map[string]int64)
	it, err := s.table(tableApp)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("read what apps take: %w", cerr)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read what apps take: %w", err)
		}
		if s.taken.bytes[string(it.Key()[1:])], err = decodeTaken(v); err != nil {
			return err
		}
	}
	return nil
}

package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Batch is what several entries of the log write, all or nothing. One batch is
// filled at a time, by one goroutine.
type Batch struct {
	store   *Store
	log     Log // after the entries so far
	writes  *pebble.Batch
	seq     uint64
	dirty   []dirtyRecord
	keys    map[batchKey]remembered // not yet in Pebble
	puts    []putSum                // likewise
	apps    map[string]int64        // bytes that Apps take more, or less, than before
	key     []byte                  // scratch
	value   []byte                  // scratch
	scratch []byte
}

type dirtyRecord struct {
	ch  channel.ID
	rec *Record
}

type batchKey struct {
	id  uint64
	key string
}

// NewBatch begins the next batch. The one before must have been committed.
func (s *Store) NewBatch() *Batch {
	b, ok := s.batches.Get().(*Batch)
	if !ok {
		b = &Batch{keys: make(map[batchKey]remembered), apps: make(map[string]int64)}
	}
	s.seq++
	b.store, b.log, b.seq = s, s.log, s.seq
	b.writes = s.db.NewBatch()
	return b
}

// Time is the log time after the entries so far.
func (b *Batch) Time() int64 { return b.log.Time }

// Empty reports whether nothing has to be stored: entries that changed nothing
// may be forgotten.
func (b *Batch) Empty() bool { return b.writes.Empty() && len(b.dirty) == 0 }

// Commit writes the batch to the log in the order of commits. It returns before
// that is durable, though the writes can be read: wait with Wait before showing
// anything. After an error the store is broken and takes nothing more.
func (b *Batch) Commit() (err error) {
	for _, d := range b.dirty {
		if d.rec.ID == 0 {
			continue
		}
		b.key = appendChannelKey(b.key[:0], d.ch)
		b.value = d.rec.append(b.value[:0], b.log.Incarnation)
		b.set(b.key, b.value)
	}
	b.commitTaken()
	b.value = b.log.append(b.value[:0])
	b.set(logKey, b.value)
	// Pebble panics where it cannot go on, and its logger does for us when it
	// asks to end the process.
	defer func() {
		if r := recover(); r != nil {
			b.store.stuck = true
			err = fmt.Errorf("commit: %v", r)
		}
	}()
	if b.store.unsynced {
		err = b.store.db.Apply(b.writes, pebble.NoSync)
	} else {
		err = b.store.db.ApplyNoSyncWait(b.writes, pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	b.store.log = b.log
	return nil
}

// Wait returns once the committed batch is durable, or will come again from the
// log that is replayed, and frees it. An error means
// that it may or may not be, and that nothing after it will be.
func (b *Batch) Wait() error {
	if !b.store.unsynced {
		if err := b.writes.SyncWait(); err != nil {
			return fmt.Errorf("sync the log: %w", err)
		}
	}
	return b.free()
}

// Discard frees a batch that was not committed.
func (b *Batch) Discard() error { return b.free() }

func (b *Batch) free() error {
	err := b.writes.Close()
	s := b.store
	clear(b.dirty)
	clear(b.keys)
	clear(b.apps)
	*b = Batch{dirty: b.dirty[:0], keys: b.keys, puts: b.puts[:0], apps: b.apps, key: b.key, value: b.value, scratch: b.scratch}
	s.batches.Put(b)
	return err
}

func (b *Batch) changed(ch channel.ID, rec *Record) {
	if rec.batch != b.seq {
		rec.batch = b.seq
		b.dirty = append(b.dirty, dirtyRecord{ch, rec})
	}
}

// put writes a publication; sum is what those before it ever took.
func (b *Batch) put(id uint64, p *engine.Publication, sum uint64) {
	b.key = appendPubKey(b.key[:0], id, p.Offset)
	b.value = appendStored(b.value[:0], p, sum)
	b.set(b.key, b.value)
	b.puts = append(b.puts, putSum{id, p.Offset, sum})
}

func (b *Batch) remember(id uint64, key string, k remembered) {
	b.key = appendIdempotencyKey(b.key[:0], b.log.KeyPeriod, id, key)
	b.value = k.append(b.value[:0])
	b.set(b.key, b.value)
	b.keys[batchKey{id, key}] = k
	b.store.recent.add(b.log.KeyPeriod, b.store.recent.hash(batchKey{id, key}))
}

// A batch in memory takes every write; what can fail is its commit.

func (b *Batch) set(key, value []byte)       { must(b.writes.Set(key, value, nil)) }
func (b *Batch) delete(key []byte)           { must(b.writes.Delete(key, nil)) }
func (b *Batch) deleteRange(from, to []byte) { must(b.writes.DeleteRange(from, to, nil)) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Seen is the offset of the publication whose key a channel remembers at a log time,
// as far as it is committed, which is sooner than it is durable. Any goroutine may call it.
func (s *Store) Seen(id uint64, key string, now int64) (offset uint64, found bool, err error) {
	p := keyPeriod(now)
	for period := p; period >= max(p-1, 0); period-- {
		k, ok, err := s.remembered(appendIdempotencyKey(nil, period, id, key))
		if err != nil || ok && now < k.time+keyWindow {
			return k.offset, ok, err
		}
	}
	return 0, false, nil
}

// remembered reads one idempotency record.
func (s *Store) remembered(key []byte) (remembered, bool, error) {
	v, found, err := s.get(key)
	if err != nil || !found {
		return remembered{}, false, err
	}
	k, err := decodeRemembered(v)
	return k, err == nil, err
}

// get reads a copy of a value.
func (s *Store) get(key []byte) (value []byte, found bool, err error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read: %w", err)
	}
	value = append(make([]byte, 0, len(v)), v...)
	return value, true, closer.Close()
}

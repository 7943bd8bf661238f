package store

import (
	"encoding/binary"
	"fmt"
	"time"
)

// This file keeps a message of a replicated log from having its effect twice: a
// writer that does not know whether a message was stored sends it again, and
// sends nothing else before it knows.

// writers are those of the last writerTTL, by their name.
type writers map[string]written

// written is how far a writer has come.
type written struct {
	count uint64
	time  int64 // log time
}

// writerTTL is how long a writer that writes nothing is remembered, in
// milliseconds of log time. No message is under way for so long.
const writerTTL = int64(24 * time.Hour / time.Millisecond)

// Message begins the next message of a replicated log, whose entries follow. It
// reports whether it is one that was not seen before; the entries of others must
// not be applied.
func (b *Batch) Message(m Mark) (fresh bool) {
	b.log.Mark = m
	w := b.store.writes[m.Writer]
	fresh = m.Count > w.count
	if fresh {
		w.count = m.Count
	}
	w.time = b.log.Time
	b.store.writes[m.Writer] = w
	b.key = append(append(b.key[:0], tableWriter), m.Writer...)
	b.value = binary.AppendUvarint(append(b.value[:0], valueVersion), w.count)
	b.value = binary.AppendUvarint(b.value, uint64(w.time))
	b.set(b.key, b.value)
	return fresh
}

// Written is how far a writer has come, for whoever fills batches; 0: it is not
// known.
func (s *Store) Written(writer string) uint64 { return s.writes[writer].count }

// forgetWriters drops those that have been silent.
func (b *Batch) forgetWriters() {
	for name, w := range b.store.writes {
		if w.time < b.log.Time-writerTTL && name != b.log.Mark.Writer {
			delete(b.store.writes, name)
			b.delete(append([]byte{tableWriter}, name...))
		}
	}
}

func (s *Store) loadWriters() (err error) {
	s.writes = writers{}
	it, err := s.table(tableWriter)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("read writers: %w", cerr)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read writers: %w", err)
		}
		r := read(v)
		if err := r.version("writer"); err != nil {
			return err
		}
		w := written{count: r.Uvarint(), time: r.Time()}
		if err := r.End("writer"); err != nil {
			return err
		}
		s.writes[string(it.Key()[1:])] = w
	}
	return nil
}

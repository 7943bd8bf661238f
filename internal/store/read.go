package store

import (
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file reads. Everything committed is seen, durable or not: the caller
// bounds a range by the top it knows to be durable.

// Record reads a channel's state; the zero Record when it has none.
func (s *Store) Record(ch channel.ID) (Record, error) {
	v, found, err := s.get(appendChannelKey(nil, ch))
	if err != nil || !found {
		return Record{}, err
	}
	rec, err := decodeRecord(v, s.incarnation)
	if err != nil {
		return Record{}, fmt.Errorf("channel %s: %w", ch, err)
	}
	return rec, nil
}

// Range asks for publications of a channel by its id.
type Range struct {
	ID       uint64
	From, To uint64 // offsets, both included
	Reverse  bool   // newest first
	Limit    int    // at most so many; negative: no limit
	MaxBytes int    // stop before data exceeds it, but give at least one; 0: no limit
}

// Read reads a range. What has been trimmed meanwhile is missing at its low end,
// never in the middle.
func (s *Store) Read(r Range) (pubs []*engine.Publication, err error) {
	if r.From > r.To || r.Limit == 0 {
		return nil, nil
	}
	it, err := s.pubs(r.ID, r.From, r.To)
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("read publications: %w", cerr)
		}
	}()
	first, next := it.First, it.Next
	if r.Reverse {
		first, next = it.Last, it.Prev
	}
	left := Page{Limit: r.Limit, MaxBytes: r.MaxBytes}
	for ok := first(); ok; ok = next() {
		p, err := s.publication(it)
		if err != nil {
			return nil, err
		}
		if !left.Takes(p) {
			break
		}
		if n := len(pubs); n > 0 && !r.Reverse && p.Offset != pubs[n-1].Offset+1 || n > 0 && r.Reverse && p.Offset != pubs[n-1].Offset-1 {
			return nil, fmt.Errorf("read publications: offset %d next to %d: %w", p.Offset, pubs[n-1].Offset, errMalformed)
		}
		pubs = append(pubs, p)
	}
	return pubs, nil
}

// Page counts what an answer may still hold.
type Page struct {
	Limit    int // negative: no limit
	MaxBytes int // 0: no limit

	taken, bytes int
}

// Takes reports whether p still fits, and counts it if it does.
func (l *Page) Takes(p *engine.Publication) bool {
	if l.Limit >= 0 && l.taken >= l.Limit {
		return false
	}
	if l.MaxBytes > 0 && l.taken > 0 && l.bytes+len(p.Data) > l.MaxBytes {
		return false
	}
	l.taken++
	l.bytes += len(p.Data)
	return true
}

// table iterates over one table.
func (s *Store) table(t byte) (*pebble.Iterator, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{t}, UpperBound: []byte{t + 1}})
	if err != nil {
		return nil, fmt.Errorf("read table %c: %w", t, err)
	}
	return it, nil
}

func (s *Store) pubs(id, from, to uint64) (*pebble.Iterator, error) {
	opts := &pebble.IterOptions{LowerBound: appendPubKey(nil, id, from)}
	if to == math.MaxUint64 {
		opts.UpperBound = appendPubKey(nil, id+1, 0)
	} else {
		opts.UpperBound = appendPubKey(nil, id, to+1)
	}
	it, err := s.db.NewIter(opts)
	if err != nil {
		return nil, fmt.Errorf("read publications: %w", err)
	}
	return it, nil
}

func (s *Store) publication(it *pebble.Iterator) (*engine.Publication, error) {
	_, offset, err := decodePubKey(it.Key())
	if err != nil {
		return nil, err
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return nil, fmt.Errorf("read publication: %w", err)
	}
	p, err := DecodePublication(append(make([]byte, 0, len(v)), v...), offset)
	if err != nil {
		return nil, fmt.Errorf("offset %d: %w", offset, err)
	}
	return p, nil
}

// FirstAfter finds the oldest publication among the offsets low to top that is
// newer than a log time, and its time; top+1 when none is.
func (s *Store) FirstAfter(id, low, top uint64, horizon int64) (offset uint64, t int64, err error) {
	if low > top {
		return top + 1, 0, nil
	}
	it, err := s.pubs(id, low, top)
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("read publications: %w", cerr)
		}
	}()
	offset = top + 1
	// Times never fall with rising offsets: halve what is left.
	for lo, hi := low, top; lo <= hi; {
		mid := lo + (hi-lo)/2
		if !it.SeekGE(appendPubKey(nil, id, mid)) { // all below top is trimmed
			if err := it.Error(); err != nil {
				return 0, 0, fmt.Errorf("read publications: %w", err)
			}
			return offset, t, nil
		}
		at, when, err := s.offsetAndTime(it)
		if err != nil {
			return 0, 0, err
		}
		if when > horizon {
			offset, t = at, when
			hi = mid - 1
		} else {
			lo = at + 1
		}
	}
	return offset, t, nil
}

func (s *Store) offsetAndTime(it *pebble.Iterator) (uint64, int64, error) {
	_, offset, err := decodePubKey(it.Key())
	if err != nil {
		return 0, 0, err
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return 0, 0, fmt.Errorf("read publication: %w", err)
	}
	t, err := publicationTime(v)
	return offset, t, err
}

// Due is an entry of the time index.
type Due struct {
	At      int64 // log time
	ID      uint64
	Channel channel.ID
}

// Due lists what the time index says to look at by a log time, the most overdue
// first, at most limit.
func (s *Store) Due(now int64, limit int) (list []Due, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{tableDue}, UpperBound: appendDueKey(nil, now+1, 0),
	})
	if err != nil {
		return nil, fmt.Errorf("read time index: %w", err)
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("read time index: %w", cerr)
		}
	}()
	for ok := it.First(); ok && len(list) < limit; ok = it.Next() {
		d, err := decodeDue(it)
		if err != nil {
			return nil, fmt.Errorf("read time index: %w", err)
		}
		list = append(list, d)
	}
	return list, nil
}

func decodeDue(it *pebble.Iterator) (d Due, err error) {
	if d.At, d.ID, err = decodeDueKey(it.Key()); err != nil {
		return Due{}, err
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return Due{}, err
	}
	d.Channel, err = decodeChannel(v)
	return d, err
}

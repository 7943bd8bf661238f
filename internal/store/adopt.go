package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/pack"
)

// This file takes over channels of another log, with epoch, offsets and times, so
// that whoever stood at a position there stands at it here.
//
// A channel comes in pieces, the newest publications first. With the first piece
// it is there, with the position that it had: it can be read and published to, and
// only its low-water mark is higher than it will be. Every later piece ends below
// the one before. So an interrupted move leaves nothing that is wrong, and can be
// done again: what is there is passed over.

// Adoption is a piece of a channel of another log.
type Adoption struct {
	Epoch string
	Top   uint64 // of the channel, not of the piece
	Last  int64  // log time of the channel's last entry there
	First uint64 // offset of the first of Pubs; Top+1 where the channel holds none
	Pubs  []*engine.Publication
}

// Limits of one piece.
const (
	MaxAdopted = 10_000 // publications
	maxEpoch   = 64     // bytes
	maxTop     = math.MaxUint64 >> 2
)

// Why a piece is not taken.
var (
	// ErrOtherChannel says that a channel of this name has a history of its own.
	ErrOtherChannel = errors.New("a channel of this name has another history")
	// ErrNotNext says that what is between this piece and those that are here is
	// missing.
	ErrNotNext = errors.New("not the piece that is next")
)

// end is the offset behind the piece.
func (a *Adoption) end() uint64 { return a.First + uint64(len(a.Pubs)) }

// adopt takes a piece. A channel that was never published to gives way: a look at
// it is enough to make one. Duplicate says that nothing of the piece was missing,
// or that the channel has meanwhile trimmed what it would precede.
func (b *Batch) adopt(e *Entry, rec *Record) (Outcome, error) {
	a, now := e.Adoption, b.log.Time
	switch untouched := !rec.Exists() || rec.Expired(now) || rec.Top == 0 && rec.Adopted == 0; {
	case untouched && a.end() != a.Top+1:
		return Outcome{}, fmt.Errorf("apply: %w", ErrNotNext)
	case untouched:
		if rec.Exists() {
			b.drop(e.Channel, rec)
		}
		b.found(rec)
		rec.Epoch, rec.Top, rec.Last, rec.Oldest = a.Epoch, a.Top, min(a.Last, now), now
		rec.Low, rec.Deleted, rec.Adopted = a.end(), a.end(), a.end()
		rec.Sum, rec.Freed = adoptedSum, adoptedSum
		rec.Size, rec.TTL, rec.MetaTTL = e.Retention.Size, e.Retention.TTL, e.Retention.MetaTTL
	case rec.Epoch != a.Epoch || rec.Top < a.Top: // of a log that went on after it was moved
		return Outcome{}, fmt.Errorf("apply: %w", ErrOtherChannel)
	case rec.Low != rec.Adopted || a.First >= rec.Adopted:
		return Outcome{Position: rec.Position(), Duplicate: true}, nil
	case a.end() < rec.Adopted:
		return Outcome{}, fmt.Errorf("apply: %w", ErrNotNext)
	}
	b.putBelow(e.Channel, a, rec)
	b.reschedule(e.Channel, rec)
	b.changed(e.Channel, rec)
	return Outcome{Position: rec.Position()}, nil
}

// adoptedSum is from where sums of what is put below count down: more than any channel
// takes, though nothing depends on that, as their differences are what counts.
const adoptedSum = 1 << 40

// putBelow writes what of a piece lies below the oldest publication that is here.
func (b *Batch) putBelow(ch channel.ID, a *Adoption, rec *Record) {
	t := rec.Oldest
	for n := rec.Adopted - a.First; n > 0; n-- {
		p := a.Pubs[n-1]
		// The clock there may have been ahead, and times must not fall with rising
		// offsets.
		p.Time = min(p.Time, t)
		t = p.Time
		rec.Freed -= size(p)
		b.takes(ch.App, int64(size(p)))
		b.put(rec.ID, p, rec.Freed)
	}
	rec.Low, rec.Deleted, rec.Adopted, rec.Oldest = a.First, a.First, a.First, t
	b.trimSize(ch, rec)
}

// isEpoch reports whether a text can be one: what they are made of is written into
// frames as it is.
func isEpoch(s string) bool {
	return s != "" && len(s) <= maxEpoch && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyz-") == ""
}

// appendAdoption encodes what only entries of this kind have:
//
//	epoch top last first count ( len(publication) publication )*
func appendAdoption(dst []byte, a *Adoption) []byte {
	dst = pack.AppendString(dst, a.Epoch)
	dst = binary.AppendUvarint(dst, a.Top)
	dst = binary.AppendUvarint(dst, uint64(max(a.Last, 0)))
	dst = binary.AppendUvarint(dst, a.First)
	dst = binary.AppendUvarint(dst, uint64(len(a.Pubs)))
	var scratch []byte
	for _, p := range a.Pubs {
		scratch = AppendPublication(scratch[:0], p)
		dst = pack.AppendString(dst, scratch)
	}
	return dst
}

// adoption is what appendAdoption wrote. It keeps parts of what is read.
func (r *reader) adoption() (*Adoption, error) {
	a := &Adoption{Epoch: r.String(), Top: r.Uvarint(), Last: r.Time(), First: r.Uvarint()}
	n := r.Count(2)
	switch {
	case !isEpoch(a.Epoch), a.Top > maxTop, n > MaxAdopted,
		a.First == 0 || a.First > a.Top+1, uint64(n) > a.Top+1-a.First, n == 0 && a.First != a.Top+1:
		r.Failed = true
	}
	if r.Failed {
		return nil, r.End("piece of a channel")
	}
	for i := range n {
		v := r.Bytes()
		if len(v) > 0 && v[0] > valueVersion {
			return nil, &VersionError{Version: v[0]}
		}
		p, err := DecodePublication(v, a.First+uint64(i))
		if err != nil {
			return nil, fmt.Errorf("piece of a channel: %w", err)
		}
		a.Pubs = append(a.Pubs, p)
	}
	r.Failed = r.Failed || len(r.B) > 0
	return a, r.End("piece of a channel")
}

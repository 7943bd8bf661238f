package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/pack"
)

// This page is the format of the data directory.
//
// Files: FORMAT says in text which format it is in and is written last when a
// directory is made; LOCK is held by the process that uses it; log/ is Pebble's;
// RESTORED is put there by whoever restores a backup (see restoredFile), MOVED when
// channels are moved to a cluster (see MarkMoved).
//
// Keys in Pebble. The first byte is the table; numbers are big endian, so that
// keys sort by them; everything that belongs to a channel hangs on its id.
//
//	m                              → log state           one, in every batch
//	c len(app) app name            → channel record
//	p id:8 offset:8                → publication
//	i period:4 id:8 key            → offset:8 time:8     idempotency; period = log time / window
//	d due:8 id:8                   → len(app) app name   time index: when to look at a channel again
//	w writer                       → count time          writers of a replicated log
//	a app                          → bytes               what the publications of an App take; none: 0
//
// Values begin with a version byte. A reader refuses what is newer than it
// knows; the format number rises whenever an older program could misread.

// Format is the format of data directories that this program writes, and the
// newest that it reads.
const Format = 1

const (
	tableLog     = 'm'
	tableChannel = 'c'
	tablePub     = 'p'
	tableKey     = 'i'
	tableDue     = 'd'
	tableWriter  = 'w'
	tableApp     = 'a'

	valueVersion = 1
)

var errMalformed = pack.ErrMalformed

var logKey = []byte{tableLog}

func appendChannelKey(dst []byte, ch channel.ID) []byte {
	return appendChannel(append(dst, tableChannel), ch)
}

func appendChannel(dst []byte, ch channel.ID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ch.App)))
	dst = append(dst, ch.App...)
	return append(dst, ch.Name...)
}

func decodeChannel(b []byte) (channel.ID, error) {
	r := read(b)
	app := r.String()
	if r.Failed {
		return channel.ID{}, fmt.Errorf("channel name: %w", errMalformed)
	}
	return channel.ID{App: app, Name: string(r.B)}, nil
}

const pubKeySize = 1 + 8 + 8

func appendPubKey(dst []byte, id, offset uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, tablePub), id)
	return binary.BigEndian.AppendUint64(dst, offset)
}

func decodePubKey(b []byte) (id, offset uint64, err error) {
	if len(b) != pubKeySize || b[0] != tablePub {
		return 0, 0, fmt.Errorf("key of a publication: %w", errMalformed)
	}
	return binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:]), nil
}

// keyWindow is the period by which idempotency keys are filed: at any time only
// this one and the one before can hold keys that are still remembered.
const keyWindow = int64(engine.IdempotencyWindow / 1e6)

func keyPeriod(t int64) int64 { return min(max(t/keyWindow, 0), math.MaxUint32) }

func appendKeyPeriod(dst []byte, period int64) []byte {
	return binary.BigEndian.AppendUint32(append(dst, tableKey), uint32(period))
}

func appendIdempotencyKey(dst []byte, period int64, id uint64, key string) []byte {
	dst = binary.BigEndian.AppendUint64(appendKeyPeriod(dst, period), id)
	return append(dst, key...)
}

// remembered is the value of an idempotency key.
type remembered struct {
	offset uint64
	time   int64
}

func (k remembered) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, k.offset)
	return binary.BigEndian.AppendUint64(dst, uint64(k.time))
}

func decodeRemembered(b []byte) (remembered, error) {
	if len(b) != 16 {
		return remembered{}, fmt.Errorf("idempotency record: %w", errMalformed)
	}
	return remembered{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

func appendDueKey(dst []byte, due int64, id uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, tableDue), uint64(due))
	return binary.BigEndian.AppendUint64(dst, id)
}

const dueKeySize = 1 + 8 + 8

func decodeDueKey(b []byte) (due int64, id uint64, err error) {
	if len(b) != dueKeySize || b[0] != tableDue {
		return 0, 0, fmt.Errorf("key of the time index: %w", errMalformed)
	}
	return int64(binary.BigEndian.Uint64(b[1:])), binary.BigEndian.Uint64(b[9:]), nil
}

// epoch names one incarnation of a channel: the log's own, and the number of
// the entry that created the channel.
func epoch(incarnation, id uint64) string {
	b := strconv.AppendUint(make([]byte, 0, 24), incarnation, 36)
	return string(strconv.AppendUint(append(b, '-'), id, 36))
}

package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fanfare-push/fanfare/internal/pack"
	"github.com/fanfare-push/fanfare/internal/store"
)

// This page is the form of a message:
//
//	version:1 incarnation:8 len(writer) writer count ( len(entry) entry )*
//
// Numbers without a size are unsigned varints. Entries are those of
// store.AppendEntry. A genesis has no entries.

// Version is the version of messages that this program writes, and the newest
// that it reads.
const Version = 1

// Message is one message of the log.
type Message struct {
	store.Mark

	Incarnation uint64
	Entries     []store.Entry
	Pending     uint64 // messages of the log behind it when it was read
}

var errMalformed = errors.New("malformed message of the log")

// head begins a message; entries follow.
func head(incarnation uint64, writer string, count uint64) []byte {
	dst := binary.BigEndian.AppendUint64([]byte{Version}, incarnation)
	return binary.AppendUvarint(pack.AppendString(dst, writer), count)
}

// Encode makes a message of entries, as many as fit into size bytes and at least
// one, and says how many those are.
func Encode(incarnation uint64, writer string, count uint64, entries []store.Entry, size int) (b []byte, taken int) {
	b = head(incarnation, writer, count)
	var scratch []byte
	for i := range entries {
		scratch = store.AppendEntry(scratch[:0], &entries[i])
		if i > 0 && len(b)+len(scratch)+binary.MaxVarintLen64 > size {
			return b, i
		}
		b = pack.AppendString(b, scratch)
	}
	return b, len(entries)
}

// decode reads a message. It fails with a *store.VersionError where a newer
// program must read it; what is malformed, nobody can.
func decode(seq uint64, b []byte) (Message, error) {
	m := Message{Mark: store.Mark{Seq: seq}}
	if len(b) < 9 {
		return m, errMalformed
	}
	if b[0] > Version {
		return m, &store.VersionError{Version: b[0]}
	}
	m.Incarnation = binary.BigEndian.Uint64(b[1:])
	r := pack.Reader{B: b[9:]}
	m.Writer, m.Count = r.String(), r.Uvarint()
	for len(r.B) > 0 {
		entry := r.Bytes()
		e, err := store.DecodeEntry(entry)
		var newer *store.VersionError
		switch {
		case errors.As(err, &newer):
			return m, fmt.Errorf("message %d of the log: %w", seq, err)
		case err != nil:
			return m, errMalformed
		}
		m.Entries = append(m.Entries, e)
	}
	if r.Failed {
		return m, errMalformed
	}
	return m, nil
}

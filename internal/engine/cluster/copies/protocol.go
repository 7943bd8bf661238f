package copies

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/fanfare-push/fanfare/internal/pack"
)

// This page is what nodes say to each other for a copy.
//
//	PREFIX.copy.offer  log                → offer       from every node that has an index of the log
//	PREFIX.copy.NODE   open log           → begun id | failed text
//	                   next id            → chunk bytes | end sum:4 | failed text
//	                   close id           → nothing
//
// The first byte of a request to a node, and of its answer, says what it is;
// strings begin with their length. An offer is node, incarnation and number of
// the last message that was applied.

const (
	sayOpen byte = iota + 1
	sayNext
	sayClose
	sayBegun
	sayChunk
	sayEnd
	sayFailed
)

// Limits.
const (
	MaxTransfers = 4                // that a node sends at a time
	idle         = 30 * time.Second // after which one that nobody asks for ends
	chunkSize    = 512 << 10        // bytes, or one record
	offerWait    = 300 * time.Millisecond
	answerWait   = 5 * time.Second
)

// Errors of Fetch.
var (
	ErrNone   = errors.New("no other node has an index to copy")
	errFailed = errors.New("the other node cannot go on with the copy")
	errForm   = errors.New("the other node says what this one does not know")
)

func offerSubject(prefix string) string      { return prefix + ".copy.offer" }
func nodeSubject(prefix, node string) string { return prefix + ".copy." + node }

// Offer says which index a node has.
type Offer struct {
	Node        string
	Incarnation uint64
	Seq         uint64 // of the last message applied
}

func (o Offer) append(dst []byte) []byte {
	dst = binary.AppendUvarint(pack.AppendString(dst, o.Node), o.Incarnation)
	return binary.AppendUvarint(dst, o.Seq)
}

func decodeOffer(b []byte) (Offer, error) {
	r := pack.Reader{B: b}
	o := Offer{Node: r.String(), Incarnation: r.Uvarint(), Seq: r.Uvarint()}
	return o, r.End("offer of a copy")
}

// request is what is said to a node: a byte and a string.
func request(say byte, s string) []byte { return pack.AppendString([]byte{say}, s) }

// taken reads an answer. It fails where the other node did.
func taken(b []byte) (say byte, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, errForm
	}
	if b[0] == sayFailed {
		return 0, nil, fmt.Errorf("%w: %s", errFailed, b[1:])
	}
	return b[0], b[1:], nil
}

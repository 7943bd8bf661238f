package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file is the encoding of values: a version byte, then unsigned varints
// and strings that begin with their length.

// reader takes a value apart; once it has failed it yields zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.failed = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// bytes is a part of the value, not a copy; nil when empty.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.failed, r.b = true, nil
		return nil
	}
	if n == 0 {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) version(what string) error {
	switch v := r.byte(); {
	case v > valueVersion:
		return fmt.Errorf("%s of version %d, this program knows up to %d", what, v, valueVersion)
	case v == 0:
		r.failed = true
	}
	return nil
}

// time is log time or a duration: never negative.
func (r *reader) time() int64 {
	v := int64(r.uvarint())
	if v < 0 {
		r.failed = true
	}
	return v
}

// end reports whether all could be read. What follows is the caller's.
func (r *reader) end(what string) error {
	if r.failed {
		return fmt.Errorf("%s: %w", what, errMalformed)
	}
	return nil
}

func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func (l *Log) append(dst []byte) []byte {
	dst = append(dst, valueVersion)
	dst = binary.AppendUvarint(dst, l.Incarnation)
	dst = binary.AppendUvarint(dst, l.Number)
	dst = binary.AppendUvarint(dst, uint64(l.Time))
	dst = binary.AppendUvarint(dst, uint64(l.KeyPeriod))
	if l.Mark == (Mark{}) {
		return dst
	}
	dst = appendString(binary.AppendUvarint(dst, l.Mark.Seq), l.Mark.Writer)
	return binary.AppendUvarint(dst, l.Mark.Count)
}

func decodeLog(b []byte) (Log, error) {
	r := reader{b: b}
	if err := r.version("log state"); err != nil {
		return Log{}, err
	}
	l := Log{Incarnation: r.uvarint(), Number: r.uvarint(), Time: r.time(), KeyPeriod: r.time()}
	if len(r.b) > 0 {
		l.Mark = Mark{Seq: r.uvarint(), Writer: string(r.bytes()), Count: r.uvarint()}
	}
	r.failed = r.failed || len(r.b) > 0
	return l, r.end("log state")
}

func (r *Record) append(dst []byte) []byte {
	dst = append(dst, valueVersion)
	for _, v := range [...]uint64{
		r.ID, r.Top, r.Low, r.Deleted, uint64(r.Size), uint64(r.TTL), uint64(r.MetaTTL),
		uint64(r.Last), uint64(r.Oldest), uint64(r.KeysUntil), uint64(r.Due),
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

func decodeRecord(b []byte, incarnation uint64) (Record, error) {
	r := reader{b: b}
	if err := r.version("channel record"); err != nil {
		return Record{}, err
	}
	c := Record{
		ID: r.uvarint(), Top: r.uvarint(), Low: r.uvarint(), Deleted: r.uvarint(), Size: int(r.time()),
		TTL: time.Duration(r.time()), MetaTTL: time.Duration(r.time()),
		Last: r.time(), Oldest: r.time(), KeysUntil: r.time(), Due: r.time(),
	}
	if r.failed || len(r.b) > 0 || c.ID == 0 || c.Deleted == 0 || c.Deleted > c.Low || c.Low-1 > c.Top {
		return Record{}, fmt.Errorf("channel record: %w", errMalformed)
	}
	c.Epoch = epoch(incarnation, c.ID)
	return c, nil
}

// The parts of a publication that are there.
const (
	hasBinary = 1 << iota
	hasEvent
	hasTags
	hasInfo
	hasUnknown // and all above
)

// appendPublication encodes everything but the offset, which is in the key.
func appendPublication(dst []byte, p *engine.Publication) []byte {
	dst = append(dst, valueVersion, publicationFlags(p))
	dst = binary.AppendUvarint(dst, uint64(p.Time))
	if p.Event != "" {
		dst = appendString(dst, p.Event)
	}
	if len(p.Tags) > 0 {
		dst = appendTags(dst, p.Tags)
	}
	if i := p.Info; i != nil {
		dst = appendString(appendString(dst, i.User), i.Client)
		dst = appendString(appendString(dst, i.ConnInfo), i.ChanInfo)
	}
	return append(dst, p.Data...)
}

func publicationFlags(p *engine.Publication) (f byte) {
	if p.Binary {
		f |= hasBinary
	}
	if p.Event != "" {
		f |= hasEvent
	}
	if len(p.Tags) > 0 {
		f |= hasTags
	}
	if p.Info != nil {
		f |= hasInfo
	}
	return f
}

// appendTags sorts: the same publication is the same bytes on every node.
func appendTags(dst []byte, tags map[string]string) []byte {
	names := make([]string, 0, len(tags))
	for k := range tags {
		names = append(names, k)
	}
	slices.Sort(names)
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, k := range names {
		dst = appendString(appendString(dst, k), tags[k])
	}
	return dst
}

// publicationTime reads only the log time of an encoded publication.
func publicationTime(b []byte) (int64, error) {
	r := reader{b: b}
	if err := r.version("publication"); err != nil {
		return 0, err
	}
	r.byte()
	t := r.time()
	return t, r.end("publication")
}

// decodePublication keeps parts of b.
func decodePublication(b []byte, offset uint64) (*engine.Publication, error) {
	r := reader{b: b}
	if err := r.version("publication"); err != nil {
		return nil, err
	}
	flags := r.byte()
	p := &engine.Publication{Offset: offset, Binary: flags&hasBinary != 0, Time: r.time()}
	if flags >= hasUnknown {
		r.failed = true
	}
	if flags&hasEvent != 0 {
		p.Event = string(r.bytes())
	}
	if flags&hasTags != 0 {
		p.Tags = r.tags()
	}
	if flags&hasInfo != 0 {
		p.Info = &engine.ClientInfo{
			User: string(r.bytes()), Client: string(r.bytes()), ConnInfo: r.bytes(), ChanInfo: r.bytes(),
		}
	}
	p.Data = r.b
	return p, r.end("publication")
}

func (r *reader) tags() map[string]string {
	n := r.uvarint()
	if n == 0 || n > uint64(len(r.b))/2 { // a tag takes two bytes at least
		r.failed = true
		return nil
	}
	tags := make(map[string]string, n)
	for range n {
		k := string(r.bytes())
		tags[k] = string(r.bytes())
	}
	return tags
}

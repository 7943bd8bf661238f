package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/pack"
)

// This file is the encoding of values: a version byte, then unsigned varints
// and strings that begin with their length.

// reader takes a value apart.
type reader struct{ pack.Reader }

func read(b []byte) reader { return reader{pack.Reader{B: b}} }

func (r *reader) version(what string) error { return r.Version(valueVersion, what) }

func (l *Log) append(dst []byte) []byte {
	dst = append(dst, valueVersion)
	dst = binary.AppendUvarint(dst, l.Incarnation)
	dst = binary.AppendUvarint(dst, l.Number)
	dst = binary.AppendUvarint(dst, uint64(l.Time))
	dst = binary.AppendUvarint(dst, uint64(l.KeyPeriod))
	if l.Mark == (Mark{}) {
		return dst
	}
	dst = pack.AppendString(binary.AppendUvarint(dst, l.Mark.Seq), l.Mark.Writer)
	return binary.AppendUvarint(dst, l.Mark.Count)
}

func decodeLog(b []byte) (Log, error) {
	r := read(b)
	if err := r.version("log state"); err != nil {
		return Log{}, err
	}
	l := Log{Incarnation: r.Uvarint(), Number: r.Uvarint(), Time: r.Time(), KeyPeriod: r.Time()}
	if len(r.B) > 0 {
		l.Mark = Mark{Seq: r.Uvarint(), Writer: r.String(), Count: r.Uvarint()}
	}
	r.Failed = r.Failed || len(r.B) > 0
	return l, r.End("log state")
}

// Versions of a record. What is of an older one is read, and counts as empty.
const (
	adoptedVersion = 2 // of a channel that came from another log
	recordVersion  = 3 // with what its publications take
)

// append needs the log's incarnation: a channel keeps a foreign epoch only in the
// log that took it over.
func (r *Record) append(dst []byte, incarnation uint64) []byte {
	dst = append(dst, recordVersion)
	for _, v := range [...]uint64{
		r.ID, r.Top, r.Low, r.Deleted, uint64(r.Size), uint64(r.TTL), uint64(r.MetaTTL),
		uint64(r.Last), uint64(r.Oldest), uint64(r.KeysUntil), uint64(r.Due), r.Sum, r.Freed, r.Adopted,
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	if r.Adopted == 0 {
		return dst
	}
	return pack.AppendString(binary.AppendUvarint(dst, incarnation), r.Epoch)
}

func decodeRecord(b []byte, incarnation uint64) (Record, error) {
	r := read(b)
	if err := r.Version(recordVersion, "channel record"); err != nil {
		return Record{}, err
	}
	version := b[0]
	c := Record{
		ID: r.Uvarint(), Top: r.Uvarint(), Low: r.Uvarint(), Deleted: r.Uvarint(), Size: int(r.Time()),
		TTL: time.Duration(r.Time()), MetaTTL: time.Duration(r.Time()),
		Last: r.Time(), Oldest: r.Time(), KeysUntil: r.Time(), Due: r.Time(),
	}
	c.Epoch = epoch(incarnation, c.ID)
	if version >= recordVersion {
		c.Sum, c.Freed = r.Uvarint(), r.Uvarint()
	}
	if version >= adoptedVersion {
		c.Adopted = r.Uvarint()
	}
	if c.Adopted != 0 || version == adoptedVersion {
		by, foreign := r.Uvarint(), r.String()
		if by == incarnation {
			c.Epoch = foreign
		}
		r.Failed = r.Failed || c.Adopted == 0 || foreign == ""
	}
	if r.Failed || len(r.B) > 0 || c.ID == 0 || c.Deleted == 0 || c.Deleted > c.Low || c.Low-1 > c.Top {
		return Record{}, fmt.Errorf("channel record: %w", errMalformed)
	}
	return c, nil
}

// The parts of a publication that are there.
const (
	hasBinary = 1 << iota
	hasEvent
	hasTags
	hasInfo
	hasSum
	hasUnknown // and all above
)

// AppendPublication encodes everything but the offset, which is in the key, and
// Except.
func AppendPublication(dst []byte, p *engine.Publication) []byte {
	dst = append(dst, valueVersion, publicationFlags(p))
	dst = binary.AppendUvarint(dst, uint64(p.Time))
	return appendParts(dst, p)
}

// appendStored encodes a publication of a store: with the sum of those before it.
func appendStored(dst []byte, p *engine.Publication, sum uint64) []byte {
	dst = append(dst, valueVersion, publicationFlags(p)|hasSum)
	dst = binary.AppendUvarint(dst, uint64(p.Time))
	dst = binary.AppendUvarint(dst, sum)
	return appendParts(dst, p)
}

func appendParts(dst []byte, p *engine.Publication) []byte {
	if p.Event != "" {
		dst = pack.AppendString(dst, p.Event)
	}
	if len(p.Tags) > 0 {
		dst = appendTags(dst, p.Tags)
	}
	if i := p.Info; i != nil {
		dst = pack.AppendString(pack.AppendString(dst, i.User), i.Client)
		dst = pack.AppendString(pack.AppendString(dst, i.ConnInfo), i.ChanInfo)
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
		dst = pack.AppendString(pack.AppendString(dst, k), tags[k])
	}
	return dst
}

// publicationTime reads only the log time of an encoded publication.
func publicationTime(b []byte) (int64, error) {
	r := read(b)
	if err := r.version("publication"); err != nil {
		return 0, err
	}
	r.Byte()
	t := r.Time()
	return t, r.End("publication")
}

// publicationSum reads only what the publications before an encoded one ever took;
// false where that was not counted yet.
func publicationSum(b []byte) (sum uint64, known bool, err error) {
	r := read(b)
	if err := r.version("publication"); err != nil {
		return 0, false, err
	}
	known = r.Byte()&hasSum != 0
	if r.Time(); known {
		sum = r.Uvarint()
	}
	return sum, known, r.End("publication")
}

// DecodePublication is what AppendPublication wrote. It keeps parts of b.
func DecodePublication(b []byte, offset uint64) (*engine.Publication, error) {
	r := read(b)
	if err := r.version("publication"); err != nil {
		return nil, err
	}
	flags := r.Byte()
	p := &engine.Publication{Offset: offset, Binary: flags&hasBinary != 0, Time: r.Time()}
	if flags >= hasUnknown {
		r.Failed = true
	}
	if flags&hasSum != 0 {
		r.Uvarint()
	}
	if flags&hasEvent != 0 {
		p.Event = r.String()
	}
	if flags&hasTags != 0 {
		p.Tags = r.tags()
	}
	if flags&hasInfo != 0 {
		p.Info = &engine.ClientInfo{
			User: r.String(), Client: r.String(), ConnInfo: r.Bytes(), ChanInfo: r.Bytes(),
		}
	}
	p.Data = r.B
	return p, r.End("publication")
}

func (r *reader) tags() map[string]string {
	n := r.Count(2)
	if n == 0 {
		r.Failed = true
		return nil
	}
	tags := make(map[string]string, n)
	for range n {
		k := r.String()
		tags[k] = r.String()
	}
	return tags
}

func appendTaken(dst []byte, bytes int64) []byte {
	return binary.AppendVarint(append(dst, valueVersion), bytes)
}

func decodeTaken(b []byte) (int64, error) {
	r := read(b)
	if err := r.version("what an app takes"); err != nil {
		return 0, err
	}
	n, used := binary.Varint(r.B)
	if used != len(r.B) || used <= 0 {
		return 0, fmt.Errorf("what an app takes: %w", errMalformed)
	}
	return n, nil
}

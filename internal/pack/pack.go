package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed says that bytes are not what they should be.
var ErrMalformed = errors.New("malformed")

// Reader takes a value apart from the front of B; once it has Failed it yields
// zeros.
type Reader struct {
	B      []byte
	Failed bool
}

// Uvarint is a number without a sign.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.Failed, r.B = true, nil
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Byte is one byte.
func (r *Reader) Byte() byte {
	if len(r.B) == 0 {
		r.Failed = true
		return 0
	}
	v := r.B[0]
	r.B = r.B[1:]
	return v
}

// Bytes is what String or AppendString wrote: a part of B, not a copy; nil when
// empty.
func (r *Reader) Bytes() []byte {
	n := r.Uvarint()
	if n > uint64(len(r.B)) {
		r.Failed, r.B = true, nil
		return nil
	}
	if n == 0 {
		return nil
	}
	v := r.B[:n:n]
	r.B = r.B[n:]
	return v
}

// String is a copy of what AppendString wrote.
func (r *Reader) String() string { return string(r.Bytes()) }

// Count is how many of something follow, each of which takes at least size bytes:
// no more than there is room for, so that a list can be made for them.
func (r *Reader) Count(size int) int {
	n := r.Uvarint()
	if n > uint64(len(r.B)/size) {
		r.Failed, r.B = true, nil
		return 0
	}
	return int(n)
}

// Version is the first byte of a value, of which this program knows those from 1
// up to newest; what names the value in an error.
func (r *Reader) Version(newest byte, what string) error {
	switch v := r.Byte(); {
	case v > newest:
		return fmt.Errorf("%s of version %d, this program knows up to %d", what, v, newest)
	case v == 0:
		r.Failed = true
	}
	return nil
}

// Time is a time or a duration: never negative.
func (r *Reader) Time() int64 {
	v := int64(r.Uvarint())
	if v < 0 {
		r.Failed = true
	}
	return v
}

// End reports whether all could be read: nil, or an ErrMalformed. What follows
// is the caller's.
func (r *Reader) End(what string) error {
	if r.Failed {
		return fmt.Errorf("%s: %w", what, ErrMalformed)
	}
	return nil
}

// AppendString writes the length of s and s.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

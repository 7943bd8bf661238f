package pack

import (
	"encoding/binary"
	"errors"
	"testing"
)

func TestReader(t *testing.T) {
	b := AppendString(AppendString([]byte{1}, "name"), []byte(nil))
	b = append(binary.AppendUvarint(binary.AppendUvarint(b, 300), 2), 7, 8)
	r := Reader{B: b}
	if err := r.Version(1, "value"); err != nil {
		t.Error(err)
	}
	if s, none, n := r.String(), r.Bytes(), r.Uvarint(); s != "name" || none != nil || n != 300 {
		t.Errorf("%q %v %d", s, none, n)
	}
	if n, one, two := r.Count(1), r.Byte(), r.Byte(); n != 2 || one != 7 || two != 8 {
		t.Errorf("%d of %d %d", n, one, two)
	}
	if err := r.End("value"); err != nil || len(r.B) > 0 {
		t.Errorf("%v, %d left", err, len(r.B))
	}
}

// What is not there is zero, and told at the end.
func TestReaderFails(t *testing.T) {
	for name, read := range map[string]func(r *Reader) bool{
		"number":          func(r *Reader) bool { return r.Uvarint() == 0 },
		"string too long": func(r *Reader) bool { return r.String() == "" },
		"too many":        func(r *Reader) bool { return r.Count(2) == 0 },
		"before 1970":     func(r *Reader) bool { return r.Time() != 0 },
		"version 0":       func(r *Reader) bool { return r.Version(1, "value") == nil },
	} {
		b := map[string][]byte{
			"number": {0x80}, "string too long": {5, 'a'}, "too many": {2, 0, 0, 0},
			"before 1970": binary.AppendUvarint(nil, 1<<63), "version 0": {0},
		}[name]
		r := Reader{B: b}
		if !read(&r) || !errors.Is(r.End("value"), ErrMalformed) {
			t.Errorf("%s: %v", name, r.End("value"))
		}
	}
	r := Reader{B: []byte{2}}
	if err := r.Version(1, "value"); err == nil || errors.Is(err, ErrMalformed) {
		t.Errorf("a newer version: %v", err)
	}
}

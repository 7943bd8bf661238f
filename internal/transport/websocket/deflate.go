package websocket

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws/wsflate"
	"github.com/klauspost/compress/flate"
)

// This file is permessage-deflate (RFC 7692) without context takeover on either
// side: no connection holds a window, all share pools of writers and readers.

// deflateFrom is the smallest payload in bytes that is worth compressing.
const deflateFrom = 512

// deflateLevel trades a little size for a third of the time of the default.
const deflateLevel = 3

// accepted is the answer to an offer that was accepted (RFC 7692, 7.1).
const accepted = wsflate.ExtensionName + "; server_no_context_takeover; client_no_context_takeover"

// negotiate takes the first offer of permessage-deflate that can be served: one
// that asks for no window of ours but the full one, for that is what the pooled
// writers have. It returns the answer; "": none can be served.
func negotiate(offers []string) string {
	for _, line := range offers {
		options, ok := httphead.ParseOptions([]byte(line), nil)
		if !ok {
			continue
		}
		for _, o := range options {
			var p wsflate.Parameters
			if !strings.EqualFold(string(o.Name), wsflate.ExtensionName) || p.Parse(o) != nil {
				continue
			}
			switch p.ServerMaxWindowBits {
			case 0:
				return accepted
			case 15:
				return accepted + "; server_max_window_bits=15" // who asks is told (7.1.2.1)
			}
		}
	}
	return ""
}

// tail ends a message on the wire and is left out there (RFC 7692, 7.2.1).
var tail = []byte{0x00, 0x00, 0xff, 0xff}

// ending is what a reader is given after a message: the tail, and an empty last
// block so that it sees an end.
var ending = []byte{0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff}

type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

var deflaters sync.Pool

func newDeflater() *deflater {
	d := &deflater{}
	w, err := flate.NewWriter(&d.out, deflateLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	d.w = w
	return d
}

// deflate calls use with payload compressed; the slice is valid during the call.
// It reports false when compression fails to make it smaller.
func deflate(payload []byte, use func([]byte)) bool {
	d, ok := deflaters.Get().(*deflater)
	if !ok {
		d = newDeflater()
	}
	defer deflaters.Put(d)
	d.out.Reset()
	d.w.Reset(&d.out)
	if _, err := d.w.Write(payload); err != nil {
		return false
	}
	if err := d.w.Flush(); err != nil {
		return false
	}
	z := bytes.TrimSuffix(d.out.Bytes(), tail)
	if len(z) >= len(payload) {
		return false
	}
	use(z)
	if d.out.Cap() > maxPooled {
		d.out = bytes.Buffer{}
	}
	return true
}

type inflater struct {
	r    flateReader
	in   bytes.Reader
	end  bytes.Reader
	both io.Reader
	out  []byte
}

// flateReader is what flate.NewReader promises in words only.
type flateReader interface {
	io.Reader
	flate.Resetter
}

var inflaters sync.Pool

func newInflater() *inflater {
	r, _ := flate.NewReader(nil).(flateReader)
	return &inflater{r: r}
}

// maxPooled keeps a large message's buffer from being held for ever.
const maxPooled = 64 << 10

// inflate calls use with the message that payload is compressed from; the slice
// is valid during the call and may be changed. Errors: errNotDeflated, errTooBig
// (beyond limit bytes), and use's.
func inflate(payload []byte, limit int, text bool, use func([]byte) error) error {
	f, ok := inflaters.Get().(*inflater)
	if !ok {
		f = newInflater()
	}
	defer inflaters.Put(f)
	f.in.Reset(payload)
	f.end.Reset(ending)
	f.both = io.MultiReader(&f.in, &f.end)
	if err := f.r.Reset(f.both, nil); err != nil {
		return errNotDeflated
	}
	out := f.out[:0]
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := f.r.Read(out[len(out):min(cap(out), limit+1)])
		out = out[:len(out)+n]
		if len(out) > limit {
			return errTooBig
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errNotDeflated
		}
	}
	if cap(out) <= maxPooled {
		f.out = out
	} else {
		f.out = nil
	}
	if text && !utf8.Valid(out) {
		return errNotUTF8
	}
	return use(out)
}

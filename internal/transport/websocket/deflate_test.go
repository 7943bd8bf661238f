package websocket

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestNegotiate(t *testing.T) {
	tests := []struct {
		offers []string
		want   bool
	}{
		{nil, false},
		{[]string{"permessage-deflate"}, true},
		{[]string{"permessage-deflate; client_max_window_bits"}, true},
		{[]string{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}, true},
		{[]string{"permessage-deflate; server_max_window_bits=15"}, true},
		{[]string{"permessage-deflate; server_max_window_bits=9"}, false},
		{[]string{"permessage-deflate; server_max_window_bits=9, permessage-deflate"}, true},
		{[]string{"x-webkit-deflate-frame", "permessage-deflate"}, true},
		{[]string{"permessage-deflate; unknown"}, false},
		{[]string{"permessage-deflate; server_max_window_bits=99"}, false},
		{[]string{"permessage-bzip2"}, false},
		{[]string{";;;"}, false},
	}
	for _, tt := range tests {
		if got := negotiate(tt.offers) != ""; got != tt.want {
			t.Errorf("%q: %v, want %v", tt.offers, got, tt.want)
		}
	}
}

func compressed(t *testing.T, s string) []byte {
	t.Helper()
	var z []byte
	if !deflate([]byte(s), func(b []byte) { z = bytes.Clone(b) }) {
		t.Fatalf("%.20q does not get smaller", s)
	}
	return z
}

func TestDeflateRoundTrip(t *testing.T) {
	for _, s := range []string{strings.Repeat("a", 512), strings.Repeat(`{"price":1.25}`, 5000)} {
		err := inflate(compressed(t, s), len(s), true, func(b []byte) error {
			if string(b) != s {
				t.Errorf("%d bytes, want %d", len(b), len(s))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestInflateRefuses(t *testing.T) {
	bomb := compressed(t, strings.Repeat("\x00", 10<<20))
	tests := []struct {
		name  string
		data  []byte
		limit int
		want  error
	}{
		{"a bomb", bomb, 1 << 20, errTooBig},
		{"one byte too many", compressed(t, strings.Repeat("a", 600)), 599, errTooBig},
		{"noise", []byte("\xff\xff\xff\xff\xff"), 1 << 20, errNotDeflated},
		{"cut off", compressed(t, strings.Repeat("abcdefg", 100))[:5], 1 << 20, errNotDeflated},
		{"not UTF-8", compressed(t, strings.Repeat("\xff", 600)), 1 << 20, errNotUTF8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := inflate(tt.data, tt.limit, true, func([]byte) error { return nil })
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// pressed compresses the messages in b that are whole in one frame, whatever their
// size, and leaves everything else alone.
func pressed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out []byte
	for len(b) > 0 {
		h, size, err := decodeHeader(b)
		if err != nil || size == 0 || len(b) < size+h.length {
			return append(out, b...)
		}
		frame := b[:size+h.length]
		b = b[len(frame):]
		if !h.fin || h.op != OpText && h.op != OpBinary || h.compressed {
			out = append(out, frame...)
			continue
		}
		payload := bytes.Clone(frame[size:])
		unmask(payload, h.mask, 0)
		out = append(out, masked(bitFin|bitRSV1|h.op, string(press(t, payload)))...)
	}
	return out
}

func press(t *testing.T, payload []byte) []byte {
	t.Helper()
	d, ok := deflaters.Get().(*deflater)
	if !ok {
		d = newDeflater()
	}
	defer deflaters.Put(d)
	d.out.Reset()
	d.w.Reset(&d.out)
	if _, err := d.w.Write(payload); err != nil {
		t.Fatal(err)
	}
	if err := d.w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(bytes.TrimSuffix(d.out.Bytes(), tail))
}

const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

func TestDeflateOnTheWire(t *testing.T) {
	eachPlainMode(t, nil, func(f *fixture) {
		t := f.t
		p := f.dial(t, offer, "")
		long := strings.Repeat("what is said twice ", 100)
		z := string(compressed(t, long))
		p.write(masked(bitFin|bitRSV1|OpText, z))
		p.expect(bitFin|bitRSV1|OpText, z)
		p.write(masked(bitRSV1|OpText, z[:5]))
		p.write(masked(opContinuation, z[5:9]))
		p.write(masked(bitFin|opPing, ""))
		p.write(masked(bitFin|opContinuation, z[9:]))
		p.expect(bitFin|opPong, "")
		p.expect(bitFin|bitRSV1|OpText, z)
		p.write(text("short"))
		p.expectText("short")
		p.write(masked(bitFin|bitRSV1|OpText, string(compressed(t, strings.Repeat("x", DefaultMaxMessage+1)))))
		p.expectClose(closeTooBig)
		p.expectEnd()
	})
}

func TestDeflateOff(t *testing.T) {
	f := newFixture(t, modes()[0], func(c *Config) { c.NoDeflate = true })
	p := f.dial(t, offer, "")
	p.write(masked(bitFin|bitRSV1|OpText, "x"))
	p.expectClose(closeProtocolError)
}

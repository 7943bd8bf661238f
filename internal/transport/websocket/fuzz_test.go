package websocket

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"unicode/utf8"
)

// log writes down what frames say.
type log struct{ b bytes.Buffer }

func (l *log) message(op byte, compressed bool, payload []byte) error {
	if op == OpText && !compressed && !utf8.Valid(payload) {
		return errors.New("text that is not UTF-8 was let through")
	}
	fmt.Fprintf(&l.b, "%d %v %q\n", op, compressed, payload)
	return nil
}

func (l *log) control(op byte, payload []byte) error {
	if len(payload) > maxControl {
		return errors.New("a long control frame was let through")
	}
	fmt.Fprintf(&l.b, "%d %q\n", op, payload)
	return nil
}

func (*log) stopped() bool { return false }

// FuzzReader: frames mean the same in whatever pieces they arrive, and nothing
// of a hostile stream is kept beyond the limit.
func FuzzReader(f *testing.F) {
	f.Add(append(text("hello"), masked(OpBinary, "a")...), uint8(3))
	f.Add(masked(bitFin|opPing, "ping"), uint8(1))
	f.Add(append(masked(OpText, "\xe2\x82"), masked(bitFin|opContinuation, "\xac")...), uint8(2))
	f.Add([]byte("\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"), uint8(5))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		lim := limits{message: 1 << 10, deflate: true}
		var whole, parts log
		var r1, r2 reader
		_, err1 := r1.read(bytes.Clone(data), lim, &whole)
		var err2 error
		for rest := bytes.Clone(data); len(rest) > 0 && err2 == nil; {
			n := min(len(rest), int(step)+1)
			_, err2 = r2.read(rest[:n:n], lim, &parts)
			rest = rest[n:]
			if p := r2.partial; p != nil && len(p.data) > lim.message {
				t.Fatalf("%d bytes are kept", len(p.data))
			}
		}
		if whole.b.String() != parts.b.String() {
			t.Errorf("whole:\n%sin parts:\n%s", whole.b.String(), parts.b.String())
		}
		// Text may fail earlier in parts, and by another rule, but never be let through.
		if (err1 == nil) != (err2 == nil) && err2 == nil {
			t.Errorf("whole: %v, in parts: %v", err1, err2)
		}
	})
}

func FuzzInflate(f *testing.F) {
	f.Add([]byte("\x4a\x04\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = inflate(data, 1<<12, true, func(p []byte) error {
			if len(p) > 1<<12 || !utf8.Valid(p) {
				t.Errorf("%d bytes were let through", len(p))
			}
			return nil
		})
	})
}

func FuzzNegotiate(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits=15, x")
	f.Fuzz(func(_ *testing.T, line string) { negotiate([]string{line}) })
}

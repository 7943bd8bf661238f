package websocket

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// outcome reads frames in pieces of a size and is what they say, or the failure.
func outcome(frames []byte, step int, deflate bool) (string, error) {
	var l log
	var r reader
	for rest := bytes.Clone(frames); len(rest) > 0; {
		n := min(len(rest), step)
		if _, err := r.read(rest[:n:n], limits{message: 1 << 16, deflate: deflate}, &l); err != nil {
			return l.b.String(), err
		}
		rest = rest[n:]
	}
	if r.partial != nil {
		return l.b.String(), errors.New("not whole")
	}
	return l.b.String(), nil
}

// Texts at the edges of UTF-8, in one frame and cut into two at every place, in
// reads of every size.
func TestTextAtItsEdges(t *testing.T) {
	tests := []struct {
		text  string
		valid bool
	}{
		{"", true},
		{"\x00", true},
		{"\x7f", true},
		{"κόσμε", true},
		{"\xc2\x80", true},
		{"\xdf\xbf", true},
		{"\xe0\xa0\x80", true},
		{"\xed\x9f\xbf", true},
		{"\xee\x80\x80", true},
		{"\xef\xbf\xbd", true},
		{"\xef\xbf\xbe", true},
		{"\xef\xbf\xbf", true},
		{"\xf0\x90\x80\x80", true},
		{"\xf4\x8f\xbf\xbf", true},
		{"\xf0\x9f\xbf\xbe", true},
		{"\xf4\x90\x80\x80", false},
		{"\xf7\xbf\xbf\xbf", false},
		{"\xf8\x88\x80\x80\x80", false},
		{"\xfc\x84\x80\x80\x80\x80", false},
		{"\x80", false},
		{"\xbf", false},
		{"\xc0", false},
		{"\xc0\xaf", false},
		{"\xc1\xbf", false},
		{"\xe0\x80\xaf", false},
		{"\xe0\x9f\xbf", false},
		{"\xf0\x80\x80\xaf", false},
		{"\xf0\x8f\xbf\xbf", false},
		{"\xfe", false},
		{"\xff", false},
		{"\xed\xa0\x80", false},
		{"\xed\xbf\xbf", false},
		{"\xed\xa0\x80\xed\xb0\x80", false},
		{"κόσμε\xf4\x90\x80\x80edited", false},
		{"κ\xce", false},
		{"\xe2\x82", false},
		{"\xf0\x90\x80", false},
	}
	for _, tt := range tests {
		for cut := 0; cut <= len(tt.text); cut++ {
			frames := append(masked(OpText, tt.text[:cut]), masked(bitFin|opContinuation, tt.text[cut:])...)
			if cut == 0 {
				frames = masked(bitFin|OpText, tt.text)
			}
			for step := 1; step <= len(frames); step++ {
				said, err := outcome(frames, step, false)
				switch {
				case tt.valid && (err != nil || said != fmt.Sprintf("1 false %q\n", tt.text)):
					t.Errorf("%q cut at %d, read by %d: %s%v", tt.text, cut, step, said, err)
				case !tt.valid && (!errors.Is(err, errNotUTF8) || said != ""):
					t.Errorf("%q cut at %d, read by %d: %s%v, want not UTF-8", tt.text, cut, step, said, err)
				}
			}
		}
	}
}

// A text fails with the byte that no character begins or goes on with, whatever
// was to follow.
func TestTextFailsFast(t *testing.T) {
	for _, bad := range []string{"\x80", "\xc0", "\xe0\x80", "\xed\xa0", "\xf4\x90", "\xf5", "\xff"} {
		whole := masked(OpText, "κόσμε"+bad+strings.Repeat("x", 1000))
		at := 8 + len("κόσμε") + len(bad) // the header is 8 bytes
		for step := range 9 {
			if _, err := outcome(whole[:at-1], step+1, false); errors.Is(err, errNotUTF8) {
				t.Errorf("%q: failed too early", bad)
			}
			if _, err := outcome(whole[:at], step+1, false); !errors.Is(err, errNotUTF8) {
				t.Errorf("%q: %v, want not UTF-8", bad, err)
			}
		}
	}
}

func TestCloseCodes(t *testing.T) {
	for code := range 1 << 16 {
		valid := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code < 5000
		if _, err := closeCode([]byte{byte(code >> 8), byte(code)}); (err == nil) != valid {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// Compression is a message's, not a frame's (RFC 7692, 6.1).
func TestCompressedSequences(t *testing.T) {
	const fin, z, txt, bin, cont = bitFin, bitRSV1, OpText, OpBinary, opContinuation
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692, 7.2.3.1
	f1 := func(first byte, payload string) string { return string(masked(first, payload)) }
	wText := func(s string) string { return string([]byte{fin | txt}) + s }
	tests := []struct {
		name string
		send string
		want []string
		code int
	}{
		{"whole", f1(fin|z|txt, hello), []string{wText("Hello")}, 0},
		{"fragments", f1(z|txt, hello[:3]) + f1(fin|cont, hello[3:]), []string{wText("Hello")}, 0},
		{"fragments of nothing", f1(z|txt, "") + f1(cont, "") + f1(fin|cont, hello), []string{wText("Hello")}, 0},
		{"ping between", f1(z|txt, hello[:3]) + f1(fin|opPing, "p") + f1(fin|cont, hello[3:]), []string{string([]byte{fin | opPong}) + "p", wText("Hello")}, 0},
		{"stored block", f1(fin|z|txt, "\x00\x05\x00\xfa\xffHello\x00"), []string{wText("Hello")}, 0},
		{"last block marked", f1(fin|z|txt, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), []string{wText("Hello")}, 0},
		{"two blocks", f1(fin|z|txt, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), []string{wText("Hello")}, 0},
		{"empty", f1(fin|z|txt, "\x00") + f1(fin|z|txt, "\x02\x00"), []string{wText(""), wText("")}, 0},
		{"each by itself", f1(fin|z|txt, hello) + f1(fin|txt, "plain") + f1(fin|z|txt, hello), []string{wText("Hello"), wText("plain"), wText("Hello")}, 0},
		{"the window of the message before", f1(fin|z|txt, hello) + f1(fin|z|txt, "\xf2\x00\x11\x00\x00"), []string{wText("Hello")}, 1007},
		{"RSV1 on a continuation", f1(z|txt, hello[:3]) + f1(fin|z|cont, hello[3:]), nil, 1002},
		{"RSV1 on a ping", f1(fin|z|opPing, ""), nil, 1002},
		{"RSV1 on a close", f1(fin|z|opClose, ""), nil, 1002},
		{"not deflate", f1(fin|z|bin, "\xff\xff\xff"), nil, 1007},
		{"nothing", f1(fin|z|bin, ""), nil, 1007},
		{"inflates to no text", f1(fin|z|txt, "\x00\x01\x00\xfe\xff\xff\x00"), nil, 1007},
		{"bomb in fragments", f1(z|txt, string(bomb(t)[:100])) + f1(fin|cont, string(bomb(t)[100:])), nil, 1009},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, modes()[0], nil)
			p := f.dial(t, offer, "")
			sendAll(p, tt.send, len(tt.send) < 100)
			for _, want := range tt.want {
				p.expect(want[0], want[1:])
			}
			if tt.code != 0 {
				p.expectClose(tt.code)
				p.expectEnd()
			}
		})
	}
}

func bomb(t *testing.T) []byte {
	t.Helper()
	return compressed(t, strings.Repeat("\x00", DefaultMaxMessage+1))
}

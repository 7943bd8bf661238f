package httpstream

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	tests := []struct {
		format  Format
		chunked bool
		payload string
		want    string
	}{
		{Lines, false, `{"a":1}`, "{\"a\":1}\n"},
		{Lines, true, `{"a":1}`, "8\r\n{\"a\":1}\n\r\n"},
		{Lines, true, strings.Repeat("x", 15), "10\r\nxxxxxxxxxxxxxxx\n\r\n"},
		{Events, false, `{}`, "data: {}\n\n"},
		{Events, false, "a\nb", "data: a\ndata: b\n\n"},
		{Events, false, "a\r\nb\rc", "data: a\ndata: b\ndata: c\n\n"},
		{Events, false, "x\n\nid: 7\nevent: evil", "data: x\ndata: \ndata: id: 7\ndata: event: evil\n\n"},
		{Events, true, "", "8\r\ndata: \n\n\r\n"},
		{Raw, false, "\x01\x00", "\x01\x00"},
		{Raw, true, "\x01\x00", "2\r\n\x01\x00\r\n"},
		{Raw, true, "", ""},
	}
	for _, tt := range tests {
		f := framing{tt.format, tt.chunked}
		if got := string(f.AppendFrame([]byte("before"), []byte(tt.payload))); got != "before"+tt.want {
			t.Errorf("%s %q: %q, want %q", f.Name(), tt.payload, got, tt.want)
		}
	}
}

func TestFramingsHaveNamesOfTheirOwn(t *testing.T) {
	names := map[string]bool{}
	for _, f := range []Format{Lines, Events, Raw} {
		for _, chunked := range []bool{false, true} {
			names[framing{f, chunked}.Name()] = true
		}
	}
	if len(names) != 6 {
		t.Errorf("%v", names)
	}
}

// Whatever a payload holds, it stays the data of its own event, and chunks of it
// are what an HTTP client makes of them.
func FuzzFrames(f *testing.F) {
	for _, s := range []string{"", "{}", "a\nb", "\r", "\r\n\r\n", "\nid: 1\n\n", "\x00\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		event := Events.append(nil, payload)
		lines := strings.Split(strings.TrimSuffix(string(event), "\n\n"), "\n")
		for _, line := range lines {
			if !strings.HasPrefix(line, "data: ") || strings.Contains(line, "\r") {
				t.Fatalf("%q became %q", payload, event)
			}
		}
		for _, format := range []Format{Lines, Events, Raw} {
			wire := framing{format, true}.AppendFrame(nil, payload)
			wire = append([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), wire...)
			res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(append(wire, lastChunk...))), nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			if want := format.append(nil, payload); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%q, %v, want %q", got, err, want)
			}
			_ = res.Body.Close()
		}
	})
}

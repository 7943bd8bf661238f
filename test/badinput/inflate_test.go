package badinput

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

// bomb is a request that is good but for 64 MiB of spaces after it, compressed: as
// members of a gzip stream (RFC 1952, 2.2), of which all but the first are the same.
func bomb(t *testing.T, good string) string {
	t.Helper()
	return member(t, good) + strings.Repeat(member(t, strings.Repeat(" ", 1<<20)), 64)
}

func member(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestNothingIsInflated: a body that says it is compressed is refused, or taken for
// what it is and then makes no sense, at every entrance that reads one.
func TestNothingIsInflated(t *testing.T) {
	f := start(t)
	const connect = `{"id":1,"connect":{}}`
	for _, tt := range []struct {
		path, good string
		status     int
		text       string // of the answer
	}{
		{"/api/publish", `{"channel":"open:healthy","data":"inflated"}`, http.StatusUnsupportedMediaType, "gzip"},
		{"/api/batch", `{"commands":[{"publish":{"channel":"open:healthy","data":"inflated"}}]}`, http.StatusUnsupportedMediaType, "gzip"},
		{"/connection/http_stream", connect, http.StatusOK, `"disconnect":{"code":3501`},
		{"/connection/uni_http_stream", "{}", http.StatusOK, `"disconnect":{"code":3501`},
		{"/connection/uni_sse", "{}", http.StatusOK, `"disconnect":{"code":3501`},
		{"/emulation", `{"session":"x","node":"x","data":"{}"}`, http.StatusBadRequest, "must be an emulation request"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			status, _, text := f.ask(t, request{path: tt.path, encoding: "gzip", body: bomb(t, tt.good)})
			if status != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("HTTP %d, want %d: %.200s", status, tt.status, text)
			}
			f.unharmed(t) // and has heard of nothing that was inflated
		})
	}
	t.Run("Pusher's API", func(t *testing.T) {
		body := bomb(t, `{"name":"e","channels":["open-a"],"data":"inflated"}`)
		if status, text := f.trigger(t, call{body: body, encoding: "gzip"}); status != http.StatusBadRequest {
			t.Errorf("HTTP %d: %.200s", status, text)
		}
		f.unharmed(t)
	})
}

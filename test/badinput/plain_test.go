package badinput

import (
	"net/http"
	"strings"
	"testing"
)

// TestPlainPaths: what is wrong with a request for /sse or /poll is told by an HTTP
// status and an error object before anything is sent.
func TestPlainPaths(t *testing.T) {
	f := start(t)
	many := strings.Repeat("channel=open:x&", 500)
	tests := []struct {
		name   string
		query  string
		status int
		code   int
	}{
		{"no channel", "", http.StatusBadRequest, 107},
		{"empty channel", "channel=", http.StatusBadRequest, 107},
		{"unknown namespace", "channel=nowhere:x", http.StatusNotFound, 102},
		{"shut channel", "channel=closed:x", http.StatusForbidden, 103},
		{"private channel", "channel=private-x", http.StatusForbidden, 103},
		{"control character", "channel=open:%07", http.StatusBadRequest, 107},
		{"long channel", "channel=open:" + strings.Repeat("c", 300), http.StatusBadRequest, 107},
		{"too many channels", many + "channel=open:y", http.StatusBadRequest, 0},
		{"position that is none", "channel=open:x&position=nonsense", http.StatusBadRequest, 107},
		{"token that is none", "channel=open:x&token=a.b.c", http.StatusUnauthorized, 0},
	}
	for _, path := range []string{"/sse", "/poll"} {
		for _, tt := range tests {
			t.Run(path+", "+tt.name, func(t *testing.T) {
				status, code, text := f.ask(t, request{verb: http.MethodGet, path: path + "?" + tt.query, key: "none"})
				if status != tt.status || tt.code != 0 && code != tt.code {
					t.Errorf("HTTP %d, error %d, want %d, %d: %.300s", status, code, tt.status, tt.code, text)
				}
				quiet(t, text)
				f.unharmed(t)
			})
		}
	}
	for _, tt := range []struct {
		name, verb, path string
		status           int
	}{
		{"POST of a stream", http.MethodPost, "/sse?channel=open:x", http.StatusMethodNotAllowed},
		{"POST of a poll", http.MethodPost, "/poll?channel=open:x", http.StatusMethodNotAllowed},
		{"wait that is none", http.MethodGet, "/poll?channel=open:x&wait=soon", http.StatusBadRequest},
		{"emulation of nobody", http.MethodPost, "/emulation", http.StatusBadRequest},
		{"XHR of another app", http.MethodPost, "/pusher/app/other/1/abcdefgh/xhr_streaming", http.StatusOK},
		{"XHR of nobody", http.MethodPost, "/pusher/app/bad-key/1/nobody12/xhr_send", http.StatusNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, _, text := f.ask(t, request{verb: tt.verb, path: tt.path, body: "{}", key: "none"})
			if status != tt.status {
				t.Errorf("HTTP %d, want %d: %.300s", status, tt.status, text)
			}
			quiet(t, text)
			f.unharmed(t)
		})
	}
}

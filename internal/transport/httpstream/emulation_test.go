package httpstream

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// sessions answers by the name of the session.
type sessions struct{ said []string }

func (s *sessions) Emulate(_ context.Context, secret, node string, data []byte) error {
	s.said = append(s.said, secret+"@"+node+": "+string(data))
	return map[string]error{
		"gone": hub.ErrUnknownSession, "elsewhere": engine.ErrUnknownNode, "busy": hub.ErrTooManyRequests, "broken": errors.New("secret detail"),
	}[secret]
}

// decodeWords takes session, node and data from between spaces.
func decodeWords(body []byte) (Spoken, error) {
	words := strings.SplitN(string(body), " ", 3)
	if len(words) != 3 {
		return Spoken{}, errors.New("three words, please")
	}
	return Spoken{words[0], words[1], []byte(words[2])}, nil
}

func TestEmulation(t *testing.T) {
	origins, err := transport.NewOrigins([]string{"https://app.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	asked := &sessions{}
	e, err := NewEmulation(EmulationConfig{
		Hub: asked, Origins: origins, MaxBody: 20, Decode: map[string]func([]byte) (Spoken, error){"text/words": decodeWords},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, method, media, origin, body string
		status                            int
	}{
		{"taken", "POST", "text/words; charset=utf-8", "", "here n1 hello", 204},
		{"from a page that may", "POST", "text/words", "https://app.example.org", "here n1 hello", 204},
		{"from a page that may not", "POST", "text/words", "https://evil.example", "here n1 evil", 403},
		{"preflight", "OPTIONS", "", "https://app.example.org", "", 204},
		{"preflight of a page that may not", "OPTIONS", "", "https://evil.example", "", 403},
		{"the session is gone", "POST", "text/words", "", "gone n1 x", 204},
		{"the node is gone", "POST", "text/words", "", "elsewhere n2 x", 404},
		{"too many", "POST", "text/words", "", "busy n1 x", 429},
		{"failed", "POST", "text/words", "", "broken n1 x", 503},
		{"not decoded", "POST", "text/words", "", "evil", 400},
		{"too long", "POST", "text/words", "", "here n1 evil" + strings.Repeat("x", 10), 413},
		{"a form", "POST", "application/x-www-form-urlencoded", "", "here n1 evil", 415},
		{"without a media type", "POST", "", "", "here n1 evil", 415},
		{"GET", "GET", "text/words", "", "", 405},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), tt.method, "/emulation", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.media)
			r.Header.Set("Origin", tt.origin)
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != tt.status || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("HTTP %d %s, want %d", w.Code, w.Body, tt.status)
			}
			if w.Code == http.StatusNoContent && w.Header().Get("Access-Control-Allow-Origin") != tt.origin {
				t.Errorf("%v", w.Header())
			}
		})
	}
	for _, said := range asked.said {
		if strings.Contains(said, "evil") {
			t.Errorf("taken: %s", said)
		}
	}
}

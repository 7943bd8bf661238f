package api

import (
	"net/http/httptest"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Begin answers what ServeHTTP answers with 200, with the same words, and leaves
// the rest to it.
func TestBeginSaysWhatServeHTTPSays(t *testing.T) {
	good := `{"channel":"a","data":1}`
	tests := []struct {
		name, key, authorization, body string
		err                            error // of the hub
		begins                         bool
	}{
		{"good", testKey, "", good, nil, true},
		{"the other header", "", "apikey " + testKey, good, nil, true},
		{"padded", testKey, "", " \n" + good + " ", nil, true},
		{"binary", testKey, "", `{"channel":"a","b64data":"AAE="}`, nil, true},
		{"busy", testKey, "", good, hub.ErrBusy, true},
		{"unknown channel", testKey, "", good, hub.ErrUnknownChannel, true},
		{"no key", "", "", good, nil, false},
		{"wrong key", "wrong", "", good, nil, false},
		{"empty", testKey, "", "", nil, false},
		{"malformed", testKey, "", "{", nil, false},
		{"no channel", testKey, "", `{"data":1}`, nil, false},
		{"large", testKey, "", `{"data":"` + string(make([]byte, 2000)) + `"}`, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(Limits{MaxBody: 1000})
			f.hub.onPublish = func(hub.Publish) (engine.PublishResult, error) {
				return engine.PublishResult{Position: engine.Position{Epoch: "e", Offset: 3}}, tt.err
			}
			reply := ""
			if begins := f.handler.Begin(tt.key, tt.authorization, []byte(tt.body), func(b []byte) { reply = string(b) }); begins != tt.begins {
				t.Fatalf("begins: %t", begins)
			}
			rec := httptest.NewRecorder()
			f.handler.ServeHTTP(rec, post("publish", tt.body, header("X-API-Key", tt.key), header("Authorization", tt.authorization)))
			if tt.begins && (rec.Code != 200 || reply != rec.Body.String()) {
				t.Errorf("%q; ServeHTTP says %d, %q", reply, rec.Code, rec.Body)
			}
			if !tt.begins && rec.Code < 400 && rec.Body.String()[:9] != `{"error":` {
				t.Errorf("ServeHTTP says %d, %q", rec.Code, rec.Body)
			}
		})
	}
}

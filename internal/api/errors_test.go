package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// refusal is an error that a method is told in the body, with the HTTP status that
// it has in transport mode.
type refusal struct {
	name, method, request string
	status                int
	code                  uint32
	words                 string
}

// TestRefusals: what a method finds wrong before it asks the hub.
func TestRefusals(t *testing.T) {
	limits := Limits{MaxData: 20, MaxCommands: 2, MaxChannels: 2, MaxTags: 2, MaxTagBytes: 10, MaxDepth: 4}
	tests := []refusal{
		{"no channel", "publish", `{"data":1}`, 400, 107, "channel is required"},
		{"an empty channel", "publish", `{"channel":"","data":1}`, 400, 107, "channel is required"},
		{"a channel too long", "publish", `{"channel":"` + strings.Repeat("c", 256) + `","data":1}`, 400, 107, "255"},
		{"a control character", "publish", `{"channel":"a\n","data":1}`, 400, 107, "U+000A"},
		{"no data", "publish", `{"channel":"a"}`, 400, 107, "data or b64data is required"},
		{"null for base64", "publish", `{"channel":"a","b64data":null}`, 400, 107, "data or b64data is required"},
		{"both data", "publish", `{"channel":"a","data":1,"b64data":"AA=="}`, 400, 107, "one of them"},
		{"no base64", "publish", `{"channel":"a","b64data":"%"}`, 400, 107, "b64data: illegal"},
		{"base64 for addresses", "publish", `{"channel":"a","b64data":"_-=="}`, 400, 107, "b64data: illegal"},
		{"deep base64", "publish", `{"channel":"a","b64data":"W1tbW1tdXV1dXQ=="}`, 400, 107, "nests deeper than 4"},
		{"data too large", "publish", `{"channel":"a","data":"` + strings.Repeat("x", 19) + `"}`, 413, 106, "21 bytes, at most 20"},
		{"bytes too large", "publish", `{"channel":"a","b64data":"` + strings.Repeat("AAAA", 7) + `"}`, 413, 106, "21 bytes, at most 20"},
		{"a key too long", "publish", `{"channel":"a","data":1,"idempotency_key":"` + strings.Repeat("k", 257) + `"}`, 413, 106, "at most 256"},
		{"an event too long", "publish", `{"channel":"a","data":1,"event":"` + strings.Repeat("e", 201) + `"}`, 413, 106, "at most 200"},
		{"too many tags", "publish", `{"channel":"a","data":1,"tags":{"a":"","b":"","c":""}}`, 413, 106, "3 tags"},
		{"tags too large", "publish", `{"channel":"a","data":1,"tags":{"a":"0123456789"}}`, 413, 106, "11 bytes"},
		{"a version", "publish", `{"channel":"a","data":1,"version":1}`, 400, 108, "version is not supported"},
		{"a version's epoch", "broadcast", `{"channels":["a"],"data":1,"version_epoch":"x"}`, 400, 108, "version is not supported"},

		{"no channels", "broadcast", `{"data":1}`, 400, 107, "channels is required"},
		{"an empty list", "broadcast", `{"channels":[],"data":1}`, 400, 107, "channels is required"},
		{"too many channels", "broadcast", `{"channels":["a","b","c"],"data":1}`, 413, 106, "3 channels"},
		{"a broadcast of nothing", "broadcast", `{"channels":["a"]}`, 400, 107, "data or b64data is required"},

		{"no commands", "batch", `{}`, 400, 107, "commands is required"},
		{"too many commands", "batch", `{"commands":[{"info":{}},{"info":{}},{"info":{}}]}`, 413, 106, "more than 2 commands"},
		{"null for commands", "batch", `{"commands":null}`, 400, 107, "commands is required"},

		{"subscribe where", "subscribe", `{"user":"u"}`, 400, 107, "channel is required"},
		{"subscribe whom", "subscribe", `{"channel":"a"}`, 400, 107, "user or client is required"},
		{"subscribe a session", "subscribe", `{"channel":"a","user":"u","session":"s"}`, 400, 108, "session is not supported"},
		{"a user too long", "subscribe", `{"channel":"a","user":"` + strings.Repeat("u", 256) + `"}`, 413, 106, "at most 255"},
		{"before 1970", "subscribe", `{"channel":"a","user":"u","expire_at":-1}`, 400, 107, "expire_at"},
		{"both infos", "subscribe", `{"channel":"a","user":"u","info":1,"b64info":"MQ=="}`, 400, 107, "info and b64info"},
		{"info that is no base64", "subscribe", `{"channel":"a","user":"u","b64info":"%"}`, 400, 107, "b64info: illegal"},
		{"info that is no JSON", "subscribe", `{"channel":"a","user":"u","b64info":"AA=="}`, 400, 107, "b64info must hold JSON"},
		{"info of blanks", "subscribe", `{"channel":"a","user":"u","b64info":"ICA="}`, 400, 107, "b64info must hold JSON"},
		{"data too large", "subscribe", `{"channel":"a","user":"u","data":"` + strings.Repeat("x", 19) + `"}`, 413, 106, "at most 20"},

		{"unsubscribe whom", "unsubscribe", `{"channel":"a"}`, 400, 107, "user or client is required"},
		{"unsubscribe where", "unsubscribe", `{"channel":"\u0000","user":"u"}`, 400, 107, "U+0000"},
		{"disconnect whom", "disconnect", `{}`, 400, 107, "user or client is required"},
		{"disconnect a session", "disconnect", `{"session":"s"}`, 400, 108, "session is not supported"},
		{"no code", "disconnect", `{"user":"u","disconnect":{}}`, 400, 107, "code must be 3000 to 4999"},
		{"a low code", "disconnect", `{"user":"u","disconnect":{"code":2999}}`, 400, 107, "code must be 3000 to 4999"},
		{"a high code", "disconnect", `{"user":"u","disconnect":{"code":5000}}`, 400, 107, "code must be 3000 to 4999"},
		{"a long reason", "disconnect", `{"user":"u","disconnect":{"code":4000,"reason":"` + strings.Repeat("r", 124) + `"}}`, 413, 106, "at most 123"},
		{"many exceptions", "disconnect", `{"user":"u","whitelist":[` + strings.Repeat(`"c",`, 1000) + `"c"]}`, 413, 106, "at most 1000"},
		{"refresh whom", "refresh", `{"expired":true}`, 400, 107, "user or client is required"},
		{"refresh for longer", "refresh", `{"user":"u","expire_at":1}`, 400, 108, "refresh without expired"},

		{"presence where", "presence", `{}`, 400, 107, "channel is required"},
		{"fewer than nobody", "presence", `{"channel":"a","limit":-1}`, 400, 107, "negative"},
		{"counting where", "presence_stats", `{}`, 400, 107, "channel is required"},
		{"history where", "history", `{}`, 400, 107, "channel is required"},
		{"forget where", "history_remove", `{}`, 400, 107, "channel is required"},
		{"fewer than none", "channels", `{"limit":-1}`, 400, 107, "negative"},
		{"a long pattern", "channels", `{"pattern":"` + strings.Repeat("*", 256) + `"}`, 413, 106, "at most 255"},
		{"no procedure", "rpc", `{}`, 400, 107, "method is required"},
		{"no such procedure", "rpc", `{"method":"restart","params":{}}`, 404, 104, `no RPC method "restart"`},
	}
	f := newFixture(limits)
	for _, tt := range tests {
		t.Run(tt.method+": "+tt.name, func(t *testing.T) { f.refuses(t, tt) })
	}
	if asked := f.hub.questions(); asked != nil {
		t.Errorf("the hub was asked: %v", asked)
	}
}

// refuses checks one refusal in both error modes.
func (f *fixture) refuses(t *testing.T, want refusal) {
	t.Helper()
	for mode, status := range map[string]int{"": http.StatusOK, "transport": want.status} {
		f.observed = nil
		got, e := f.refused(t, post(want.method, want.request, header("X-Centrifugo-Error-Mode", mode)))
		if got != status || e.Code != want.code || !strings.Contains(e.Message, want.words) {
			t.Errorf("mode %q: HTTP %d, %+v, want %d, %d, %q", mode, got, e, status, want.code, want.words)
		}
		if len(f.observed) != 1 || f.observed[0] != (observation{want.method, want.status}) {
			t.Errorf("observed %v", f.observed)
		}
	}
}

// TestHubErrors: what the hub cannot do, in the words of the API.
func TestHubErrors(t *testing.T) {
	const publish, history, presence = `{"channel":"chat:a","data":1}`, `{"channel":"chat:a"}`, `{"channel":"chat:a"}`
	const subscribe, control = `{"channel":"chat:a","user":"u"}`, `{"user":"u"}`
	tests := []struct {
		err error
		refusal
		temporary bool
	}{
		{hub.ErrUnknownChannel, refusal{"", "publish", publish, 404, 102, `no namespace "chat"`}, false},
		{hub.ErrBadRequest, refusal{"", "publish", publish, 400, 107, "channel_regex"}, false},
		{hub.ErrBusy, refusal{"", "publish", publish, 429, 111, "nothing was stored"}, true},
		{fmt.Errorf("gate: %w", hub.ErrBusy), refusal{"", "publish", publish, 429, 111, "nothing was stored"}, true},
		{hub.ErrReadOnly, refusal{"", "publish", publish, 503, 111, "read-only"}, true},
		{hub.ErrQuota, refusal{"", "publish", publish, 413, 106, "as much history"}, false},
		{hub.ErrShutdown, refusal{"", "publish", publish, 503, 100, "shutting down"}, true},
		{engine.ErrClosed, refusal{"", "publish", publish, 503, 100, "unknown"}, true},
		{context.Canceled, refusal{"", "publish", publish, 503, 100, "idempotency_key"}, true},
		{context.DeadlineExceeded, refusal{"", "publish", publish, 503, 100, "idempotency_key"}, true},
		{hub.ErrPermissionDenied, refusal{"", "publish", publish, 403, 103, "permission denied"}, false},
		{hub.ErrLimitExceeded, refusal{"", "publish", publish, 413, 106, "limit exceeded"}, false},
		{hub.ErrTooManyRequests, refusal{"", "publish", publish, 429, 111, "too many requests"}, true},

		{hub.ErrNotAvailable, refusal{"", "history", history, 400, 108, "history is off"}, false},
		{hub.ErrUnrecoverable, refusal{"", "history", history, 416, 112, "epoch"}, false},
		{hub.ErrNotAvailable, refusal{"", "history_remove", history, 400, 108, "history is off"}, false},
		{hub.ErrNotAvailable, refusal{"", "presence", presence, 400, 108, "presence is off"}, false},
		{hub.ErrNotAvailable, refusal{"", "presence_stats", presence, 400, 108, "presence is off"}, false},
		{hub.ErrUnknownChannel, refusal{"", "subscribe", subscribe, 404, 102, `no namespace "chat"`}, false},
		{hub.ErrUnknownChannel, refusal{"", "unsubscribe", subscribe, 404, 102, `no namespace "chat"`}, false},
		{hub.ErrShutdown, refusal{"", "disconnect", control, 503, 100, "shutting down"}, true},
		{hub.ErrShutdown, refusal{"", "refresh", `{"user":"u","expired":true}`, 503, 100, "shutting down"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.method+": "+tt.err.Error(), func(t *testing.T) {
			f := newFixture(Limits{})
			f.hub.err = tt.err
			f.refuses(t, tt.refusal)
			if _, e := f.refused(t, post(tt.method, tt.request)); e.Temporary != tt.temporary {
				t.Errorf("temporary: %t", e.Temporary)
			}
			if f.log.Len() > 0 {
				t.Errorf("logged: %s", f.log.String())
			}
		})
	}
}

// TestInternalError: nothing of it is told but an id, which the log has too.
func TestInternalError(t *testing.T) {
	f := newFixture(Limits{})
	f.hub.err = errors.New("disk 3 in rack 7 is on fire")
	requests := map[string]string{
		"publish": `{"channel":"a","data":1}`, "history": `{"channel":"a"}`, "history_remove": `{"channel":"a"}`,
		"presence": `{"channel":"a"}`, "presence_stats": `{"channel":"a"}`, "subscribe": `{"channel":"a","user":"u"}`,
		"unsubscribe": `{"user":"u"}`, "disconnect": `{"user":"u"}`,
	}
	for method, body := range requests {
		f.log.Reset()
		status, e := f.refused(t, post(method, body, header("X-Centrifugo-Error-Mode", "transport")))
		if status != 500 || e.Code != 100 || !e.Temporary || e.Message != "internal server error" {
			t.Errorf("%s: HTTP %d, %+v", method, status, e)
		}
		line := f.log.String()
		if e.RequestID == "" || strings.Count(line, "\n") != 1 ||
			!strings.Contains(line, "request_id="+e.RequestID) || !strings.Contains(line, "on fire") || !strings.Contains(line, "method="+method) {
			t.Errorf("%s: id %q, log %s", method, e.RequestID, line)
		}
	}
}

// TestRetryAfter: a temporary error says when to come back.
func TestRetryAfter(t *testing.T) {
	f := newFixture(Limits{})
	for err, want := range map[error]string{hub.ErrBusy: "1", hub.ErrUnknownChannel: ""} {
		f.hub.err = err
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, post("publish", `{"channel":"a","data":1}`, header("X-Centrifugo-Error-Mode", "transport")))
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("%v: Retry-After %q", err, got)
		}
	}
}

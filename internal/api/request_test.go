package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fanfare-push/fanfare/internal/tenant"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// TestRequests: what is refused before a method runs, told by HTTP status.
func TestRequests(t *testing.T) {
	good := `{"channel":"a","data":1}`
	f := newFixture(Limits{MaxBody: 1000, MaxDepth: 5})
	tests := []struct {
		name    string
		request *http.Request
		status  int
		code    uint32
		words   string // of the message
	}{
		{"no key", post("publish", good, header("X-API-Key", "")), 401, 101, "X-API-Key"},
		{"wrong key", post("publish", good, header("X-API-Key", "wrong")), 401, 101, "wrong"},
		{"a longer key", post("publish", good, header("X-API-Key", testKey+"x")), 401, 101, "wrong"},
		{"wrong scheme", post("publish", good, header("X-API-Key", ""), header("Authorization", "Bearer "+testKey)), 401, 101, "X-API-Key"},
		{"the key comes before the body", post("publish", "{", header("X-API-Key", "wrong")), 401, 101, "wrong"},

		{"GET", withMethod(http.MethodGet, "publish"), 405, 107, "GET"},
		{"PUT", withMethod(http.MethodPut, "publish"), 405, 107, "PUT"},
		{"no such method", post("launch", good), 404, 104, "presence_stats"},
		{"no method", post("", good), 404, 104, "openapi.json"},
		{"below a method", post("publish/it", good), 404, 104, "publish/it"},
		{"GET of nothing", withMethod(http.MethodGet, "launch"), 404, 104, "openapi.json"},

		{"text", post("publish", good, header("Content-Type", "text/plain")), 415, 107, "text/plain"},
		{"nonsense for a type", post("publish", good, header("Content-Type", "a/b/c;;")), 415, 107, "a/b/c"},
		{"compressed", post("publish", good, header("Content-Encoding", "gzip")), 415, 107, "gzip"},

		{"empty", post("publish", ""), 400, 107, "empty"},
		{"blank", post("publish", " \r\n\t "), 400, 107, "empty"},
		{"no JSON", post("publish", "hello"), 400, 107, "byte 1"},
		{"cut off", post("publish", `{"channel":"a"`), 400, 107, "malformed"},
		{"two values", post("publish", good+good), 400, 107, "byte 25"},
		{"a number", post("publish", "1"), 400, 107, "must be an object, is a number"},
		{"an array", post("info", "[]"), 400, 107, "must be an object, is an array"},
		{"null", post("publish", "null"), 400, 107, "must be an object, is null"},
		{"not UTF-8", post("publish", "{\"channel\":\"\xff\",\"data\":1}"), 400, 107, "UTF-8"},
		{"overlong UTF-8", post("publish", "{\"channel\":\"\xc0\xaf\",\"data\":1}"), 400, 107, "UTF-8"},
		{"a control character", post("publish", "{\"channel\":\"\n\"}"), 400, 107, "malformed"},
		{"too deep", post("publish", `{"channel":"a","data":[[[[[1]]]]]}`), 400, 107, "deeper than 5"},
		{"only brackets", post("publish", strings.Repeat("[", 999)), 400, 107, "deeper than 5"},
		{"too large", post("publish", `{"data":"`+strings.Repeat("x", 1000)+`"}`), 413, 106, "1000 bytes"},
		{"too large, of unknown length", post("publish", strings.Repeat("x", 1001), ofUnknownLength), 413, 106, "1000 bytes"},
		{"ends early", post("publish", `{"channel":"a"`, endingEarly), 400, 107, "ended early"},

		{"a number for a string", post("publish", `{"channel":1}`), 400, 107, "channel: must be a string, is a number"},
		{"a string for a boolean", post("publish", `{"skip_history":"true"}`), 400, 107, "skip_history: must be a boolean, is a string"},
		{"a string for a number", post("history", `{"limit":"1"}`), 400, 107, "limit: must be an integer"},
		{"a fraction", post("history", `{"limit":1.5}`), 400, 107, "limit: must be an integer, is 1.5"},
		{"an exponent", post("history", `{"limit":1e2}`), 400, 107, "limit: must be an integer"},
		{"out of range", post("history", `{"limit":9223372036854775808}`), 400, 107, "limit: must be an integer"},
		{"negative", post("history", `{"since":{"offset":-1}}`), 400, 107, "since: offset: must be an integer"},
		{"an array for an object", post("history", `{"since":[]}`), 400, 107, "since: must be an object, is an array"},
		{"a string for a list", post("broadcast", `{"channels":"a"}`), 400, 107, "channels: must be an array of strings, is a string"},
		{"a number in a list", post("broadcast", `{"channels":["a",1]}`), 400, 107, "channels: 1: must be a string, is a number"},
		{"an array for tags", post("publish", `{"tags":[]}`), 400, 107, "tags: must be an object of strings"},
		{"a number for a tag", post("publish", `{"tags":{"a":1}}`), 400, 107, "tags: a: must be a string"},
		{"a tag twice", post("publish", `{"tags":{"a":"1","\u0061":"2"}}`), 400, 107, "tags: a: given twice"},
		{"a field twice", post("publish", `{"data":1,"d\u0061ta":2}`), 400, 107, "data: given twice"},
		{"a field twice inside", post("history", `{"since":{"epoch":"a","epoch":"a"}}`), 400, 107, "since: epoch: given twice"},
		{"an override that is none", post("subscribe", `{"override":1}`), 400, 107, "override: must be an object"},
		{"an override of no bool", post("subscribe", `{"override":{"presence":1}}`), 400, 107, "override: presence: must be a boolean"},
		{"an override of no bool inside", post("subscribe", `{"override":{"join_leave":{"value":"on"}}}`), 400, 107, "override: join_leave: value: must be a boolean"},
		{"no commands", post("batch", `{"commands":{}}`), 400, 107, "commands: must be an array"},
		{"a command that is none", post("batch", `{"commands":[{},1]}`), 400, 107, "commands: 1: must be an object"},
		{"a malformed command", post("batch", `{"commands":[{"publish":{"channel":1}}]}`), 400, 107, "commands: 0: publish: channel: must be a string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.observed = nil
			status, e := f.refused(t, tt.request)
			if status != tt.status || e.Code != tt.code || !strings.Contains(e.Message, tt.words) || e.Temporary {
				t.Errorf("HTTP %d, %+v, want %d, %d, %q", status, e, tt.status, tt.code, tt.words)
			}
			if len(f.observed) != 1 || f.observed[0].status != tt.status {
				t.Errorf("observed %v", f.observed)
			}
		})
	}
	if asked := f.hub.questions(); asked != nil {
		t.Errorf("the hub was asked: %v", asked)
	}
	if f.log.Len() > 0 {
		t.Errorf("logged: %s", f.log.String())
	}
}

func withMethod(verb, name string) *http.Request {
	return post(name, "", func(r *http.Request) { r.Method = verb })
}

func ofUnknownLength(r *http.Request) { r.ContentLength = -1 }

func endingEarly(r *http.Request) {
	r.ContentLength = 100
	r.Body = readerOf{iotest.ErrReader(http.ErrBodyReadAfterClose)}
}

// TestAccepted: what may come in more than one way.
func TestAccepted(t *testing.T) {
	good := `{"channel":"a","data":1}`
	for name, r := range map[string]*http.Request{
		"plain":                 post("publish", good),
		"with a charset":        post("publish", good, header("Content-Type", "application/json; charset=utf-8")),
		"no type":               post("publish", good, header("Content-Type", "")),
		"what curl says":        post("publish", good, header("Content-Type", "application/x-www-form-urlencoded")),
		"not compressed":        post("publish", good, header("Content-Encoding", "identity")),
		"Authorization":         post("publish", good, header("X-API-Key", ""), header("Authorization", "apikey "+testKey)),
		"Authorization, loud":   post("publish", good, header("X-API-Key", ""), header("Authorization", "ApiKey  "+testKey)),
		"of unknown length":     post("publish", good, ofUnknownLength),
		"in small pieces":       post("publish", good, inPieces),
		"long, in small pieces": post("publish", `{"channel":"a","data":"`+strings.Repeat("x", 10_000)+`"}`, inPieces, ofUnknownLength),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(Limits{})
			if status, body := f.call(t, r); status != http.StatusOK || !strings.HasPrefix(body, `{"result"`) {
				t.Errorf("HTTP %d: %s", status, body)
			}
			if len(f.hub.questions()) != 1 {
				t.Error("not published")
			}
		})
	}
}

func inPieces(r *http.Request) { r.Body = readerOf{iotest.OneByteReader(r.Body)} }

// TestNoKey: an API without a key refuses everybody, the empty key included.
func TestNoKey(t *testing.T) {
	f := &fixture{hub: &fakeHub{}}
	f.handler = New(Config{Keys: fakeKeys{}}, f.hub, nil)
	for _, key := range []string{"", "x"} {
		if status, e := f.refused(t, post("publish", `{"channel":"a","data":1}`, header("X-API-Key", key))); status != 403 || e.Code != 103 || !strings.Contains(e.Message, "api.key") {
			t.Errorf("HTTP %d, %+v", status, e)
		}
	}
}

func TestProtect(t *testing.T) {
	protected := Protect(fakeKeys{testKey: operatorOf(channel.DefaultApp), "reads": {"shop", tenant.Read}}, tenant.Operator, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("secret")) }))
	for key, want := range map[string]int{"": 401, "wrong": 401, "reads": 403, testKey: 200} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
		r.Header.Set("X-API-Key", key)
		w := httptest.NewRecorder()
		protected.ServeHTTP(w, r)
		if w.Code != want || strings.Contains(w.Body.String(), "secret") != (want == 200) {
			t.Errorf("key %q: HTTP %d: %s", key, w.Code, w.Body)
		}
	}
}

func TestReplyHeaders(t *testing.T) {
	f := newFixture(Limits{})
	reply := func(r *http.Request) http.Header {
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		return w.Header()
	}
	if got := reply(withMethod(http.MethodGet, "publish")).Get("Allow"); got != "POST" {
		t.Errorf("Allow %q", got)
	}
	if got := reply(post("publish", "", header("X-API-Key", ""))).Get("WWW-Authenticate"); got != "apikey" {
		t.Errorf("WWW-Authenticate %q", got)
	}
	if got := reply(post("publish", `{"channel":"a","data":1}`)).Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options %q", got)
	}
}

// TestDocumentIsServed: without a key, and only to those who read.
func TestDocumentIsServed(t *testing.T) {
	f := newFixture(Limits{})
	for verb, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodDelete: 405} {
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, httptest.NewRequest(verb, Prefix+documentName, http.NoBody))
		if w.Code != want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: HTTP %d: %.100s", verb, w.Code, w.Body)
		}
		if want == 405 && w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: Allow %q", verb, w.Header().Get("Allow"))
		}
	}
}

// TestLargeBodiesAreNotKept: one large request must not stay in memory for ever.
func TestLargeBodiesAreNotKept(t *testing.T) {
	f := newFixture(Limits{})
	b := &buffers{in: make([]byte, maxPooledBuffer+1)}
	f.handler.release(b)
	for range 100 {
		if got, ok := f.handler.buffers.Get().(*buffers); ok && got == b {
			t.Fatal("kept")
		}
	}
}

func TestDefaultLimits(t *testing.T) {
	var l Limits
	l.setDefaults()
	if want := (Limits{4 << 20, 256 << 10, 128, 1000, 1000, 32, 4 << 10, 10_000, 32 << 20}); l != want {
		t.Errorf("%+v", l)
	}
	set := Limits{1, 2, 3, 4, 5, 6, 7, 8, 9}
	l = set
	if l.setDefaults(); l != set {
		t.Errorf("%+v", l)
	}
	if fmt.Sprint(MaxReason) != "123" {
		t.Error("a close frame has room for 123 bytes")
	}
}

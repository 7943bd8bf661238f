package badinput

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// request is one call of the server API, good where nothing is set.
type request struct {
	verb        string // "": POST
	path        string // "": /api/publish
	key         string // "": the right one; "none": none
	contentType string // "": application/json
	encoding    string // Content-Encoding
	body        string
}

// TestAPI: transport errors by HTTP status, the others with 200 and an error
// object, as in Centrifugo.
func TestAPI(t *testing.T) {
	f := start(t)
	publish := func(data string) string { return `{"channel":"open:x","data":` + data + `}` }
	tests := []struct {
		name    string
		request request
		status  int
		code    int
	}{
		{"good", request{body: publish("1")}, 200, 0},
		{"good, no content type told", request{body: publish("1"), contentType: "application/x-www-form-urlencoded"}, 200, 0},

		{"wrong key", request{body: publish("1"), key: "wrong"}, 401, 101},
		{"no key", request{body: publish("1"), key: "none"}, 401, 101},
		{"key in the address", request{body: publish("1"), key: "none", path: "/api/publish?api_key=" + apiKey}, 401, 101},
		{"GET", request{verb: http.MethodGet}, 405, 107},
		{"PUT", request{verb: http.MethodPut, body: publish("1")}, 405, 107},
		{"unknown method", request{path: "/api/launch", body: "{}"}, 404, 104},
		{"no method", request{path: "/api/", body: "{}"}, 404, 104},
		{"text", request{contentType: "text/plain", body: publish("1")}, 415, 107},
		{"XML", request{contentType: "application/xml", body: "<publish/>"}, 415, 107},
		{"compressed", request{encoding: "gzip", body: "\x1f\x8b"}, 415, 107},

		{"empty body", request{body: ""}, 400, 107},
		{"no JSON", request{body: "hello"}, 400, 107},
		{"cut off", request{body: `{"channel":"open:x"`}, 400, 107},
		{"two values", request{body: publish("1") + publish("1")}, 400, 107},
		{"an array", request{body: "[]"}, 400, 107},
		{"not UTF-8", request{body: publish("\"\xff\"")}, 400, 107},
		{"deeply nested", request{body: publish(deep(100_000))}, 400, 107},
		{"only brackets", request{body: strings.Repeat("[", 1<<20)}, 400, 107},
		{"wrong type", request{body: `{"channel":7,"data":1}`}, 400, 107},
		{"oversized body", request{body: publish(`"` + strings.Repeat("x", 5<<20) + `"`)}, 413, 106},
		{"a field twice", request{body: `{"channel":"open:x","data":1,"data":2}`}, 400, 107},
		{"a tag that is no string", request{body: `{"channel":"open:x","data":1,"tags":{"n":1}}`}, 400, 107},
		{"a limit that is no number", request{path: "/api/history", body: `{"channel":"open:x","limit":"ten"}`}, 400, 107},
		{"a limit out of range", request{path: "/api/history", body: `{"channel":"open:x","limit":1e99}`}, 400, 107},
		{"a batch that is malformed inside", request{path: "/api/batch", body: `{"commands":[{"publish":{"channel":"open:healthy","data":1}},{"publish":7}]}`}, 400, 107},

		{"oversized data", request{body: publish(`"` + strings.Repeat("x", 300<<10) + `"`)}, 200, 106},
		{"a misspelt field", request{body: `{"chanel":"open:x","data":1}`}, 200, 107},
		{"no channel", request{body: `{"data":1}`}, 200, 107},
		{"no data", request{body: `{"channel":"open:x"}`}, 200, 107},
		{"bad base64", request{body: `{"channel":"open:x","b64data":"%"}`}, 200, 107},
		{"channel with control characters", request{body: `{"channel":"open:\n","data":1}`}, 200, 107},
		{"channel too long", request{body: `{"channel":"open:` + strings.Repeat("c", 300) + `","data":1}`}, 200, 107},
		{"channel that the regex refuses", request{body: `{"channel":"plain:X1","data":1}`}, 200, 107},
		{"unknown namespace", request{body: `{"channel":"nowhere:x","data":1}`}, 200, 102},
		{"unknown namespace, history", request{path: "/api/history", body: `{"channel":"nowhere:x"}`}, 200, 102},
		{"unknown namespace, subscribe", request{path: "/api/subscribe", body: `{"channel":"nowhere:x","user":"u"}`}, 200, 102},
		{"unknown namespace, unsubscribe", request{path: "/api/unsubscribe", body: `{"channel":"nowhere:x","user":"u"}`}, 200, 102},
		{"idempotency key too long", request{body: `{"channel":"open:x","data":1,"idempotency_key":"` + strings.Repeat("k", 1000) + `"}`}, 200, 106},
		{"too many tags", request{body: `{"channel":"open:x","data":1,"tags":{` + manyTags(100) + `}}`}, 200, 106},
		{"too many channels", request{path: "/api/broadcast", body: `{"channels":[` + strings.Repeat(`"open:x",`, 2000) + `"open:x"],"data":1}`}, 200, 106},
		{"too many commands", request{path: "/api/batch", body: `{"commands":[` + strings.Repeat(`{"info":{}},`, 2000) + `{"info":{}}]}`}, 200, 106},
		{"no commands", request{path: "/api/batch", body: `{}`}, 200, 107},
		{"less than no rows", request{path: "/api/channels", body: `{"limit":-1}`}, 200, 107},
		{"a code that is none", request{path: "/api/disconnect", body: `{"user":"u","disconnect":{"code":1000,"reason":""}}`}, 200, 107},
		{"no such procedure", request{path: "/api/rpc", body: `{"method":"launch"}`}, 200, 104},
		{"refresh without a token", request{path: "/api/refresh", body: `{"user":"u","expire_at":1}`}, 200, 108},
		{"history to forget of nothing", request{path: "/api/history_remove", body: `{"channel":"plain:x"}`}, 200, 108},
		{"no history", request{path: "/api/history", body: `{"channel":"plain:x","limit":1}`}, 200, 108},
		{"no presence", request{path: "/api/presence", body: `{"channel":"open:x"}`}, 200, 108},
		{"history of another epoch", request{path: "/api/history", body: `{"channel":"open:healthy","limit":1,"since":{"offset":1,"epoch":"other"}}`}, 200, 112},
		{"nobody to disconnect", request{path: "/api/disconnect", body: `{}`}, 200, 107},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, code, text := f.ask(t, tt.request)
			if status != tt.status || code != tt.code {
				t.Errorf("HTTP %d, error %d, want %d, %d: %.300s", status, code, tt.status, tt.code, text)
			}
			quiet(t, text)
			f.unharmed(t)
		})
	}
}

// TestPaths: what is no path of the server, and what is shut.
func TestPaths(t *testing.T) {
	f := start(t)
	tests := []struct {
		name    string
		request request
		status  int
	}{
		{"metrics without key", request{verb: http.MethodGet, path: "/metrics", key: "none"}, 401},
		{"metrics", request{verb: http.MethodGet, path: "/metrics"}, 200},
		{"health", request{verb: http.MethodGet, path: "/health", key: "none"}, 200},
		{"ready", request{verb: http.MethodGet, path: "/ready", key: "none"}, 200},
		{"nowhere", request{verb: http.MethodGet, path: "/nowhere"}, 404},
		{"out of the tree", request{verb: http.MethodGet, path: "/../../etc/passwd"}, 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if status, _, text := f.ask(t, tt.request); status != tt.status {
				t.Errorf("HTTP %d, want %d: %.200s", status, tt.status, text)
			}
			f.unharmed(t)
		})
	}
}

func manyTags(n int) string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = `"tag` + strings.Repeat("x", i) + `":""`
	}
	return strings.Join(tags, ",")
}

// ask sends a request and gives status, error code (0: none) and text of the reply.
func (f *fixture) ask(t *testing.T, r request) (status, code int, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	or := func(v, otherwise string) string {
		if v == "" {
			return otherwise
		}
		return v
	}
	req, err := http.NewRequestWithContext(ctx, or(r.verb, http.MethodPost), "http://"+f.srv.Addr()+or(r.path, "/api/publish"), strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", or(r.contentType, "application/json"))
	if r.encoding != "" {
		req.Header.Set("Content-Encoding", r.encoding)
	}
	if r.key != "none" {
		req.Header.Set("X-API-Key", or(r.key, apiKey))
	}
	res, err := f.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var reply struct {
		Error *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &reply) == nil && reply.Error != nil {
		if reply.Error.Message == "" {
			t.Error("an error without a message")
		}
		code = reply.Error.Code
	}
	return res.StatusCode, code, string(body)
}

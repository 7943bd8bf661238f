package pusherapi

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/protocol/pusher"
)

const (
	testKey    = "key"
	testSecret = "secret"
	testNow    = 1_700_000_000
)

// request is what a library sends; zero values are what is right.
type request struct {
	method, path, body string
	query              url.Values
	change             func(q url.Values) // before it is signed
	forge              func(q url.Values) // after it is signed
}

// signed makes the request as a library does.
func (r request) signed() *http.Request {
	q := url.Values{}
	for name, values := range r.query {
		q[name] = values
	}
	q.Set("auth_key", testKey)
	q.Set("auth_timestamp", strconv.Itoa(testNow))
	q.Set("auth_version", "1.0")
	if r.body != "" {
		sum := md5.Sum([]byte(r.body))
		q.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	if r.change != nil {
		r.change(q)
	}
	q.Set("auth_signature", pusher.Sign(testSecret, r.method+"\n"+r.path+"\n"+plainQuery(q)))
	if r.forge != nil {
		r.forge(q)
	}
	return httptest.NewRequest(r.method, r.path+"?"+q.Encode(), strings.NewReader(r.body))
}

// fakeApp is one App, by its id, and its key.
type fakeApp struct{ id, name, key, secret string }

func (a fakeApp) ByID(id string) (string, bool) { return a.name, a.id != "" && id == a.id }

func (a fakeApp) App(key string) (string, bool) { return a.name, a.key != "" && key == a.key }

func (a fakeApp) Signed(_, text, signature string) bool {
	return pusher.Signed(a.secret, text, signature)
}

func answer(h *fakeHub, cfg Config, r *http.Request) *httptest.ResponseRecorder {
	if cfg.Apps == nil {
		cfg.Apps = fakeApp{"app", channel.DefaultApp, testKey, testSecret}
	}
	cfg.Now = func() time.Time { return time.Unix(testNow, 0) }
	w := httptest.NewRecorder()
	New(cfg, h).ServeHTTP(w, r)
	return w
}

// The example of "HTTP API reference, Authentication".
func TestAuthenticationExample(t *testing.T) {
	const body = `{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`
	const query = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f" +
		"&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
	h := &fakeHub{}
	handler := New(Config{
		Apps: fakeApp{"3", channel.DefaultApp, "278d425bdf160c739803", "7ad3773142a6692b25b8"},
		Now:  func() time.Time { return time.Unix(1353088179, 0) },
	}, h)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/apps/3/events?"+query, strings.NewReader(body)))
	if w.Code != http.StatusOK || w.Body.String() != "{}\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if want := []string{`publish default/project-3 foo {"some":"data"} except=""`}; !slices.Equal(h.asked, want) {
		t.Errorf("asked %q, want %q", h.asked, want)
	}
}

func TestAuthentication(t *testing.T) {
	const path, body = "/apps/app/events", `{"name":"e","channels":["a"],"data":"1"}`
	set := func(name, value string) func(url.Values) {
		return func(q url.Values) { q.Set(name, value) }
	}
	del := func(name string) func(url.Values) {
		return func(q url.Values) { q.Del(name) }
	}
	at := func(offset int) func(url.Values) { return set("auth_timestamp", strconv.Itoa(testNow+offset)) }
	tests := []struct {
		name   string
		r      request
		status int
		text   string
	}{
		{"right", request{}, 200, "{}"},
		{"an old one, just", request{change: at(-600)}, 200, "{}"},
		{"one from the future, just", request{change: at(600)}, 200, "{}"},
		{"too old", request{change: at(-601)}, 401, "600 s"},
		{"too new", request{change: at(601)}, 401, "600 s"},
		{"no time", request{change: del("auth_timestamp")}, 401, "Unix seconds"},
		{"a time that is none", request{change: set("auth_timestamp", "now")}, 401, "Unix seconds"},
		{"another key", request{change: set("auth_key", "other")}, 401, "auth_key"},
		{"no key", request{change: del("auth_key")}, 401, "auth_key"},
		{"another version", request{change: set("auth_version", "2.0")}, 401, "auth_version"},
		{"another body", request{change: set("body_md5", "00")}, 401, "body_md5"},
		{"no digest", request{change: del("body_md5")}, 401, "body_md5"},
		{"another signature", request{forge: set("auth_signature", strings.Repeat("0", 64))}, 401, "what must be signed is"},
		{"no signature", request{forge: del("auth_signature")}, 401, "what must be signed is"},
		{"a parameter that is not signed", request{forge: set("info", "user_count")}, 401, "what must be signed is"},
		{"parameters that need escapes", request{query: url.Values{"info": {"user_count,cache"}, "x": {"a b+c&d=é"}}}, 200, "channels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.method, tt.r.path, tt.r.body = http.MethodPost, path, body
			if tt.text == "channels" {
				tt.r.method, tt.r.path, tt.r.body = http.MethodGet, "/apps/app/channels/presence-cache-x", ""
				tt.text = "occupied"
			}
			w := answer(&fakeHub{}, Config{}, tt.r.signed())
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.text) {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, tt.status, tt.text)
			}
		})
	}
}

func TestNothingIsOpenWithoutSettings(t *testing.T) {
	for _, app := range []fakeApp{{}, {id: "app", key: testKey}, {id: "app", secret: testSecret}, {key: testKey, secret: testSecret}} {
		w := httptest.NewRecorder()
		cfg := Config{Apps: app, Now: func() time.Time { return time.Unix(testNow, 0) }}
		New(cfg, &fakeHub{}).ServeHTTP(w, request{method: http.MethodGet, path: "/apps/app/channels"}.signed())
		if w.Code != http.StatusUnauthorized && w.Code != http.StatusNotFound {
			t.Errorf("%+v: %d %s", app, w.Code, w.Body)
		}
	}
}

func TestRequests(t *testing.T) {
	long := strings.Repeat("x", 50)
	many := `"` + strings.Repeat(`a","`, 100) + `a"`
	kept := []*engine.Publication{{Data: []byte(`{"v":1}`), Time: (testNow - 60) * 1000}}
	members := engine.Members{"1": {User: "bob", Client: "1"}, "2": {User: "ann", Client: "2"}, "3": {User: "ann", Client: "3"}, "4": {Client: "4"}}
	tests := []struct {
		name   string
		method string // "": POST with a body, GET without
		path   string // below /apps/app
		query  string
		body   string
		hub    fakeHub
		status int
		want   string
		asked  []string
	}{
		{name: "event", path: "/events", body: `{"name":"e","data":"hello","channels":["a","private-b","a"],"socket_id":"1.2"}`, status: 200, want: "{}", asked: []string{
			`publish default/a e "hello" except="00000000-0000-0001-0000-000000000002"`, `publish default/private-b e "hello" except="00000000-0000-0001-0000-000000000002"`,
		}},
		{name: "one channel", path: "/events", body: `{"name":"e","data":"{}","channel":"a"}`, status: 200, want: "{}", asked: []string{`publish default/a e {} except=""`}},
		{name: "to a user", path: "/events", body: `{"name":"e","data":"{}","channels":["#server-to-user-a:b"]}`, status: 200, want: "{}", asked: []string{`publish default/#server-to-user-a:b e {} except=""`}},
		{
			name: "event with info", path: "/events", body: `{"name":"e","data":"1","channels":["a","presence-b"],"info":"user_count,subscription_count"}`, hub: fakeHub{count: 3}, status: 200,
			want:  `{"channels":{"a":{"subscription_count":3},"presence-b":{"user_count":4,"subscription_count":3}}}`,
			asked: []string{`publish default/a e 1 except=""`, `publish default/presence-b e 1 except=""`, "stats default/presence-b"},
		},
		{name: "no name", path: "/events", body: `{"data":"1","channels":["a"]}`, status: 400, want: "name must have 1 to 200 bytes"},
		{name: "long name", path: "/events", body: `{"name":"` + strings.Repeat("x", 201) + `","data":"1","channels":["a"]}`, status: 400, want: "name must have"},
		{name: "a name of the protocol", path: "/events", body: `{"name":"pusher:error","data":"1","channels":["a"]}`, status: 400, want: "must not begin"},
		{name: "no data", path: "/events", body: `{"name":"e","channels":["a"]}`, status: 400, want: "data must be given"},
		{name: "data that is no text", path: "/events", body: `{"name":"e","data":{},"channels":["a"]}`, status: 400, want: "data must not be a JSON object"},
		{name: "too much data", path: "/events", body: `{"name":"e","data":"` + long + `","channels":["a"]}`, status: 413, want: "data has 50 bytes, at most 40 are allowed"},
		{name: "no channel", path: "/events", body: `{"name":"e","data":"1"}`, status: 400, want: "1 to 100 channels"},
		{name: "too many channels", path: "/events", body: `{"name":"e","data":"1","channels":[` + many + `]}`, status: 400, want: "1 to 100 channels"},
		{name: "bad channel", path: "/events", body: `{"name":"e","data":"1","channels":["a:b"]}`, status: 400, want: "channel names are"},
		{name: "encrypted and another", path: "/events", body: `{"name":"e","data":"1","channels":["a","private-encrypted-b"]}`, status: 400, want: "encrypted channel"},
		{name: "bad socket id", path: "/events", body: `{"name":"e","data":"1","channels":["a"],"socket_id":"1"}`, status: 400, want: "socket id"},
		{name: "no JSON", path: "/events", body: `x`, status: 400, want: "must be a JSON object"},
		{name: "too busy", path: "/events", body: `{"name":"e","data":"1","channels":["a"]}`, hub: fakeHub{err: hub.ErrBusy}, status: 503, want: "try again", asked: []string{`publish default/a e 1 except=""`}},
		{name: "disk", path: "/events", body: `{"name":"e","data":"1","channels":["a"]}`, hub: fakeHub{err: errors.New("write /secret")}, status: 500, want: "internal server error", asked: []string{`publish default/a e 1 except=""`}},
		{name: "a large body", path: "/events", body: `{"name":"` + strings.Repeat("x", 5000) + `"}`, status: 413, want: "the body is too large"},

		{name: "batch", path: "/batch_events", body: `{"batch":[{"name":"e","data":"1","channel":"a"},{"name":"f","data":"2","channel":"a"}]}`, status: 200, want: "{}", asked: []string{`publish default/a e 1 except=""`, `publish default/a f 2 except=""`}},
		{name: "batch with info", path: "/batch_events", body: `{"batch":[{"name":"e","data":"1","channel":"a"},{"name":"f","data":"2","channel":"presence-a","info":"user_count"}]}`, status: 200, want: `{"batch":[{},{"user_count":4}]}`, asked: []string{`publish default/a e 1 except=""`, `publish default/presence-a f 2 except=""`, "stats default/presence-a"}},
		{name: "empty batch", path: "/batch_events", body: `{"batch":[]}`, status: 400, want: "1 to 10 events"},
		{name: "large batch", path: "/batch_events", body: `{"batch":[` + strings.Repeat(`{"name":"e","data":"1","channel":"a"},`, 10) + `{}]}`, status: 400, want: "1 to 10 events"},
		{name: "batch with a bad event", path: "/batch_events", body: `{"batch":[{"name":"e","data":"1","channel":"a"},{"name":"e","data":"1"}]}`, status: 400, want: "channels"},
		{name: "batch with channels", path: "/batch_events", body: `{"batch":[{"name":"e","data":"1","channels":["a","b"]}]}`, status: 400, want: "one channel"},

		{name: "channels", path: "/channels", hub: fakeHub{rows: []hub.ChannelInfo{{Name: "a"}, {Name: "x:y"}, {Name: "#server-to-user-1"}, {Name: "presence-b"}}}, status: 200, want: `{"channels":{"a":{},"presence-b":{}}}`, asked: []string{"channels default pattern=* limit=10000"}},
		{name: "channels by prefix", path: "/channels", query: "filter_by_prefix=presence-&info=user_count", hub: fakeHub{rows: []hub.ChannelInfo{{Name: "presence-b"}}}, status: 200, want: `{"channels":{"presence-b":{"user_count":4}}}`, asked: []string{"channels default pattern=presence-* limit=10000", "stats default/presence-b"}},
		{name: "channels with users of all", path: "/channels", query: "info=user_count", status: 400, want: "filter_by_prefix=presence-"},
		{name: "bad prefix", path: "/channels", query: "filter_by_prefix=a*", status: 400, want: "filter_by_prefix"},
		{name: "too many listed", path: "/channels", hub: fakeHub{more: true}, status: 400, want: "too many", asked: []string{"channels default pattern=* limit=10000"}},

		{name: "channel", path: "/channels/a", hub: fakeHub{count: 2}, status: 200, want: `{"occupied":true}`},
		{name: "empty channel", path: "/channels/a", query: "info=subscription_count", status: 200, want: `{"occupied":false,"subscription_count":0}`},
		{name: "presence channel", path: "/channels/presence-a", query: "info=user_count", hub: fakeHub{count: 9}, status: 200, want: `{"occupied":true,"user_count":4}`, asked: []string{"stats default/presence-a"}},
		{name: "users of another", path: "/channels/a", query: "info=user_count", status: 400, want: "presence channels"},
		{name: "cache channel", path: "/channels/cache-a", query: "info=cache", hub: fakeHub{kept: kept}, status: 200, want: `{"occupied":false,"cache":{"data":"{\"v\":1}","ttl":1740}}`, asked: []string{"history default/cache-a limit=1 reverse=true"}},
		{name: "empty cache channel", path: "/channels/cache-a", query: "info=cache", status: 200, want: `{"occupied":false}`, asked: []string{"history default/cache-a limit=1 reverse=true"}},
		{name: "cache of another", path: "/channels/a", query: "info=cache", status: 400, want: "cache channels"},
		{name: "bad channel name", path: "/channels/a%3Ab", status: 400, want: "channel names are"},

		{name: "users", path: "/channels/presence-a/users", hub: fakeHub{members: members}, status: 200, want: `{"users":[{"id":"4"},{"id":"ann"},{"id":"bob"}]}`, asked: []string{"presence default/presence-a"}},
		{name: "users of a public channel", path: "/channels/a/users", status: 400, want: "presence channels"},

		{name: "terminate", method: http.MethodPost, path: "/users/a%2Fb%20c/terminate_connections", status: 200, want: "{}", asked: []string{"disconnect default/a/b c 3503"}},
		{name: "terminate nobody", method: http.MethodPost, path: "/users/%20/terminate_connections", status: 400, want: "user's id"},

		{name: "no such path", path: "/nothing", status: 404, want: "not found"},
		{name: "no such method", path: "/events", method: http.MethodGet, status: 405, want: "Method Not Allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request{method: tt.method, path: "/apps/app" + tt.path, body: tt.body}
			if r.method == "" {
				r.method = http.MethodGet
				if tt.body != "" {
					r.method = http.MethodPost
				}
			}
			var err error
			if r.query, err = url.ParseQuery(tt.query); err != nil {
				t.Fatal(err)
			}
			counted := 0
			w := answer(&tt.hub, Config{MaxData: 40, MaxBody: 4000, Count: func(_ string, status int, _ time.Duration) { counted = status }}, r.signed())
			got := strings.TrimSpace(w.Body.String())
			if w.Code != tt.status || tt.status == 200 && got != tt.want || !strings.Contains(got, tt.want) {
				t.Errorf("%d %s, want %d %s", w.Code, got, tt.status, tt.want)
			}
			if !slices.Equal(tt.hub.asked, tt.asked) {
				t.Errorf("asked %q, want %q", tt.hub.asked, tt.asked)
			}
			if counted != 0 && counted != tt.status || counted == 0 && tt.status == 200 {
				t.Errorf("counted with status %d", counted)
			}
		})
	}
}

func TestAnotherApp(t *testing.T) {
	w := answer(&fakeHub{}, Config{Apps: fakeApp{"mine", "mine", testKey, testSecret}}, request{method: http.MethodGet, path: "/apps/app/channels"}.signed())
	if w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTooManyRequests(t *testing.T) {
	asked := ""
	cfg := Config{Allow: func(key string) (time.Duration, bool) { asked = key; return 1500 * time.Millisecond, false }}
	events := request{method: http.MethodPost, path: "/apps/app/events", body: `{"name":"e","channel":"a","data":"1"}`}
	h := &fakeHub{}
	w := answer(h, cfg, events.signed())
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "2" || asked != testKey || len(h.asked) != 0 {
		t.Errorf("%d, Retry-After %q, key %q: %s", w.Code, w.Header().Get("Retry-After"), asked, w.Body)
	}
	asked = ""
	events.forge = func(q url.Values) { q.Set("auth_signature", "0") }
	if w := answer(h, cfg, events.signed()); w.Code != http.StatusUnauthorized || asked != "" {
		t.Errorf("%d: who has not signed took from the key %q", w.Code, asked)
	}
	h.err = hub.ErrTooManyRequests
	events.forge = nil
	if w := answer(h, Config{}, events.signed()); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("the app's rate: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

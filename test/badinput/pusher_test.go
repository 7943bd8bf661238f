package badinput

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const (
	pusherKey    = "bad-key"
	pusherSecret = "bad-input-secret"
)

func mac(text string) string {
	h := hmac.New(sha256.New, []byte(pusherSecret))
	_, _ = io.WriteString(h, text)
	return hex.EncodeToString(h.Sum(nil))
}

// event is a message of the Pusher protocol.
type event struct {
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// TestPusherSockets: what is wrong with the connection closes it with the code
// that Pusher documents, what is wrong with a message is told and leaves it open.
func TestPusherSockets(t *testing.T) {
	f := start(t)
	subscribe := func(channel string) string {
		return fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":%q}}`, channel)
	}
	open := "/app/" + pusherKey + "?protocol=7&client=badinput&version=1.0.0"
	tests := []struct {
		name   string
		path   string
		frames []string
		code   int    // of the close; 0: it stays open
		told   string // the event before that
		holds  string // a part of that event's data
	}{
		{"wrong app", "/app/other?protocol=7&version=1", nil, 4001, "pusher:error", "4001"},
		{"wrong protocol", "/app/" + pusherKey + "?protocol=99&version=1", nil, 4007, "pusher:error", "4007"},
		{"no protocol", "/app/" + pusherKey, nil, 4008, "pusher:error", "4008"},
		{"no JSON", open, []string{"hello"}, 0, "pusher:error", "null"},
		{"an array", open, []string{"[]"}, 0, "pusher:error", "null"},
		{"cut off", open, []string{`{"event":"pusher:subscribe"`}, 0, "pusher:error", "null"},
		{"deeply nested", open, []string{`{"event":"client-x","channel":"private-a","data":` + deep(10_000) + `}`}, 0, "pusher:error", "null"},
		{"unknown event", open, []string{`{"event":"pusher:launch","data":{}}`}, 0, "pusher:error", "null"},
		{"long channel", open, []string{subscribe("open-" + strings.Repeat("c", 300))}, 0, "pusher:subscription_error", "400"},
		{"channel with a space", open, []string{subscribe("a b")}, 0, "pusher:subscription_error", "400"},
		{"shut channel", open, []string{subscribe("shut")}, 0, "pusher:subscription_error", "40"},
		{"private without signature", open, []string{subscribe("private-a")}, 0, "pusher:subscription_error", "401"},
		{"signature of another", open, []string{`{"event":"pusher:subscribe","data":{"channel":"private-a","auth":"` + pusherKey + `:` + mac("1.1:private-a") + `"}}`}, 0, "pusher:subscription_error", "401"},
		{"signature of another app", open, []string{`{"event":"pusher:subscribe","data":{"channel":"private-a","auth":"other:00"}}`}, 0, "pusher:subscription_error", "401"},
		{"client event on a public channel", open, []string{`{"event":"client-x","channel":"open-a","data":1}`}, 0, "pusher:error", "null"},
		{"client event without subscription", open, []string{`{"event":"client-x","channel":"private-a","data":1}`}, 0, "pusher:error", "null"},
		{"sign-in that is not signed", open, []string{`{"event":"pusher:signin","data":{"auth":"` + pusherKey + `:00","user_data":"{\"id\":\"1\"}"}}`}, 4009, "pusher:error", "4009"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			c := f.pusher(ctx, t, tt.path)
			for _, frame := range tt.frames {
				if err := c.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
					t.Fatal(err)
				}
			}
			e, err := next(ctx, c)
			if err == nil && (e.Event != tt.told || !strings.Contains(string(e.Data), tt.holds)) {
				t.Errorf("told %s %s, want %s with %s", e.Event, e.Data, tt.told, tt.holds)
			}
			quiet(t, string(e.Data))
			if tt.code == 0 {
				if err == nil {
					err = c.Write(ctx, websocket.MessageText, []byte(`{"event":"pusher:ping","data":{}}`))
				}
				if e, perr := next(ctx, c); err != nil || perr != nil || e.Event != "pusher:pong" {
					t.Errorf("afterwards: %v, %v, %s", err, perr, e.Event)
				}
				f.unharmed(t)
				return
			}
			if err == nil {
				_, err = next(ctx, c)
			}
			if got := websocket.CloseStatus(err); int(got) != tt.code {
				t.Errorf("closed with %d (%v), want %d", got, err, tt.code)
			}
			f.unharmed(t)
		})
	}
}

func (f *fixture) pusher(ctx context.Context, t *testing.T, path string) *websocket.Conn {
	t.Helper()
	c, res, err := websocket.Dial(ctx, "ws://"+f.srv.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body != nil {
		_ = res.Body.Close()
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// next gives the next event that is not the greeting.
func next(ctx context.Context, c *websocket.Conn) (e event, err error) {
	for {
		_, p, err := c.Read(ctx)
		if err != nil {
			return event{}, err
		}
		e = event{}
		if err := json.Unmarshal(p, &e); err != nil {
			return event{}, errors.Join(fmt.Errorf("sent %.200q", p), err)
		}
		if e.Event != "pusher:connection_established" {
			return e, nil
		}
	}
}

// call is a request of Pusher's HTTP API, good and signed where nothing is set.
type call struct {
	app     string
	key     string
	path    string // below the app; "": /events
	body    string
	sent    string // another body than the one that was signed; "": the same
	late    time.Duration
	version string
	forged  bool // the signature is

	encoding string // Content-Encoding
}

// TestPusherAPI: what is wrong with a request, by HTTP status.
func TestPusherAPI(t *testing.T) {
	f := start(t)
	trigger := func(channel, data string) string {
		return fmt.Sprintf(`{"name":"e","channels":[%q],"data":%q}`, channel, data)
	}
	good := trigger("open-a", "1")
	long := strings.Repeat("c", 300)
	tests := []struct {
		name   string
		call   call
		status int
	}{
		{"good", call{body: good}, http.StatusOK},
		{"wrong app", call{app: "other", body: good}, http.StatusNotFound},
		{"wrong key", call{key: "other", body: good}, http.StatusUnauthorized},
		{"forged", call{body: good, forged: true}, http.StatusUnauthorized},
		{"another body", call{body: good, sent: trigger("open-a", "2")}, http.StatusUnauthorized},
		{"old", call{body: good, late: 11 * time.Minute}, http.StatusUnauthorized},
		{"of the future", call{body: good, late: -11 * time.Minute}, http.StatusUnauthorized},
		{"another version", call{body: good, version: "2.0"}, http.StatusUnauthorized},
		{"no JSON", call{body: "hello"}, http.StatusBadRequest},
		{"an array", call{body: "[]"}, http.StatusBadRequest},
		{"deeply nested", call{body: deep(100_000)}, http.StatusBadRequest},
		{"no name", call{body: `{"channels":["open-a"],"data":"1"}`}, http.StatusBadRequest},
		{"long name", call{body: `{"name":"` + long + `","channels":["open-a"],"data":"1"}`}, http.StatusBadRequest},
		{"no channel", call{body: `{"name":"e","data":"1"}`}, http.StatusBadRequest},
		{"long channel", call{body: trigger("open-"+long, "1")}, http.StatusBadRequest},
		{"channel with a space", call{body: trigger("a b", "1")}, http.StatusBadRequest},
		{"too many channels", call{body: `{"name":"e","data":"1","channels":[` + strings.Repeat(`"open-a",`, 200) + `"open-b"]}`}, http.StatusBadRequest},
		{"oversized event", call{body: trigger("open-a", strings.Repeat("x", 64<<10))}, http.StatusRequestEntityTooLarge},
		{"too many events", call{path: "/batch_events", body: `{"batch":[` + strings.Repeat(`{"name":"e","channel":"open-a","data":"1"},`, 50) + `{"name":"e","channel":"open-a","data":"1"}]}`}, http.StatusBadRequest},
		{"no such path", call{path: "/launch", body: "{}"}, http.StatusNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, text := f.trigger(t, tt.call)
			if status != tt.status {
				t.Errorf("HTTP %d, want %d: %.200s", status, tt.status, text)
			}
			quiet(t, text)
			if strings.Contains(text, pusherSecret) {
				t.Errorf("tells the secret: %s", text)
			}
			f.unharmed(t)
		})
	}
}

func (f *fixture) trigger(t *testing.T, c call) (status int, text string) {
	t.Helper()
	or := func(v, otherwise string) string {
		if v == "" {
			return otherwise
		}
		return v
	}
	path := "/apps/" + or(c.app, "bad-app") + or(c.path, "/events")
	sum := md5.Sum([]byte(c.body))
	query := "auth_key=" + or(c.key, pusherKey) + "&auth_timestamp=" + strconv.FormatInt(time.Now().Add(-c.late).Unix(), 10) +
		"&auth_version=" + or(c.version, "1.0") + "&body_md5=" + hex.EncodeToString(sum[:])
	signature := mac("POST\n" + path + "\n" + query)
	if c.forged {
		signature = strings.Repeat("0", len(signature))
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	url := "http://" + f.srv.Addr() + path + "?" + query + "&auth_signature=" + signature
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(or(c.sent, c.body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.encoding != "" {
		req.Header.Set("Content-Encoding", c.encoding)
	}
	res, err := f.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

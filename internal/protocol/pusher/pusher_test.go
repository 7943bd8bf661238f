package pusher

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// The examples of "Authentication and authorization signatures".
func TestSignatures(t *testing.T) {
	const key, secret = "278d425bdf160c739803", "7ad3773142a6692b25b8"
	tests := []struct{ text, want string }{
		{"1234.1234:private-foobar", "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"},
		{`1234.1234:presence-foobar:{"user_id":10,"user_info":{"name":"Mr. Channels"}}`, "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"},
		{`1234.1234::user::{"id":"12345"}`, "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"},
	}
	p := &client{p: New(Config{Keys: fakeKeys{key: secret, "another": secret}}), app: key}
	for _, tt := range tests {
		if got := Sign(secret, tt.text); got != tt.want {
			t.Errorf("signature of %s is %s, want %s", tt.text, got, tt.want)
		}
		if !p.authorized(key+":"+tt.want, tt.text) {
			t.Errorf("%s is not authorized", tt.text)
		}
		for _, bad := range []string{"", ":", key, key + ":", ":" + tt.want, key + ":" + tt.want[2:], key + ":" + tt.want + "00", key + "x:" + tt.want, "another:" + tt.want} {
			if p.authorized(bad, tt.text) {
				t.Errorf("%s is authorized by %q", tt.text, bad)
			}
		}
	}
}

// A key that becomes another App's while a connection opens does not bring its
// signatures into the App that the session was opened for.
func TestKeyChangesHandsWhileOpening(t *testing.T) {
	s := &fakeSession{errs: map[string]error{}, app: "default"}
	c := &client{p: New(Config{Keys: fakeKeys{"key": secret}}), s: s}
	c.open(Hello{Key: "key", Protocol: "7", Version: "8.0.0"})
	if s.ended == nil || s.ended.Code != CodeNoApp || len(s.calls) != 0 {
		t.Errorf("ended %+v, asked %q", s.ended, s.calls)
	}
}

func TestSocketIDs(t *testing.T) {
	for range 1000 {
		id := uuid.NewString()
		back, err := SessionID(SocketID(id))
		if err != nil || back != id {
			t.Fatalf("%s is %s is %s, %v", id, SocketID(id), back, err)
		}
	}
	for _, bad := range []string{"", ".", "1", "1.", ".2", "1.2.3", "a.2", "1.-2", "1. 2", "1,2"} {
		if id, err := SessionID(bad); !errors.Is(err, ErrBadSocketID) {
			t.Errorf("%q is session %s, %v", bad, id, err)
		}
	}
	if id, err := SessionID("99999999999999999999999.1"); err != nil || id != uuid.Nil.String() {
		t.Errorf("a number that is too large is session %s, %v", id, err)
	}
	if got := SocketID("nobody"); got != "" {
		t.Errorf("no session has socket id %q", got)
	}
}

func TestChannelNames(t *testing.T) {
	for _, good := range []string{"a", "private-x", "A-z_0=@,.;", strings.Repeat("x", 164), "#server-to-user-a:b c", "#server-to-user-é"} {
		if err := CheckChannel(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a:b", "a b", "é", "#x", "$x", "a/b", strings.Repeat("x", 165), "#server-to-user-\n", "#server-to-user-" + strings.Repeat("x", 255)} {
		if err := CheckChannel(bad); !errors.Is(err, ErrBadChannel) {
			t.Errorf("%q is a channel: %v", bad, err)
		}
	}
}

// Data goes into a publication, and comes out of it, as the same text; but a
// string that needs no quotes loses them.
func TestDataRoundTrip(t *testing.T) {
	tests := []struct{ text, data, back string }{
		{`{"a": 1}`, `{"a": 1}`, `{"a": 1}`},
		{"{\n\"a\":1}", `{"a":1}`, `{"a":1}`},
		{`[1,2]`, `[1,2]`, `[1,2]`},
		{`7`, `7`, `7`},
		{`null`, `null`, `null`},
		{`hello`, `"hello"`, `hello`},
		{``, `""`, ``},
		{`"hello"`, `"hello"`, `hello`},
		{`"7"`, `"7"`, `"7"`},
		{`"{\"a\":1}"`, `"{\"a\":1}"`, `"{\"a\":1}"`},
		{"tab\tand \"quote\" and \\ and \x01", `"tab\tand \"quote\" and \\ and \u0001"`, "tab\tand \"quote\" and \\ and \x01"},
		{"line\nbreak\r", `"line\nbreak\r"`, "line\nbreak\r"},
		{"héllo 世界 🎉", `"héllo 世界 🎉"`, "héllo 世界 🎉"},
		{"broken \xff\xc3", `"broken ` + "\ufffd\ufffd" + `"`, "broken \ufffd\ufffd"},
	}
	for _, tt := range tests {
		data := Data(tt.text)
		if string(data) != tt.data {
			t.Errorf("data of %q is %s, want %s", tt.text, data, tt.data)
		}
		if got := textOf(t, &engine.Publication{Data: data}); got != tt.back {
			t.Errorf("%q comes back as %q, want %q", tt.text, got, tt.back)
		}
	}
	if got := textOf(t, &engine.Publication{Data: []byte{0, 1, 2}, Binary: true}); got != "AAEC" {
		t.Errorf("bytes come out as %q", got)
	}
}

// textOf is an event's data as a client reads it.
func textOf(t *testing.T, pub *engine.Publication) string {
	t.Helper()
	var text string
	if err := json.Unmarshal(appendData(nil, pub), &text); err != nil {
		t.Errorf("%s: %v", appendData(nil, pub), err)
	}
	return text
}

func TestAppend(t *testing.T) {
	ann := &engine.ClientInfo{User: "ann", Client: "c1", ConnInfo: []byte(`{"n":1}`)}
	anonymous := &engine.ClientInfo{Client: "c2"}
	pub := func(event string, info *engine.ClientInfo) *engine.Publication {
		return &engine.Publication{Data: []byte(`{"x":1}`), Event: event, Info: info}
	}
	tests := []struct {
		name  string
		event hub.Event
		want  string
	}{
		{"publication", hub.Event{Kind: hub.EventPublication, Channel: "a", Publication: pub("e", nil)}, `{"event":"e","channel":"a","data":"{\"x\":1}"}`},
		{"no event name", hub.Event{Kind: hub.EventPublication, Channel: "a", Publication: pub("", nil)}, `{"event":"message","channel":"a","data":"{\"x\":1}"}`},
		{"a tag for it", hub.Event{Kind: hub.EventPublication, Channel: "a", Publication: &engine.Publication{Data: []byte("1"), Tags: map[string]string{"event": "e"}}}, `{"event":"e","channel":"a","data":"1"}`},
		{"a name of the protocol", hub.Event{Kind: hub.EventPublication, Channel: "a", Publication: pub("pusher:error", nil)}, `{"event":"message","channel":"a","data":"{\"x\":1}"}`},
		{"by a client", hub.Event{Kind: hub.EventPublication, Channel: "private-a", Publication: pub("e", ann)}, `{"event":"e","channel":"private-a","data":"{\"x\":1}"}`},
		{"by a member", hub.Event{Kind: hub.EventPublication, Channel: "presence-a", Publication: pub("e", ann)}, `{"event":"e","channel":"presence-a","data":"{\"x\":1}","user_id":"ann"}`},
		{"join", hub.Event{Kind: hub.EventJoin, Channel: "presence-a", Info: ann}, `{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"ann\",\"user_info\":{\"n\":1}}"}`},
		{"leave", hub.Event{Kind: hub.EventLeave, Channel: "presence-a", Info: anonymous}, `{"event":"pusher_internal:member_removed","channel":"presence-a","data":"{\"user_id\":\"c2\"}"}`},
		{"count", hub.Event{Kind: hub.EventCount, Channel: "a", Count: 3}, `{"event":"pusher_internal:subscription_count","channel":"a","data":"{\"subscription_count\":3}"}`},
		{"online", hub.Event{Kind: hub.EventOnline, Info: ann}, `{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"ann\"]}]}"}`},
		{"offline", hub.Event{Kind: hub.EventOffline, Info: ann}, `{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"ann\"]}]}"}`},
		{"nothing", hub.Event{}, ""},
	}
	p := New(Config{})
	for _, tt := range tests {
		if got := string(p.Append(nil, &tt.event)); got != tt.want {
			t.Errorf("%s is\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
}

// Every reason of the hub's becomes one that asks a client for the same.
func TestFarewell(t *testing.T) {
	tests := []struct {
		d    hub.Disconnect
		want uint32
	}{
		{hub.DisconnectShutdown, 4200},
		{hub.DisconnectServerError, 4200},
		{hub.DisconnectForceReconnect, 4200},
		{hub.DisconnectWriteError, 4200},
		{hub.DisconnectSlow, 4100},
		{hub.DisconnectTooManyRequests, 4100},
		{hub.DisconnectNoPong, 4201},
		{hub.DisconnectForced, 4009},
		{hub.DisconnectChannelLimit, 4009},
		{hub.Disconnect{Code: 4009}, 4009},
		{hub.Disconnect{Code: 4500}, 4500},
		{hub.Disconnect{Code: 1009}, 1009},
	}
	for _, tt := range tests {
		if got := farewell(tt.d); got.Code != tt.want || got.Reason != tt.d.Reason {
			t.Errorf("%d becomes %d %q, want %d", tt.d.Code, got.Code, got.Reason, tt.want)
		}
	}
}

func FuzzReceive(f *testing.F) {
	for _, seed := range []string{
		`{"event":"pusher:subscribe","data":{"channel":"private-x","auth":"key:00","channel_data":"{\"user_id\":1}"}}`,
		`{"event":"pusher:subscribe","data":"{\"channel\":\"room\"}"}`,
		`{"event":"pusher:signin","data":{"auth":"key:00","user_data":"{\"id\":\"1\",\"watchlist\":[1,\"2\"]}"}}`,
		`{"event":"client-x","channel":"private-x","data":"text"}`,
		`{"event":"pusher:ping","data":{}}`, `{"event":"x"}`, `[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		s := &fakeSession{errs: map[string]error{}}
		c := &client{p: New(Config{Keys: fakeKeys{"key": "s"}, ClientEvents: true}), app: "key", s: s, socket: socketID}
		c.receive(msg)
		for _, sent := range s.sent {
			if !json.Valid([]byte(sent)) {
				t.Errorf("%q is answered with %s, which is no JSON", msg, sent)
			}
		}
	})
}

func FuzzData(f *testing.F) {
	f.Add("hello")
	f.Add(`{"a":1}`)
	f.Add("\xff\"\\\n")
	f.Fuzz(func(t *testing.T, text string) {
		data := Data(text)
		if !json.Valid(data) || strings.ContainsAny(string(data), "\r\n") {
			t.Fatalf("data of %q is %q", text, data)
		}
		textOf(t, &engine.Publication{Data: data})
	})
}

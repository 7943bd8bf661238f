package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// Each method asks what the API documents, and reads what it documents.
func TestMethods(t *testing.T) {
	type ask = func(ctx context.Context, a *API) (any, error)
	nothing := func(err error) (any, error) { return nil, err }
	tests := []struct {
		method, request, result string
		ask                     ask
		want                    any
	}{
		{
			"publish", `{"channel":"a:b","data":{"x":"<é>"},"event":"e","tags":{"k":"v"},"idempotency_key":"1"}`,
			`{"offset":7,"epoch":"E","duplicate":true}`,
			func(ctx context.Context, a *API) (any, error) {
				return a.Publish(ctx, Message{Channel: "a:b", Data: json.RawMessage(`{"x": "<é>"}`), Event: "e", Tags: map[string]string{"k": "v"}, IdempotencyKey: "1"})
			},
			Published{Position{"E", 7}, true},
		},
		{
			"publish", `{"channel":"c","b64data":"AP8=","skip_history":true}`, `{}`,
			func(ctx context.Context, a *API) (any, error) {
				return a.Publish(ctx, Message{Channel: "c", Binary: []byte{0, 255}, SkipHistory: true})
			},
			Published{},
		},
		{
			"history", `{"channel":"c","limit":2,"since":{"epoch":"E","offset":3},"reverse":true}`,
			`{"publications":[{"data":1,"offset":2,"event":"e","time":9,"info":{"user":"u","client":"s"}},{"b64data":"AP8=","offset":1}],"offset":5,"epoch":"E","has_more":true}`,
			func(ctx context.Context, a *API) (any, error) {
				return a.History(ctx, "c", HistoryQuery{Limit: 2, Since: &Position{"E", 3}, Reverse: true})
			},
			History{[]Publication{
				{Data: json.RawMessage("1"), Offset: 2, Event: "e", Time: 9, Info: &SessionInfo{User: "u", Client: "s"}},
				{Binary: []byte{0, 255}, Offset: 1},
			}, Position{"E", 5}, true},
		},
		{
			"history_remove", `{"channel":"c"}`, `{}`,
			func(ctx context.Context, a *API) (any, error) { return nothing(a.RemoveHistory(ctx, "c")) }, nil,
		},
		{
			"presence_stats", `{"channel":"c"}`, `{"num_clients":3,"num_users":2}`,
			func(ctx context.Context, a *API) (any, error) { return a.PresenceStats(ctx, "c") },
			PresenceStats{3, 2},
		},
		{
			"info", `{}`, `{"nodes":[{"uid":"u","num_clients":1,"uptime":60}]}`,
			func(ctx context.Context, a *API) (any, error) { return a.Info(ctx) },
			[]Node{{UID: "u", Clients: 1, UptimeSeconds: 60}},
		},
		{
			"subscribe", `{"user":"u","channel":"c"}`, `{}`,
			func(ctx context.Context, a *API) (any, error) {
				return nothing(a.Subscribe(ctx, Target{User: "u"}, "c"))
			}, nil,
		},
		{
			"unsubscribe", `{"user":"u","client":"s","channel":""}`, `{}`,
			func(ctx context.Context, a *API) (any, error) {
				return nothing(a.Unsubscribe(ctx, Target{"u", "s"}, ""))
			}, nil,
		},
		{
			"disconnect", `{"user":"u","disconnect":{"code":4000,"reason":"r"}}`, `{}`,
			func(ctx context.Context, a *API) (any, error) {
				return nothing(a.Disconnect(ctx, Target{User: "u"}, &Disconnect{4000, "r"}))
			}, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.method, func(t *testing.T) {
			a := apiServer(t, func(method string, body map[string]any) (int, string) {
				var want map[string]any
				if err := json.Unmarshal([]byte(tt.request), &want); err != nil {
					t.Error(err)
				}
				if method != tt.method || !reflect.DeepEqual(body, want) {
					t.Errorf("asked %s %v, want %s %v", method, body, tt.method, want)
				}
				return http.StatusOK, `{"result":` + tt.result + `}`
			})
			got, err := tt.ask(testContext(t), a)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestListsAreReadPageByPage(t *testing.T) {
	a := apiServer(t, func(method string, body map[string]any) (int, string) {
		switch {
		case method == "presence" && body["cursor"] == nil:
			return http.StatusOK, `{"result":{"presence":{"a":{"user":"u","client":"a"}},"next_cursor":"a"}}`
		case method == "presence" && body["cursor"] == "a":
			return http.StatusOK, `{"result":{"presence":{"b":{"user":"","client":"b"}}}}`
		case method == "channels" && body["cursor"] == nil && body["pattern"] == "x*":
			return http.StatusOK, `{"result":{"channels":{"x1":{"num_clients":1}},"next_cursor":"x1"}}`
		case method == "channels" && body["cursor"] == "x1" && body["pattern"] == "x*":
			return http.StatusOK, `{"result":{"channels":{"x2":{"num_clients":2}}}}`
		}
		t.Errorf("asked %s %v", method, body)
		return http.StatusBadRequest, ""
	})
	members, err := a.Presence(testContext(t), "c")
	if err != nil || len(members) != 2 || members["a"].User != "u" {
		t.Errorf("presence %v, %v", members, err)
	}
	channels, err := a.Channels(testContext(t), "x*")
	if err != nil || !reflect.DeepEqual(channels, map[string]int{"x1": 1, "x2": 2}) {
		t.Errorf("channels %v, %v", channels, err)
	}
}

func TestBroadcast(t *testing.T) {
	reply := `{"result":{"responses":[{"result":{"offset":1,"epoch":"E"}},{"error":{"code":102,"message":"unknown channel"}}]}}`
	a := apiServer(t, func(string, map[string]any) (int, string) { return http.StatusOK, reply })
	out, err := a.Broadcast(testContext(t), []string{"a", "b"}, Message{Data: json.RawMessage("1")})
	if err != nil || out[0].Err != nil || out[0].Offset != 1 || CodeOf(out[1].Err) != CodeUnknownChannel {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := a.Broadcast(testContext(t), []string{"a"}, Message{Data: json.RawMessage("1")}); err == nil {
		t.Error("two responses for one channel are no error")
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name   string
		status int
		reply  string
		want   Error
	}{
		{"in the body", 200, `{"error":{"code":102,"message":"unknown channel"}}`, Error{Code: 102, Message: "unknown channel", Status: 200}},
		{"temporary", 429, `{"error":{"code":111,"message":"m","temporary":true}}`, Error{Code: 111, Message: "m", Temporary: true, Status: 429}},
		{"internal", 500, `{"error":{"code":100,"message":"m","temporary":true,"request_id":"r"}}`, Error{Code: 100, Message: "m", Temporary: true, Status: 500, RequestID: "r"}},
		{"proxy", 502, `<html>`, Error{Message: "Bad Gateway", Temporary: true, Status: 502}},
		{"elsewhere", 404, ``, Error{Message: "Not Found", Status: 404}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := apiServer(t, func(string, map[string]any) (int, string) { return tt.status, tt.reply })
			_, err := a.Info(testContext(t))
			var got *Error
			if !errors.As(err, &got) || *got != tt.want {
				t.Errorf("%v, want %+v", err, tt.want)
			}
		})
	}
}

func TestRepliesThatAreNone(t *testing.T) {
	for _, reply := range []string{``, `hello`, `{}`, `{"result":[]}`} {
		a := apiServer(t, func(string, map[string]any) (int, string) { return http.StatusOK, reply })
		if _, err := a.Info(testContext(t)); err == nil || CodeOf(err) != 0 {
			t.Errorf("%q: %v", reply, err)
		}
	}
}

func TestMessagesThatAreNone(t *testing.T) {
	a := apiServer(t, func(string, map[string]any) (int, string) {
		t.Error("asked")
		return http.StatusOK, ""
	})
	for _, m := range []Message{{}, {Data: json.RawMessage("{")}, {Data: json.RawMessage("1"), Binary: []byte("x")}} {
		if _, err := a.Publish(testContext(t), m); err == nil {
			t.Errorf("%+v was published", m)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	peers := make(map[string]bool)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peers[r.RemoteAddr] = true
		_, _ = w.Write([]byte(`{"result":{}}`))
	}))
	defer srv.Close()
	a, err := NewAPI(srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for range 5 {
		if err := a.RemoveHistory(testContext(t), "c"); err != nil {
			t.Fatal(err)
		}
	}
	if len(peers) != 1 {
		t.Errorf("%d connections", len(peers))
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct{ addr, api, ws string }{
		{"127.0.0.1:8000", "http://127.0.0.1:8000/api/", "ws://127.0.0.1:8000/connection/websocket"},
		{"https://x/push/", "https://x/push/api/", "wss://x/push/connection/websocket"},
		{"ws://x", "", "ws://x/connection/websocket"},
		{"wss://x/other", "", "wss://x/other"},
		{"ftp://x", "", ""},
		{"http://", "", ""},
		{"a b", "", ""},
	}
	for _, tt := range tests {
		base, url := "", ""
		if a, err := NewAPI(tt.addr, ""); err == nil {
			base = a.base
		}
		if s, err := NewSubscriber(tt.addr, SubscriberConfig{Channels: []Channel{{Name: "c"}}}); err == nil {
			url = s.url
		}
		if base != tt.api || url != tt.ws {
			t.Errorf("%s: %q, %q", tt.addr, base, url)
		}
	}
}

func TestErrorsReadWell(t *testing.T) {
	for want, err := range map[string]error{
		"m (code 102)":               &Error{Code: 102, Message: "m"},
		"m (code 100, request r)":    &Error{Code: 100, Message: "m", RequestID: "r"},
		"HTTP 502: Bad Gateway":      &Error{Status: 502, Message: "Bad Gateway"},
		"channel c: m (code 103)":    &SubscribeError{"c", &Error{Code: 103, Message: "m"}},
		"publish: a message needs":   publishNothing(t),
		"data is not JSON: give it ": (&Pipeline{}).Publish(Message{Data: json.RawMessage("x")}),
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

func publishNothing(t *testing.T) error {
	t.Helper()
	_, err := (&API{}).Publish(testContext(t), Message{})
	return err
}

func TestDataStaysAsItWas(t *testing.T) {
	b, err := encode(message{Data: json.RawMessage(`"<a&b>é"`)})
	if err != nil || !bytes.Contains(b, []byte(`"<a&b>é"`)) {
		t.Errorf("%s, %v", b, err)
	}
}

package apps

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// ways are all there are to listen to the channel room of an App. sub is what a
// listener hears once it is subscribed.
var ways = []struct {
	name, subscribed string
	listen           func(a *app) *heard
}{
	{"websocket", `"connect"`, func(a *app) *heard {
		to, _ := a.h.listen("/connection/websocket?app="+a.name, `{"id":1,"connect":{"token":"`+a.token("zoe")+`"}}`)
		return to
	}},
	{"uni_websocket", `"connect"`, func(a *app) *heard {
		to, _ := a.h.listen("/connection/uni_websocket?app="+a.name, `{"token":"`+a.token("zoe")+`"}`)
		return to
	}},
	{"http_stream", `"connect"`, func(a *app) *heard {
		return a.h.stream(http.MethodPost, "/connection/http_stream?app="+a.name, `{"id":1,"connect":{"token":"`+a.token("zoe")+`"}}`)
	}},
	{"uni_http_stream", `"connect"`, func(a *app) *heard {
		return a.h.stream(http.MethodPost, "/connection/uni_http_stream?app="+a.name, `{"token":"`+a.token("zoe")+`"}`)
	}},
	{"sse", `"connect"`, func(a *app) *heard {
		return a.h.stream(http.MethodGet, "/connection/sse?app="+a.name+"&cf_connect="+url.QueryEscape(`{"id":1,"connect":{"token":"`+a.token("zoe")+`"}}`), "")
	}},
	{"uni_sse", `"connect"`, func(a *app) *heard {
		return a.h.stream(http.MethodGet, "/connection/uni_sse?app="+a.name+"&cf_uni_connect="+url.QueryEscape(`{"token":"`+a.token("zoe")+`"}`), "")
	}},
	{"plain sse", "200 OK", func(a *app) *heard {
		return a.h.stream(http.MethodGet, "/sse?channel=room&app="+a.name, "", "Authorization", "Bearer "+a.token("zoe"))
	}},
	{"pusher", "subscription_succeeded", func(a *app) *heard {
		to, _ := a.h.listen("/app/"+a.signID+"?protocol=7", `{"event":"pusher:subscribe","data":{"channel":"room"}}`)
		return to
	}},
	{"xhr", "subscription_succeeded", func(a *app) *heard {
		session := fmt.Sprintf("/pusher/app/%s/123/%s-xhr/", a.signID, a.name)
		to := a.h.stream(http.MethodPost, session+"xhr_streaming?protocol=7", "")
		to.await("connection_established")
		a.h.stream(http.MethodPost, session+"xhr_send", `["{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"room\"}}"]`).await("204")
		return to
	}},
}

// Whatever listens to a channel of one App hears nothing that is published to the
// channel of the same name in another, whoever publishes it there.
func TestNothingIsHeardAcross(t *testing.T) {
	h := open(t)
	red, blue := h.createApp("red", ""), h.createApp("blue", "")
	for i, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			sub := *h
			sub.t = t
			red, blue := *red, *blue
			red.h, blue.h = &sub, &sub
			to := way.listen(&red)
			to.await(way.subscribed)

			// One of blue's clients, which publishes once it is subscribed.
			theirs, c := sub.listen("/connection/websocket?app=blue", `{"id":1,"connect":{"token":"`+blue.token("ben")+`"}}`)
			theirs.await(`"connect"`)
			if err := c.Send(t.Context(), `{"id":2,"publish":{"channel":"room","data":{"foreign":"client"}}}`); err != nil {
				t.Fatal(err)
			}
			theirs.await(`"id":2,"publish"`)
			sub.must(blue.keys["publish"], "publish", `{"channel":"room","data":{"foreign":"api"}}`, nil)
			sub.must(blue.keys["publish"], "batch", `{"commands":[{"publish":{"channel":"room","data":{"foreign":"batch"}}}]}`, nil)
			sub.must(blue.keys["publish"], "broadcast", `{"channels":["room"],"data":{"foreign":"broadcast"}}`, nil)
			if status, reply := blue.pusher(http.MethodPost, "blue", "/events", `{"name":"e","channels":["room"],"data":"{\"foreign\":\"pusher\"}"}`, nil); status != http.StatusOK {
				t.Fatalf("%d %s", status, reply)
			}
			sub.must(blue.keys["admin"], "disconnect", `{"user":"zoe"}`, nil)
			sub.must(blue.keys["admin"], "unsubscribe", `{"user":"zoe","channel":"room"}`, nil)

			mark := fmt.Sprintf("mark%d", i)
			sub.must(red.keys["publish"], "publish", `{"channel":"room","data":{"own":"`+mark+`"}}`, nil)
			if all := to.await(mark); strings.Contains(all, "foreign") || strings.Contains(all, "ben") {
				t.Errorf("heard %s", all)
			}
		})
	}
	t.Run("poll", func(t *testing.T) {
		sub := *h
		sub.t = t
		poll := func(position string) string {
			return sub.stream(http.MethodGet, "/poll?channel=room&wait=0&app=red&position="+url.QueryEscape(position), "", "Authorization", "Bearer "+red.token("zoe")).await("end")
		}
		_, rest, _ := strings.Cut(poll(""), `"position":"`)
		position, _, _ := strings.Cut(rest, `"`)
		sub.must(blue.keys["publish"], "publish", `{"channel":"room","data":{"foreign":"api"}}`, nil)
		sub.must(red.keys["publish"], "publish", `{"channel":"room","data":{"own":"polled"}}`, nil)
		if got := poll(position); strings.Contains(got, "foreign") || !strings.Contains(got, "polled") {
			t.Errorf("polled from %s: %s", position, got)
		}
	})
}

// No App is let in by what another has signed, on any transport, and who names an
// App that there is not is told so.
func TestNobodyEntersAcross(t *testing.T) {
	h := open(t)
	red, blue := h.createApp("red", ""), h.createApp("blue", "")
	thief := *blue // has red's name and blue's keys
	thief.name = "red"
	homeless := *blue
	homeless.name = ""
	nowhere := *blue
	nowhere.name = "none"
	for _, way := range ways {
		if way.name == "pusher" || way.name == "xhr" { // whose address is the key
			continue
		}
		t.Run(way.name, func(t *testing.T) {
			sub := *h
			sub.t = t
			for _, a := range []*app{&thief, &homeless} {
				a := *a
				a.h = &sub
				all := way.listen(&a).await(refusalOf(way.name))
				if strings.Contains(all, `"client":"`) {
					t.Errorf("let in: %s", all)
				}
			}
			if strings.Contains(way.name, "websocket") { // whose dial is refused
				return
			}
			nowhere := nowhere
			nowhere.h = &sub
			way.listen(&nowhere).await("404 Not Found")
		})
	}
	for _, path := range []string{"/connection/websocket?app=none", "/connection/uni_websocket?app=none"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.Addr()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			req.Header.Set(name, value)
		}
		res, err := h.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	// A subscription token of another App.
	to, c := h.listen("/connection/websocket?app=red", `{"id":1,"connect":{"token":"`+red.token("zoe")+`"}}`)
	to.await(`"connect"`)
	if err := c.Send(t.Context(), `{"id":2,"subscribe":{"channel":"chat:other","token":"`+blue.sign(map[string]any{"sub": "zoe", "channel": "chat:other"})+`"}}`); err != nil {
		t.Fatal(err)
	}
	to.await(`"id":2,"error"`)
}

// refusalOf is what says that a token is none, in the words of a transport.
func refusalOf(way string) string {
	switch way {
	case "websocket", "http_stream", "sse":
		return `invalid token`
	case "plain sse":
		return "401"
	}
	return "3500"
}

// Pusher's clients and HTTP API: a signature is good for the App of its key alone.
func TestPusherAcross(t *testing.T) {
	h := open(t)
	red, blue := h.createApp("red", ""), h.createApp("blue", "")
	to, c := h.listen("/app/" + red.signID + "?protocol=7")
	all := to.await("connection_established")
	_, rest, _ := strings.Cut(all, `socket_id\":\"`)
	socket, _, _ := strings.Cut(rest, `\"`)
	say := func(text string) {
		t.Helper()
		if err := c.Send(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	say(`{"event":"pusher:subscribe","data":{"channel":"private-room","auth":"` + blue.signID + ":" + blue.mac(socket+":private-room") + `"}}`)
	to.await("subscription_error")
	say(`{"event":"pusher:subscribe","data":{"channel":"private-room","auth":"` + red.signID + ":" + blue.mac(socket+":private-room") + `"}}`)
	say(`{"event":"pusher:subscribe","data":{"channel":"room-marker"}}`)
	if all := to.await(`room-marker`); strings.Count(all, "subscription_error") != 2 || strings.Contains(all, `subscription_succeeded","data":"{}","channel":"private`) {
		t.Errorf("%s", all)
	}
	for _, ask := range []struct {
		by            *app
		of            string
		method, path  string
		body          string
		want          int
		shows, hidden string
	}{
		{red, "red", http.MethodGet, "/channels", "", 200, "room-marker", ""},
		{blue, "blue", http.MethodGet, "/channels", "", 200, "", "room-marker"},
		{blue, "red", http.MethodGet, "/channels", "", 401, "", "room-marker"},
		{blue, "red", http.MethodGet, "/channels/room-marker", "", 401, "", "occupied"},
		{blue, "blue", http.MethodGet, "/channels/room-marker", "", 200, `"occupied":false`, ""},
		{blue, "red", http.MethodPost, "/events", `{"name":"e","channels":["room-marker"],"data":"1"}`, 401, "", ""},
		{blue, "red", http.MethodPost, "/batch_events", `{"batch":[{"name":"e","channel":"room-marker","data":"1"}]}`, 401, "", ""},
		{blue, "red", http.MethodPost, "/users/zoe/terminate_connections", `{}`, 401, "", ""},
		{blue, "1", http.MethodGet, "/channels", "", 401, "", ""},
		{blue, "none", http.MethodGet, "/channels", "", 404, "", ""},
	} {
		status, reply := ask.by.pusher(ask.method, ask.of, ask.path, ask.body, nil)
		if status != ask.want || !strings.Contains(reply, ask.shows) || ask.hidden != "" && strings.Contains(reply, ask.hidden) {
			t.Errorf("%s asks %s %s of %s: %d %s", ask.by.name, ask.method, ask.path, ask.of, status, reply)
		}
	}
	say(`{"event":"pusher:signin","data":{"auth":"` + blue.signID + ":" + blue.mac(socket+`::user::{"id":"zoe"}`) + `","user_data":"{\"id\":\"zoe\"}"}}`)
	to.await("4009")
}

// The server API: history, presence, lists, counts and administration are those of
// the key's App.
func TestAPIAcross(t *testing.T) {
	h := open(t)
	red, blue := h.createApp("red", ""), h.createApp("blue", "")
	to, _ := h.listen("/connection/websocket?app=red", `{"id":1,"connect":{"token":"`+red.token("zoe")+`"}}`)
	to.await(`"connect"`)
	h.must(red.keys["publish"], "publish", `{"channel":"room","data":"secret of red"}`, nil)
	for _, ask := range []struct{ method, body string }{
		{"history", `{"channel":"room","limit":10}`},
		{"presence", `{"channel":"room"}`},
		{"presence_stats", `{"channel":"room"}`},
		{"channels", `{}`},
		{"info", `{}`},
		{"apps", `{}`},
	} {
		for key, sees := range map[string]bool{red.keys["read"]: true, blue.keys["read"]: false} {
			reply, err := h.as(key).Post(t.Context(), ask.method, []byte(ask.body))
			if err != nil || reply.Error != nil {
				t.Fatalf("%s: %v %v", ask.method, err, reply)
			}
			text := string(reply.Result)
			seen := strings.Contains(text, "secret of red") || strings.Contains(text, "zoe") || strings.Contains(text, `"room"`) ||
				strings.Contains(text, `"num_clients":1`) || strings.Contains(text, `"num_users":1`) || strings.Contains(text, `"red"`)
			if seen != sees {
				t.Errorf("%s: %s", ask.method, text)
			}
		}
	}
	for _, ask := range []struct {
		scope, method, body string
		want                int
	}{
		{"publish", "history", `{"channel":"room"}`, 103},
		{"publish", "disconnect", `{"user":"zoe"}`, 103},
		{"publish", "key_create", `{"scope":"admin"}`, 103},
		{"read", "publish", `{"channel":"room","data":1}`, 103},
		{"read", "history_remove", `{"channel":"room"}`, 103},
		{"read", "keys", `{}`, 103},
		{"admin", "app_create", `{"app":"mine"}`, 103},
		{"admin", "app_remove", `{"app":"blue"}`, 103},
		{"admin", "keys", `{"app":"red"}`, 103},
		{"admin", "key_revoke", `{"app":"red","id":"` + red.signID + `"}`, 103},
		{"admin", "key_revoke", `{"id":"` + red.signID + `"}`, 104},
		{"admin", "key_create", `{"scope":"sign","id":"` + red.signID + `"}`, 103},
		{"sign", "publish", `{"channel":"room","data":1}`, 101},
	} {
		if code := h.refused(blue.keys[ask.scope], ask.method, ask.body); code != ask.want {
			t.Errorf("%s with the key for %s: code %d, want %d", ask.method, ask.scope, code, ask.want)
		}
	}
	for _, scope := range []string{"publish", "read", "admin"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.Addr()+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", blue.keys[scope])
		res, err := h.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("/metrics with the key for %s: %s", scope, res.Status)
		}
	}
	h.must(red.keys["publish"], "publish", `{"channel":"room","data":"still here"}`, nil)
	to.await("still here")
}

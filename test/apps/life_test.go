package apps

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// Keys and namespaces hold at once, and after kill -9.
func TestChangesHoldAtOnceAndAfterKill(t *testing.T) {
	h := open(t)
	red := h.createApp("red", "")
	before := *red
	h.must(red.keys["admin"], "key_rotate", `{"id":"`+red.signID+`","overlap":"1h"}`, &struct{ Secret *string }{&red.signSecret})
	enter := func(what string, a *app, want string) {
		t.Helper()
		to, _ := h.listen("/connection/websocket?app=red", `{"id":1,"connect":{"token":"`+a.token("zoe")+`"}}`)
		t.Log(what)
		to.await(want)
	}
	check := func(when string) {
		t.Helper()
		enter(when+", the secret before", &before, `"connect"`)
		enter(when+", the new secret", red, `"connect"`)
		h.must(red.keys["publish"], "publish", `{"channel":"chat:1","data":1}`, nil)
	}
	check("at once")
	h.Kill()
	h.start()
	check("after kill -9")

	h.must(red.keys["admin"], "key_rotate", `{"id":"`+red.signID+`","overlap":"0s"}`, &struct{ Secret *string }{&red.signSecret})
	enter("without overlap, an old secret", &before, "invalid token")
	enter("without overlap, the new secret", red, `"connect"`)
	h.must(red.keys["admin"], "key_revoke", `{"id":"`+red.signID+`"}`, nil)
	h.must(red.keys["admin"], "namespace_remove", `{"name":"chat"}`, nil)
	gone := func(when string) {
		t.Helper()
		enter(when+", a revoked key", red, "invalid token")
		if code := h.refused(red.keys["publish"], "publish", `{"channel":"chat:1","data":1}`); code != 102 {
			t.Errorf("%s, a namespace that was removed: code %d", when, code)
		}
	}
	gone("at once")
	h.Kill()
	h.start()
	gone("after kill -9")
}

// An App that is removed is left by its clients, and opens to nobody.
func TestRemovedApp(t *testing.T) {
	h := open(t)
	red, blue := h.createApp("red", ""), h.createApp("blue", "")
	to, _ := h.listen("/connection/websocket?app=red", `{"id":1,"connect":{"token":"`+red.token("zoe")+`"}}`)
	other, _ := h.listen("/connection/websocket?app=blue", `{"id":1,"connect":{"token":"`+blue.token("zoe")+`"}}`)
	pushed, _ := h.listen("/app/" + red.signID + "?protocol=7")
	to.await(`"connect"`)
	other.await(`"connect"`)
	pushed.await("connection_established")
	h.must(operatorKey, "app_remove", `{"app":"red"}`, nil)
	to.await("closed with 3503")
	pushed.await("closed with 4")
	if code := h.refused(red.keys["publish"], "publish", `{"channel":"room","data":1}`); code != 101 {
		t.Errorf("its key: code %d", code)
	}
	h.stream(http.MethodGet, "/sse?channel=room&app=red", "").await("404 Not Found")
	again, _ := h.listen("/app/" + red.signID + "?protocol=7")
	again.await("4001")
	if code := h.refused(operatorKey, "app_create", `{"app":"red"}`); code != 107 {
		t.Errorf("its name is used again, for whom its history would be: code %d", code)
	}
	h.must(blue.keys["publish"], "publish", `{"channel":"room","data":"still here"}`, nil)
	other.await("still here")
}

// A full disk keeps no key in force and no App in place.
func TestRevocationOnAFullDisk(t *testing.T) {
	h := open(t)
	red, blue := h.createApp("red", ""), h.createApp("blue", "")
	h.Kill()
	h.env = []string{"FANFARE_STORE_RESERVE_SIZE=1PiB"} // more than any disk has free
	h.start()
	const post = `{"channel":"chat:1","data":1}`
	if code := h.refused(red.keys["publish"], "publish", post); code != 111 {
		t.Fatalf("the disk is not full: code %d", code)
	}
	if code := h.refused(red.keys["admin"], "key_create", `{"scope":"read"}`); code != 111 {
		t.Errorf("a key is made: code %d", code)
	}
	enter := func(want string) {
		t.Helper()
		to, _ := h.listen("/connection/websocket?app=red", `{"id":1,"connect":{"token":"`+red.sign(jwt.MapClaims{"sub": "zoe"})+`"}}`)
		to.await(want)
	}
	enter(`"connect"`)
	h.must(red.keys["admin"], "key_revoke", `{"id":"`+red.signID+`"}`, nil)
	h.must(operatorKey, "app_remove", `{"app":"blue"}`, nil)
	check := func(when string) {
		t.Helper()
		t.Log(when)
		enter("invalid token")
		if code := h.refused(blue.keys["publish"], "publish", post); code != 101 {
			t.Errorf("%s, a key of an App that was removed: code %d", when, code)
		}
	}
	check("at once")
	h.Kill()
	h.start()
	check("after kill -9")
}

// An App that has as much history as it may is refused more, also after kill -9, and
// costs no other App anything.
func TestHistoryOfApps(t *testing.T) {
	h := open(t)
	red, blue := h.createApp("red", `,"history_bytes":50000`), h.createApp("blue", "")
	post := `{"channel":"room","data":"` + strings.Repeat("x", 1000) + `"}`
	stored, code := 0, 0
	for ; code == 0 && stored < 100; stored++ {
		code = h.refused(red.keys["publish"], "publish", post)
	}
	if stored--; code != 106 || stored < 40 || stored > 50 {
		t.Fatalf("after %d of a thousand bytes: code %d", stored, code)
	}
	to, _ := h.listen("/connection/websocket?app=red", `{"id":1,"connect":{"token":"`+red.token("zoe")+`"}}`+"\n"+`{"id":2,"publish":{"channel":"room","data":1}}`)
	to.await(`"code":106`)
	h.Kill()
	h.start()
	if code := h.refused(red.keys["publish"], "publish", post); code != 106 {
		t.Errorf("after kill -9: code %d", code)
	}
	var kept struct{ Publications []struct{ Offset int } }
	h.must(red.keys["read"], "history", `{"channel":"room","limit":1000}`, &kept)
	if len(kept.Publications) != stored {
		t.Errorf("%d publications, %d were stored", len(kept.Publications), stored)
	}
	h.must(blue.keys["publish"], "publish", post, nil)
	var list struct {
		Apps []struct {
			Name            string
			HistoryBytes    int `json:"history_bytes"`
			NumHistoryBytes int `json:"num_history_bytes"`
		}
	}
	h.must(red.keys["read"], "apps", `{}`, &list)
	if a := list.Apps[0]; a.Name != "red" || a.HistoryBytes != 50_000 || a.NumHistoryBytes < 50_000 || a.NumHistoryBytes > 52_000 {
		t.Errorf("%+v", a)
	}
	h.must(red.keys["admin"], "history_remove", `{"channel":"room"}`, nil)
	h.must(red.keys["publish"], "publish", post, nil)
}

// Limits are an App's own: what one uses up is not missed by another.
func TestLimitsOfApps(t *testing.T) {
	h := open(t)
	red, blue := h.createApp("red", `,"connections":1,"publishes":1`), h.createApp("blue", "")
	first, _ := h.listen("/connection/websocket?app=red", `{"id":1,"connect":{"token":"`+red.token("zoe")+`"}}`)
	first.await(`"connect"`)
	second, _ := h.listen("/connection/websocket?app=red", `{"id":1,"connect":{"token":"`+red.token("ben")+`"}}`)
	second.await("closed with 3013")
	refused := 0
	for range 20 {
		if h.refused(red.keys["publish"], "publish", `{"channel":"room","data":1}`) == 111 {
			refused++
		}
	}
	if refused == 0 {
		t.Error("20 publications at once, at one in a second and a burst of 5")
	}
	other, _ := h.listen("/connection/websocket?app=blue", `{"id":1,"connect":{"token":"`+blue.token("ben")+`"}}`)
	other.await(`"connect"`)
	for range 20 {
		h.must(blue.keys["publish"], "publish", `{"channel":"room","data":1}`, nil)
	}
	h.must(operatorKey, "app_update", `{"app":"red"}`, nil)
	third, _ := h.listen("/connection/websocket?app=red", `{"id":1,"connect":{"token":"`+red.token("ben")+`"}}`)
	third.await(`"connect"`)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.Addr()+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", operatorKey)
	res, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`fanfare_app_connections{app="red"} 2`, `fanfare_app_connections{app="blue"} 1`, `fanfare_app_connections{app="default"} 0`,
		`fanfare_app_publications_total{app="blue"} 20`, `fanfare_limited_total{limit="connections_per_app"} 1`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

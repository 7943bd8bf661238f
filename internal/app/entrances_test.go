package app

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// apart is a server with an address of its own for backends.
func apart(t *testing.T, flags map[string]string) *running {
	t.Helper()
	all := map[string]string{"internal.listen": "127.0.0.1:0", "api.key": "k", "app.id": "1", "app.key": "pk", "app.secret": "s"}
	for key, value := range flags {
		all[key] = value
	}
	return start(t, settings(t, all))
}

// at asks one of a server's addresses.
func at(t *testing.T, client *http.Client, method, address, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", "k")
	res, err := client.Do(req)
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

// With internal.listen, what is for backends and operators is found there alone,
// right key or not, and what is for clients at both.
func TestTwoListeners(t *testing.T) {
	r := apart(t, nil)
	inner := []struct{ method, path string }{
		{"GET", "/"},
		{"GET", "/compare"},
		{"GET", "/static/app.js"},
		{"GET", "/admin/access"},
		{"GET", "/admin/channels"},
		{"POST", "/admin/login"},
		{"GET", "/metrics"},
		{"POST", "/api/info"},
		{"POST", "/api/publish"},
		{"GET", "/api/openapi.json"},
		{"POST", "/apps/1/events"},
		{"GET", "/apps/1/channels"},
		{"GET", "/nowhere"},
		{"POST", "//api/publish"},
		{"POST", "/connection/../api/publish"},
		{"POST", "/sse/../api/publish"},
	}
	for _, tt := range inner {
		if status, body := at(t, r.http, tt.method, r.Addr(), tt.path); status != http.StatusNotFound || strings.Contains(body, "error") {
			t.Errorf("%s %s is found by clients: %d %.100s", tt.method, tt.path, status, body)
		}
		if status, body := at(t, r.http, tt.method, r.InternalAddr(), tt.path); status == http.StatusNotFound && !strings.Contains(body, "error") {
			t.Errorf("%s %s is not found inside: %d %.100s", tt.method, tt.path, status, body)
		}
	}
	for path, want := range map[string]int{
		"/connection/websocket": 426, "/connection/uni_websocket": 426, "/connection/http_stream": 405, "/connection/sse": 0, "/emulation": 405,
		"/connection/uni_sse": 0, "/connection/uni_http_stream": 405, "/sse": 400, "/poll": 400, "/app/pk": 426,
		"/pusher/app/pk/1/a/xhr": 0, "/client.js": 200, "/client.d.ts": 200, "/health": 200, "/ready": 200,
	} {
		for _, address := range []string{r.Addr(), r.InternalAddr()} {
			if status, body := at(t, r.http, "GET", address, path); status == http.StatusNotFound || want != 0 && status != want {
				t.Errorf("%s at %s: %d %.100s", path, address, status, body)
			}
		}
	}
	if one := start(t, settings(t, nil)); one.InternalAddr() != "" {
		t.Error("there is an internal address without the setting")
	}
}

// What is named as for clients is there: a name that is mistyped opens nothing.
func TestClientPathsExist(t *testing.T) {
	r := apart(t, nil)
	mux, err := r.routes("")
	if err != nil {
		t.Fatal(err)
	}
	for pattern := range clientPaths {
		method, path, named := strings.Cut(pattern, " ")
		if !named {
			method, path = http.MethodGet, pattern
		}
		path = strings.NewReplacer("{key}", "k", "{server}", "1", "{session}", "a").Replace(path)
		req, err := http.NewRequestWithContext(context.Background(), method, path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if _, found := mux.Handler(req); found != pattern {
			t.Errorf("%s is served as %q", pattern, found)
		}
	}
}

// The fast way of busy backends works on whichever listener has the API.
func TestBusyBackendInside(t *testing.T) {
	r := apart(t, map[string]string{"client.allow_anonymous": "true"})
	for range 40 {
		body := strings.NewReader(`{"channel":"news","data":{}}`)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.InternalAddr()+"/api/publish", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", "k")
		req.Header.Set("Content-Type", "application/json")
		res, err := r.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(answer), "result") {
			t.Fatalf("%d %s %v", res.StatusCode, answer, err)
		}
	}
	if status, body := at(t, r.http, "GET", r.InternalAddr(), "/metrics"); status != http.StatusOK || !strings.Contains(body, `fanfare_publications_total{result="ok",source="api"} 40`) {
		t.Error("40 publications are not counted")
	}
}

package admin

import (
	"encoding/json"
	"net/http"
	"testing"
)

// asker is where a request comes from and what it brings.
type asker struct {
	name   string
	peer   string // "": loopback
	host   string // "": loopback
	header map[string]string
	want   verdict
}

func (a asker) request(path string) *http.Request {
	r := local(http.MethodGet, path)
	if a.peer != "" {
		r.RemoteAddr = a.peer
	}
	if a.host != "" {
		r.Host = a.host
	}
	for name, value := range a.header {
		r.Header.Set(name, value)
	}
	return r
}

func TestAccessInDev(t *testing.T) {
	check(t, Config{Dev: true, Operator: keyed("dev")}, []asker{
		{name: "a program", want: granted},
		{name: "IPv6", peer: "[::1]:4711", host: "[::1]:8000", want: granted},
		{name: "IPv6 without a port", peer: "[::1]:4711", host: "[::1]", want: granted},
		{name: "IPv4 in IPv6", peer: "[::ffff:127.0.0.1]:4711", want: granted},
		{name: "localhost", host: "LocalHost:8000", want: granted},
		{name: "our page", header: map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8000"}, want: granted},
		{name: "typed by the user", header: map[string]string{"Sec-Fetch-Site": "none"}, want: granted},
		{name: "another machine", peer: "192.0.2.7:4711", want: wrongPeer},
		{name: "another machine with the key", peer: "192.0.2.7:4711", header: map[string]string{"X-API-Key": "dev"}, want: wrongPeer},
		{name: "a name that was pointed here", host: "evil.example:8000", want: wrongPeer},
		{name: "a name that looks local", host: "localhost.evil.example", want: wrongPeer},
		{name: "no host", host: ":8000", want: wrongPeer},
		{name: "a page of another site", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, want: wrongPeer},
		{name: "a page of another port", header: map[string]string{"Sec-Fetch-Site": "same-site"}, want: wrongPeer},
		{name: "another origin", header: map[string]string{"Origin": "http://evil.example"}, want: wrongPeer},
		{name: "an opaque origin", header: map[string]string{"Origin": "null"}, want: wrongPeer},
		{name: "through a proxy", header: map[string]string{"X-Forwarded-For": "192.0.2.7"}, want: wrongPeer},
		{name: "through a proxy of RFC 7239", header: map[string]string{"Forwarded": "for=192.0.2.7"}, want: wrongPeer},
	})
}

func TestAccessWithKey(t *testing.T) {
	check(t, Config{Operator: keyed("secret")}, []asker{
		{name: "nothing", want: needsKey},
		{name: "the key", header: map[string]string{"X-API-Key": "secret"}, want: granted},
		{name: "the key from afar", peer: "192.0.2.7:4711", host: "push.example", header: map[string]string{"X-API-Key": "secret"}, want: granted},
		{name: "a wrong key", header: map[string]string{"X-API-Key": "secreT"}, want: needsKey},
		{name: "a longer key", header: map[string]string{"X-API-Key": "secrets"}, want: needsKey},
		{name: "the key as a scheme", header: map[string]string{"Authorization": "apikey secret"}, want: granted},
		{name: "a wrong key as a scheme", header: map[string]string{"Authorization": "apikey secreT"}, want: needsKey},
	})
}

func TestAccessWithoutKeyConfigured(t *testing.T) {
	check(t, Config{}, []asker{
		{name: "nothing", want: off},
		{name: "an empty key", header: map[string]string{"X-API-Key": ""}, want: off},
		{name: "any key", header: map[string]string{"X-API-Key": "x"}, want: off},
	})
}

// check asks each path that has a guard, and what /admin/access says of it.
func check(t *testing.T, cfg Config, askers []asker) {
	t.Helper()
	status := map[verdict]int{
		granted: http.StatusOK, needsKey: http.StatusUnauthorized, off: http.StatusForbidden, wrongPeer: http.StatusForbidden,
	}
	refusals := map[verdict]Refusal{needsKey: RefusedKey, off: RefusedKey, wrongPeer: RefusedPeer}
	for _, a := range askers {
		t.Run(a.name, func(t *testing.T) {
			var refused []Refusal
			cfg.Refused = func(_ *http.Request, why Refusal) { refused = append(refused, why) }
			h := newHandler(cfg, &fakeHub{})
			w := get(h, a.request("/admin/access"))
			var reply struct {
				Access verdict
				Dev    bool
			}
			if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != http.StatusOK {
				t.Fatalf("/admin/access answers %d %s", w.Code, w.Body)
			}
			if reply.Access != a.want || reply.Dev != cfg.Dev {
				t.Errorf("access is %+v, want %s", reply, a.want)
			}
			if wrong := a.want == needsKey && a.header != nil; len(refused) > 0 != wrong {
				t.Errorf("asking counted %v; only a wrong key is refused", refused)
			}
			refused = nil
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q", got)
			}
			r := a.request("/admin/live")
			r.Method = http.MethodHead // a stream without end otherwise
			for _, w := range []int{get(h, a.request("/admin/channels")).Code, get(h, r).Code} {
				if w != status[a.want] {
					t.Errorf("a guarded path answers %d, want %d", w, status[a.want])
				}
			}
			if why, ok := refusals[a.want]; ok && (len(refused) != 2 || refused[0] != why || refused[1] != why) {
				t.Errorf("counted %v, want %s twice", refused, why)
			} else if !ok && len(refused) != 0 {
				t.Errorf("counted %v, want nothing", refused)
			}
		})
	}
}

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// appCalls are made one after the other.
var appCalls = []struct {
	method, body, result string
	audited              string // "": it is not
}{
	{"app_create", `{"app":"shop","connections":5,"publishes":6,"history_bytes":7,"allow_anonymous":true}`, `{}`, "app_create shop"},
	{"app_update", `{"app":"shop","connections":7,"history_bytes":1125899906842624}`, `{}`, "app_update shop"},
	{"key_create", `{"app":"shop","id":"k1","scope":"sign"}`, `{"id":"k1","scope":"sign","secret":S}`, "key_create shop key k1, scope sign"},
	{"key_create", `{"app":"shop","id":"k2","scope":"publish"}`, `{"id":"k2","scope":"publish","secret":S}`, "key_create shop key k2, scope publish"},
	{"key_rotate", `{"app":"shop","id":"k1","overlap":"1h"}`, `{"id":"k1","secret":S,"previous_until":T}`, "key_rotate shop key k1"},
	{"keys", `{"app":"shop"}`, `{"keys":[{"id":"k1","scope":"sign","created":T,"previous_until":T},{"id":"k2","scope":"publish","created":T}]}`, ""},
	{"key_revoke", `{"app":"shop","id":"k2"}`, `{}`, "key_revoke shop key k2"},
	{"namespace_set", `{"app":"shop","namespace":{"name":"chat","presence":true}}`, `{}`, "namespace_set shop namespace chat"},
	{"namespaces", `{"app":"shop"}`, `{"namespaces":[{"namespace":{"name":"chat","presence":true}}]}`, ""},
	{
		"apps", ``, `{"apps":[` +
			`{"name":"acme","connections":0,"publishes":0,"history_bytes":0,"num_keys":1,"num_namespaces":1,"num_clients":0,"num_users":0,"num_channels":0,"num_subs":0,"num_published":0,"num_history_bytes":0},` +
			`{"name":"default","fixed":true,"connections":0,"publishes":0,"history_bytes":0,"num_keys":1,"num_namespaces":0,"num_clients":3,"num_users":2,` +
			`"num_channels":1,"num_subs":4,"num_published":5,"num_history_bytes":0},` +
			`{"name":"shop","connections":7,"publishes":0,"history_bytes":1125899906842624,"num_keys":1,"num_namespaces":1,"num_clients":7,"num_users":0,"num_channels":0,"num_subs":0,"num_published":0,"num_history_bytes":0}]}`, "",
	},
	{"namespace_remove", `{"app":"shop","name":"chat"}`, `{}`, "namespace_remove shop namespace chat"},
	{"keys", ``, `{"keys":[{"id":"api.key","scope":"operator","fixed":true}]}`, ""},
	{"app_remove", `{"app":"shop"}`, `{}`, "app_remove shop"},
}

var (
	secrets = regexp.MustCompile(`"secret":"[^"]{30,}"`)
	times   = regexp.MustCompile(`"(created|previous_until)":"20[^"]*Z"`)
)

func TestAppCalls(t *testing.T) {
	f := newFixture(Limits{})
	for _, c := range appCalls {
		got := secrets.ReplaceAllString(f.good(t, c.method, c.body), `"secret":S`)
		if got = times.ReplaceAllString(got, `"$1":T`); got != c.result {
			t.Errorf("%s %s\n%s, want\n%s", c.method, c.body, got, c.result)
		}
	}
}

func TestAppsAreAudited(t *testing.T) {
	f, a := audited()
	for _, c := range appCalls {
		a.told = nil
		f.good(t, c.method, c.body)
		told := strings.Join(a.told, " ")
		action, detail, _ := strings.Cut(c.audited, " ")
		app, detail, _ := strings.Cut(detail, " ")
		if c.audited == "" && told != "" || c.audited != "" && (!strings.HasPrefix(told, action+" "+app+" ") || !strings.Contains(told, detail)) {
			t.Errorf("%s: told %q, want %q", c.method, told, c.audited)
		}
	}
}

func TestAppErrors(t *testing.T) {
	f := newFixture(Limits{})
	f.good(t, "app_create", `{"app":"shop"}`)
	f.good(t, "key_create", `{"app":"shop","id":"mine","scope":"admin"}`)
	for _, tt := range []struct {
		method, body string
		status       int
		text         string
	}{
		{"app_create", `{"app":"shop"}`, http.StatusConflict, "there is one already"},
		{"app_create", `{"app":"a/b"}`, http.StatusBadRequest, "must match"},
		{"app_create", `{}`, http.StatusBadRequest, "must match"},
		{"app_create", `{"app":"x","connections":-1}`, http.StatusBadRequest, "connections must be"},
		{"app_update", `{"app":"default"}`, http.StatusConflict, "in the settings"},
		{"app_update", `{"app":"none"}`, http.StatusNotFound, "there is none"},
		{"app_remove", `{"app":"default"}`, http.StatusConflict, "in the settings"},
		{"keys", `{"app":"none"}`, http.StatusNotFound, "no app of this name"},
		{"key_create", `{"app":"shop","scope":"all"}`, http.StatusBadRequest, `scope "all" is none, there are publish, read, admin and sign`},
		{"key_create", `{"app":"shop","scope":"operator"}`, http.StatusBadRequest, "api.key of the settings"},
		{"key_create", `{"app":"shop","scope":"read","id":"mine"}`, http.StatusConflict, "there is one already"},
		{"key_create", `{"app":"shop","scope":"read","id":"api.key"}`, http.StatusBadRequest, "must match"},
		{"key_rotate", `{"id":"api.key"}`, http.StatusConflict, "in the settings"},
		{"key_rotate", `{"app":"shop","id":"mine","overlap":"1"}`, http.StatusBadRequest, "duration"},
		{"key_rotate", `{"app":"shop","id":"mine","overlap":"9000h"}`, http.StatusBadRequest, "0 to"},
		{"namespace_set", `{"namespace":{"name":"big","channel_regex":"` + strings.Repeat("a", tenant.MaxNamespaceBytes) + `"}}`, http.StatusRequestEntityTooLarge, "bytes"},
		{"key_revoke", `{"id":"api.key"}`, http.StatusConflict, "in the settings"},
		{"key_revoke", `{"id":"mine"}`, http.StatusNotFound, "there is none"},
		{"namespace_set", `{"namespace":{"name":"a b"}}`, http.StatusBadRequest, "must match"},
		{"namespace_set", `{"namespace":1}`, http.StatusBadRequest, "namespace: must be an object"},
		{"namespace_remove", `{"name":"none"}`, http.StatusNotFound, "there is none"},
	} {
		status, e := f.refused(t, post(tt.method, tt.body, header("X-Centrifugo-Error-Mode", "transport")))
		if status != tt.status || !strings.Contains(e.Message, tt.text) {
			t.Errorf("%s %s: HTTP %d %q, want %d and %q", tt.method, tt.body, status, e.Message, tt.status, tt.text)
		}
	}
}

// A key of one App finds out nothing about another, not even whether it is there,
// and changes nothing there.
func TestKeysOfOtherApps(t *testing.T) {
	f := newFixture(Limits{})
	var made struct{ Secret string }
	for _, app := range []string{"shop", "other"} {
		f.good(t, "app_create", `{"app":"`+app+`"}`)
		f.good(t, "key_create", `{"app":"`+app+`","id":"sign-`+app+`","scope":"sign"}`)
		if err := json.Unmarshal([]byte(f.good(t, "key_create", `{"app":"`+app+`","id":"admin-`+app+`","scope":"admin"}`)), &made); err != nil {
			t.Fatal(err)
		}
	}
	as := header("X-API-Key", made.Secret) // of other
	for _, method := range []string{"keys", "key_create", "key_rotate", "key_revoke", "namespaces", "namespace_set", "namespace_remove"} {
		there, e := f.refused(t, post(method, `{"app":"shop","id":"sign-shop","scope":"read"}`, as))
		missing, e2 := f.refused(t, post(method, `{"app":"none","id":"sign-shop","scope":"read"}`, as))
		if there != missing || e != e2 || e.Code != 103 {
			t.Errorf("%s: %d %+v of an app that there is, %d %+v of one that there is not", method, there, e, missing, e2)
		}
	}
	for _, method := range []string{"app_create", "app_update", "app_remove"} {
		if _, e := f.refused(t, post(method, `{"app":"other"}`, as)); e.Code != 103 {
			t.Errorf("%s: %+v", method, e)
		}
	}
	if _, e := f.refused(t, post("key_revoke", `{"id":"sign-shop"}`, as)); e.Code != 104 {
		t.Errorf("another app's key by its id: %+v", e)
	}
	for method, hidden := range map[string][]string{"apps": {"shop", "default"}, "keys": {"shop", "api.key"}, "info": {`"num_clients":1,`}} {
		_, body := f.call(t, post(method, `{}`, as))
		for _, text := range hidden {
			if strings.Contains(body, text) {
				t.Errorf("%s shows %s: %s", method, text, body)
			}
		}
	}
	if _, body := f.call(t, post("dead_letters", `{}`, as)); !strings.Contains(body, `"events":[]`) {
		t.Errorf("dead letters of the default app: %s", body)
	}
	// Ids are of all Apps together: nobody but the operator chooses them.
	if _, e := f.refused(t, post("key_create", `{"scope":"sign","id":"free"}`, as)); e.Code != 103 {
		t.Errorf("an id of one's own: %+v", e)
	}
	if _, body := f.call(t, post("key_create", `{"scope":"sign"}`, as)); !strings.Contains(body, `"secret"`) {
		t.Error(body)
	}
	if f.apps.App("shop") == nil || len(f.apps.App("shop").Keys) != 2 {
		t.Errorf("%+v", f.apps.App("shop"))
	}
	if _, body := f.call(t, post("channels", `{}`, as)); !strings.Contains(body, "channels") {
		t.Error(body)
	}
	if q, ok := f.hub.questions()[0].(hub.ChannelQuery); !ok || q.App != "other" {
		t.Errorf("asked %+v", f.hub.questions())
	}
}

// A secret is shown when it is made, and is nowhere afterwards.
func TestSecretsAreShownOnce(t *testing.T) {
	f, a := audited()
	var made struct{ Secret string }
	if err := json.Unmarshal([]byte(f.good(t, "key_create", `{"id":"k","scope":"admin"}`)), &made); err != nil {
		t.Fatal(err)
	}
	if err := f.apps.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	everything := f.good(t, "keys", ``) + f.good(t, "apps", ``) + f.log.String() + strings.Join(a.told, "\n")
	if made.Secret == "" || strings.Contains(everything, made.Secret) {
		t.Errorf("%q is in %s", made.Secret, everything)
	}
	if app, k, found := f.apps.Caller(made.Secret); !found || app.Name != channel.DefaultApp || k.Scope != tenant.Admin {
		t.Errorf("%v %v", app, k)
	}
}

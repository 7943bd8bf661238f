package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// fakeAuditor writes down what it is told.
type fakeAuditor struct {
	err  error
	told []string
}

func (f *fakeAuditor) Begin(e audit.Entry) (func(audit.Outcome, string), error) {
	f.told = append(f.told, fmt.Sprintf("%s %s ch=%q user=%q client=%q detail=%q key=%s from=%s",
		e.Action, e.App, e.Target.Channel, e.Target.User, e.Target.Client, e.Detail, e.KeyID, e.Remote))
	if f.err != nil {
		return nil, f.err
	}
	return func(o audit.Outcome, problem string) {
		f.told = append(f.told, strings.TrimSpace(string(o)+" "+problem))
	}, nil
}

func (f *fakeAuditor) Refuse(e audit.Entry, problem string) {
	f.told = append(f.told, fmt.Sprintf("key %s from=%s for=%s: %s", e.KeyID, e.Remote, e.Target.Method, problem))
}

func audited() (*fixture, *fakeAuditor) {
	f, a := newFixture(Limits{}), &fakeAuditor{}
	f.handler.auditor = a
	return f, a
}

// who is how a request of the tests is known.
var who = " key=" + audit.KeyID(testKey) + " from=192.0.2.1:1234"

func TestActionsAreAudited(t *testing.T) {
	tests := []struct {
		method, body string
		want         []string // "" after the first: ok
	}{
		{"subscribe", `{"channel":"c","user":"u"}`, []string{`subscribe default ch="c" user="u" client="" detail=""`}},
		{"unsubscribe", `{"channel":"c","user":"u","client":"x"}`, []string{`unsubscribe default ch="c" user="u" client="x" detail=""`}},
		{"disconnect", `{"user":"u"}`, []string{`disconnect default ch="" user="u" client="" detail=""`}},
		{
			"disconnect", `{"user":"u","whitelist":["a"],"disconnect":{"code":4000,"reason":"be\ngone"}}`,
			[]string{`disconnect default ch="" user="u" client="" detail="code 4000, reason \"be\\ngone\", except 1 sessions"`},
		},
		{"disconnect", `{"user":"u","whitelist":["a","b"]}`, []string{`disconnect default ch="" user="u" client="" detail="except 2 sessions"`}},
		{"refresh", `{"user":"u","expired":true}`, []string{`refresh default ch="" user="u" client="" detail=""`}},
		{"history_remove", `{"channel":"c"}`, []string{`history_remove default ch="c" user="" client="" detail=""`}},
		{
			"batch", `{"commands":[{"publish":{"channel":"c","data":1}},{"disconnect":{"user":"a"}},{"info":{}},{"history_remove":{"channel":"c"}}]}`,
			[]string{`disconnect default ch="" user="a" client="" detail=""`, `history_remove default ch="c" user="" client="" detail=""`},
		},
		{"history_import", `{"pieces":["YQ==","YQ=="]}`, []string{`history_import default ch="" user="" client="" detail="2 pieces"`}},
		{"publish", `{"channel":"c","data":1}`, nil},
		{"broadcast", `{"channels":["c"],"data":1}`, nil},
		{"presence", `{"channel":"c"}`, nil},
		{"presence_stats", `{"channel":"c"}`, nil},
		{"history", `{"channel":"c"}`, nil},
		{"channels", `{}`, nil},
		{"info", `{}`, nil},
		{"dead_letters", `{}`, nil},
		{"cluster", `{}`, nil},
		{"drain", `{}`, []string{`drain default ch="" user="" client="" detail=""`}},
		{"drain", `{"rate":5}`, []string{`drain default ch="" user="" client="" detail="rate 5"`}},
	}
	seen := map[string]bool{"rpc": true} // none is defined
	for _, c := range appCalls {         // see TestAppsAreAudited
		seen[c.method] = true
	}
	for _, tt := range tests {
		f, a := audited()
		f.good(t, tt.method, tt.body)
		var want []string
		for _, line := range tt.want {
			want = append(want, line+who, "ok")
		}
		if !slices.Equal(a.told, want) {
			t.Errorf("%s %s: told\n%s\nwant\n%s", tt.method, tt.body, strings.Join(a.told, "\n"), strings.Join(want, "\n"))
		}
		seen[tt.method] = true
	}
	f, _ := audited()
	for _, name := range methodNames(f.handler) {
		if !seen[name] {
			t.Errorf("say of %s whether it is audited", name)
		}
	}
}

func TestOutcomesAreAudited(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{hub.ErrShutdown, "refused shutting down: nothing was stored, try another node or later"},
		{errors.New("a disk at /secret/path"), "failed see the server's log"},
		{http.ErrHandlerTimeout, "failed see the server's log"},
	}
	for _, tt := range tests {
		f, a := audited()
		f.hub.err = tt.err
		f.call(t, post("disconnect", `{"user":"u"}`))
		if len(a.told) != 2 || a.told[1] != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, a.told, tt.want)
		}
	}
	f, a := audited()
	f.call(t, post("disconnect", `{"user":""}`))
	if len(a.told) != 2 || a.told[1] != "refused user or client is required" {
		t.Errorf("%q", a.told)
	}
}

func TestUnwrittenActionIsNotDone(t *testing.T) {
	f, a := audited()
	a.err = audit.ErrUnwritten
	status, e := f.refused(t, post("disconnect", `{"user":"u"}`, header("X-Centrifugo-Error-Mode", "transport")))
	if status != http.StatusServiceUnavailable || !e.Temporary || !strings.Contains(e.Message, "audit log") {
		t.Errorf("%d %+v", status, e)
	}
	if _, body := f.call(t, post("batch", `{"commands":[{"disconnect":{"user":"u"}}]}`)); !strings.Contains(body, "audit log") {
		t.Error(body)
	}
	if asked := f.hub.questions(); len(asked) > 0 {
		t.Errorf("it was done: %+v", asked)
	}
	if f.good(t, "publish", `{"channel":"c","data":1}`) == "" {
		t.Error("a publish needs no audit log")
	}
}

// A key that is not for what is asked is written down with its App, in a batch, too.
func TestRefusedScopesAreAudited(t *testing.T) {
	f, a := audited()
	var made struct{ Secret string }
	if err := json.Unmarshal([]byte(f.good(t, "key_create", `{"scope":"read"}`)), &made); err != nil {
		t.Fatal(err)
	}
	a.told = nil
	as := header("X-API-Key", made.Secret)
	f.call(t, post("publish", `{"channel":"a","data":1}`, as))
	f.call(t, post("batch", `{"commands":[{"info":{}},{"disconnect":{"user":"u"}}]}`, as))
	who := "key " + audit.KeyID(made.Secret) + " from=192.0.2.1:1234 for="
	want := []string{
		who + "publish: this key has the scope read, and this takes one with the scope publish",
		who + "disconnect: this key has the scope read, and this takes one with the scope admin",
	}
	if !slices.Equal(a.told, want) {
		t.Errorf("%q\nwant %q", a.told, want)
	}
}

func TestRefusedKeysAreAudited(t *testing.T) {
	f, a := audited()
	f.call(t, post("disconnect", `{"user":"u"}`, header("X-API-Key", "guess\r\nX: y")))
	f.call(t, post("publish", `{}`, header("X-API-Key", "")))
	f.call(t, post("info", `{}`, header("X-API-Key", ""), header("Authorization", "apikey other")))
	want := []string{
		"key " + audit.KeyID("guess\r\nX: y") + " from=192.0.2.1:1234 for=disconnect: wrong API key",
		"key  from=192.0.2.1:1234 for=publish: give the API key in the header X-API-Key",
		"key " + audit.KeyID("other") + " from=192.0.2.1:1234 for=info: wrong API key",
	}
	if !slices.Equal(a.told, want) {
		t.Errorf("%q\nwant %q", a.told, want)
	}
}

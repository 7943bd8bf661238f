package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/tenant"
)

// A key does what its scope says, also within a batch, and nothing else.
func TestScopes(t *testing.T) {
	keys := fakeKeys{
		"publishes": {"shop", tenant.Publish}, "reads": {"shop", tenant.Read}, "rules": {"shop", tenant.Admin}, "operates": operatorOf("shop"),
	}
	allowed := map[tenant.Scope][]string{
		tenant.Publish: {"publishes", "rules", "operates"}, tenant.Read: {"reads", "rules", "operates"},
		tenant.Admin: {"rules", "operates"}, tenant.Operator: {"operates"}, anyScope: {"publishes", "reads", "rules", "operates"},
	}
	f := newFixture(Limits{})
	f.handler.keys = keys
	for _, name := range methodNames(f.handler) {
		scope, said := scopes[name]
		if !said {
			t.Errorf("%s: no scope is asked for", name)
		}
		for key := range keys {
			may := false
			for _, k := range allowed[scope] {
				may = may || k == key
			}
			_, body := f.call(t, post(name, `{}`, header("X-API-Key", key)))
			refused := strings.Contains(body, `"code":103`) && strings.Contains(body, "this key has the scope")
			if refused == may {
				t.Errorf("%s with the key that %s: %s", name, key, body)
			}
			if name == "batch" {
				continue
			}
			_, inBatch := f.call(t, post("batch", `{"commands":[{"`+name+`":{}}]}`, header("X-API-Key", key)))
			if refused := strings.Contains(inBatch, "this key has the scope"); refused == may {
				t.Errorf("%s in a batch with the key that %s: %s", name, key, inBatch)
			}
		}
	}
}

// What a key may not do is not done by the way that does not wait either.
func TestScopesOfBegin(t *testing.T) {
	f := newFixture(Limits{})
	f.handler.keys = fakeKeys{"reads": {"shop", tenant.Read}, "publishes": {"shop", tenant.Publish}}
	for key, want := range map[string]bool{"reads": false, "publishes": true, "": false, "neither": false} {
		if got := f.handler.Begin(key, "", []byte(`{"channel":"a","data":1}`), func([]byte) {}); got != want {
			t.Errorf("%q begins: %t", key, got)
		}
	}
	if n := len(f.hub.questions()); n != 1 {
		t.Errorf("%d were published", n)
	}
}

// A key is refused before the body is read.
func TestScopeIsAskedForFirst(t *testing.T) {
	f := newFixture(Limits{})
	f.handler.keys = fakeKeys{"reads": {"shop", tenant.Read}}
	if status, e := f.refused(t, post("publish", `{`, header("X-API-Key", "reads"))); status != http.StatusForbidden || e.Code != 103 {
		t.Errorf("HTTP %d, %+v", status, e)
	}
}

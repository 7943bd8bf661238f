package pusherapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/audit"
)

// fakeAuditor writes down what it is told.
type fakeAuditor struct {
	err  error
	told []string
}

func (f *fakeAuditor) Begin(e audit.Entry) (func(audit.Outcome, string), error) {
	f.told = append(f.told, fmt.Sprintf("%s %s %q key=%s from=%s", e.Action, e.App, e.Target.User, e.KeyID, e.Remote))
	if f.err != nil {
		return nil, f.err
	}
	return func(o audit.Outcome, _ string) { f.told = append(f.told, string(o)) }, nil
}

func (f *fakeAuditor) Refuse(e audit.Entry, problem string) {
	f.told = append(f.told, fmt.Sprintf("refused key=%s for=%s: %.30s", e.KeyID, e.Target.Method, problem))
}

func TestAudit(t *testing.T) {
	const path = "/apps/app/users/ann/terminate_connections"
	terminate := func(forge func(url.Values)) *http.Request {
		return request{method: http.MethodPost, path: path, forge: forge}.signed()
	}
	what := `disconnect default "ann" key=` + audit.KeyID(testKey) + " from=192.0.2.1:1234"
	tests := []struct {
		name   string
		r      *http.Request
		hubErr error
		err    error
		status int
		told   []string
		done   bool
	}{
		{"done", terminate(nil), nil, nil, 200, []string{what, "ok"}, true},
		{"failed", terminate(nil), errors.New("broken"), nil, 500, []string{what, "failed"}, true},
		{"unwritten", terminate(nil), nil, audit.ErrUnwritten, 503, []string{what}, false},
		{
			"forged", terminate(func(q url.Values) { q.Set("auth_signature", strings.Repeat("0", 64)) }), nil, nil, 401,
			[]string{"refused key=" + audit.KeyID(testKey) + " for=" + path + ": auth_signature is not that of "},
			false,
		},
	}
	for _, tt := range tests {
		h, a := &fakeHub{err: tt.hubErr}, &fakeAuditor{err: tt.err}
		if w := answer(h, Config{Auditor: a}, tt.r); w.Code != tt.status {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
		if !slices.Equal(a.told, tt.told) || len(h.asked) > 0 != tt.done {
			t.Errorf("%s: told %q, asked %q", tt.name, a.told, h.asked)
		}
	}
}

package api

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/limit"
)

// perSecond lets each key ask so often, on a clock that stands still.
func perSecond(n int64) Allow {
	keys := limit.NewSet[string](limit.Rate{PerSecond: n, Burst: n}, 0)
	return func(key string) (time.Duration, bool) { return keys.Take(0, key, 1) }
}

// A key that asks too often is told when to try again, and nothing is done; what
// the key was not right for is not counted against it.
func TestTooManyRequests(t *testing.T) {
	f := newFixture(Limits{})
	f.handler.allow = perSecond(2)
	ask := func(method, key, authorization string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		f.handler.ServeHTTP(rec, post(method, `{"channel":"a","data":1}`, header("X-API-Key", key), header("Authorization", authorization)))
		return rec
	}
	for range 3 {
		if rec := ask("publish", "wrong", ""); rec.Code != 401 {
			t.Errorf("wrong key: %d", rec.Code)
		}
	}
	for _, header := range []string{"", "apikey " + testKey} { // one key, wherever it stands
		key := testKey
		if header != "" {
			key = ""
		}
		if rec := ask("publish", key, header); rec.Code != 200 {
			t.Errorf("%d: %s", rec.Code, rec.Body)
		}
	}
	asked := len(f.hub.questions())
	rec := ask("publish", testKey, "")
	want := `{"error":{"code":111,"message":"too many requests with this API key: nothing was done, try again","temporary":true}}`
	if rec.Code != 429 || rec.Header().Get("Retry-After") != "1" || rec.Body.String() != want {
		t.Errorf("%d, Retry-After %q: %s", rec.Code, rec.Header().Get("Retry-After"), rec.Body)
	}
	if rec := ask("info", testKey, ""); rec.Code != 429 {
		t.Errorf("another method: %d", rec.Code)
	}
	if asked != 2 || len(f.hub.questions()) != 0 {
		t.Error("what was refused was done")
	}
}

// Begin takes from the same rate, and leaves the refusal to ServeHTTP. What it
// leaves for another reason it has taken nothing for.
func TestBeginTakesFromTheSameRate(t *testing.T) {
	f := newFixture(Limits{})
	f.handler.allow = perSecond(2)
	begin := func(body string) bool { return f.handler.Begin(testKey, "", []byte(body), func([]byte) {}) }
	serve := func(body string) int {
		rec := httptest.NewRecorder()
		f.handler.ServeHTTP(rec, post("publish", body))
		return rec.Code
	}
	const good = `{"channel":"a","data":1}`
	if begin("{") || !begin(good) || serve(good) != 200 {
		t.Error("refused within the rate")
	}
	if begin(good) || serve(good) != 429 {
		t.Error("let through beyond the rate")
	}
}

func TestRetryAfterTheWait(t *testing.T) {
	for wait, want := range map[time.Duration]string{0: "1", time.Millisecond: "1", time.Second: "1", 1500 * time.Millisecond: "2", time.Minute: "60"} {
		f := newFixture(Limits{})
		f.handler.allow = func(string) (time.Duration, bool) { return wait, false }
		rec := httptest.NewRecorder()
		f.handler.ServeHTTP(rec, post("publish", "{}"))
		if got := rec.Header().Get("Retry-After"); got != want {
			t.Errorf("%s: %q, want %q", wait, got, want)
		}
	}
}

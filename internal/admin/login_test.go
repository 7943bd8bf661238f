package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const rightPassword = "the right password"

// desk is a handler with a login, and what it refuses.
type desk struct {
	*Handler

	t       *testing.T
	log     bytes.Buffer
	refused []Refusal
}

func newDesk(t *testing.T, change func(*Config)) *desk {
	t.Helper()
	d := &desk{t: t}
	cfg := Config{
		Operator: keyed("secret"),
		Password: func(s string) bool { return s == rightPassword },
		Client: func(r *http.Request) netip.Prefix {
			a := netip.MustParseAddrPort(r.RemoteAddr).Addr()
			return netip.PrefixFrom(a, a.BitLen())
		},
		Refused: func(_ *http.Request, why Refusal) { d.refused = append(d.refused, why) },
	}
	if change != nil {
		change(&cfg)
	}
	d.Handler = New(cfg, &fakeHub{}, slog.New(slog.NewTextHandler(&d.log, nil)))
	return d
}

func post(path, body string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "192.0.2.7:4711", "push.example"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "http://push.example")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func body(password string) string {
	b, _ := json.Marshal(map[string]string{"password": password})
	return string(b)
}

// signIn gives the cookie and the CSRF token.
func (d *desk) signIn(header ...string) (*http.Cookie, string) {
	d.t.Helper()
	w := get(d, post("/admin/login", body(rightPassword), header...))
	var reply struct{ Access, CSRF string }
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != http.StatusOK || reply.Access != "granted" || reply.CSRF == "" {
		d.t.Fatalf("login answers %d %s", w.Code, w.Body)
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		d.t.Fatalf("login sets %v", cookies)
	}
	return cookies[0], reply.CSRF
}

// lists is the status of a list that is asked for with a cookie.
func (d *desk) lists(c *http.Cookie, header ...string) int {
	r := post("/admin/channels", "", header...)
	r.Method = http.MethodGet
	if c != nil {
		r.AddCookie(c)
	}
	return get(d, r).Code
}

func (d *desk) expectRefused(want ...Refusal) {
	d.t.Helper()
	if fmt.Sprint(d.refused) != fmt.Sprint(want) {
		d.t.Errorf("counted %v, want %v", d.refused, want)
	}
	d.refused = nil
}

func TestLogin(t *testing.T) {
	d := newDesk(t, nil)
	cookie, csrf := d.signIn()
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/admin/" || cookie.Secure || cookie.Domain != "" ||
		cookie.MaxAge != int(defaultSessionTTL/time.Second) || len(cookie.Value) < 40 {
		t.Errorf("the cookie is %+v", cookie)
	}
	if status := d.lists(cookie); status != http.StatusOK {
		t.Errorf("lists with the cookie: %d", status)
	}
	for name, status := range map[string]int{"nothing": d.lists(nil), "another cookie": d.lists(&http.Cookie{Name: cookieName, Value: cookie.Value[1:]})} {
		if status != http.StatusUnauthorized {
			t.Errorf("lists with %s: %d", name, status)
		}
	}
	if status := d.lists(nil, "X-API-Key", "secret"); status != http.StatusOK {
		t.Errorf("lists with the API key: %d", status)
	}
	d.refused = nil

	// The page is told what it needs, and only with the cookie.
	r := local(http.MethodGet, "/admin/access")
	if got := get(d, r).Body.String(); got != `{"access":"login"}`+"\n" {
		t.Errorf("without the cookie access says %s", got)
	}
	r.AddCookie(cookie)
	if got := get(d, r).Body.String(); !strings.Contains(got, `"granted"`) || !strings.Contains(got, csrf) {
		t.Errorf("with the cookie access says %s", got)
	}

	out := post("/admin/logout", "{}", "X-CSRF-Token", csrf)
	out.AddCookie(cookie)
	w := get(d, out)
	if gone := w.Result().Cookies(); w.Code != http.StatusOK || len(gone) != 1 || gone[0].MaxAge >= 0 || gone[0].Value != "" {
		t.Errorf("logout answers %d with %v", w.Code, gone)
	}
	if status := d.lists(cookie); status != http.StatusUnauthorized {
		t.Errorf("lists after logout: %d", status)
	}
	if log := d.log.String(); !strings.Contains(log, "signed in") || !strings.Contains(log, "signed out") || strings.Contains(log, cookie.Value) || strings.Contains(log, rightPassword) {
		t.Errorf("the log says\n%s", log)
	}
}

// The cookie stays with TLS where the browser uses it, be it that of a proxy.
func TestSecureCookie(t *testing.T) {
	d := newDesk(t, nil)
	if cookie, _ := d.signIn("Origin", "https://push.example"); !cookie.Secure {
		t.Error("a proxy speaks TLS, and the cookie goes over plain connections")
	}
}

func TestNoLogin(t *testing.T) {
	for name, d := range map[string]*desk{
		"no password": newDesk(t, func(c *Config) { c.Password = nil }),
		"dev":         newDesk(t, func(c *Config) { c.Dev = true }),
	} {
		if w := get(d, post("/admin/login", body(rightPassword))); w.Code != http.StatusNotFound {
			t.Errorf("%s: login answers %d", name, w.Code)
		}
	}
	only := newDesk(t, func(c *Config) { c.Operator = nil })
	cookie, _ := only.signIn()
	if status := only.lists(cookie); status != http.StatusOK {
		t.Errorf("without an API key: %d", status)
	}
	if status := only.lists(nil, "X-API-Key", ""); status != http.StatusUnauthorized {
		t.Errorf("with an empty API key: %d", status)
	}
}

// What another site can make a browser send changes nothing and shows nothing.
func TestCSRF(t *testing.T) {
	d := newDesk(t, nil)
	cookie, csrf := d.signIn()
	other, _ := d.signIn()
	out := func(header ...string) int {
		r := post("/admin/logout", "{}", header...)
		r.AddCookie(cookie)
		return get(d, r).Code
	}
	for name, header := range map[string][]string{
		"no token":        nil,
		"an empty token":  {"X-CSRF-Token", ""},
		"a wrong token":   {"X-CSRF-Token", csrf[:len(csrf)-1] + "."},
		"half a token":    {"X-CSRF-Token", csrf[:10]},
		"the API key too": {"X-API-Key", "secret"},
	} {
		if status := out(header...); status != http.StatusForbidden {
			t.Errorf("logout with %s: %d", name, status)
		}
		d.expectRefused(RefusedCSRF)
	}
	for name, header := range map[string][]string{
		"another site":   {"X-CSRF-Token", csrf, "Sec-Fetch-Site", "cross-site"},
		"another port":   {"X-CSRF-Token", csrf, "Sec-Fetch-Site", "same-site"},
		"another origin": {"X-CSRF-Token", csrf, "Origin", "http://evil.example"},
	} {
		if status := out(header...); status != http.StatusUnauthorized {
			t.Errorf("logout from %s: %d", name, status)
		}
		if status := d.lists(cookie, header...); status != http.StatusUnauthorized {
			t.Errorf("lists from %s: %d", name, status)
		}
	}
	d.refused = nil
	for name, r := range map[string]*http.Request{
		"another site": post("/admin/login", body(rightPassword), "Sec-Fetch-Site", "cross-site"),
		"no origin":    post("/admin/login", body(rightPassword), "Origin", "null"),
		"a form":       post("/admin/login", "password=x", "Content-Type", "application/x-www-form-urlencoded"),
		"a text":       post("/admin/login", body(rightPassword), "Content-Type", "text/plain"),
	} {
		if w := get(d, r); w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
			t.Errorf("login by %s: %d", name, w.Code)
		}
		d.expectRefused(RefusedCSRF)
	}
	if d.lists(cookie) != http.StatusOK || d.lists(other) != http.StatusOK {
		t.Error("somebody was signed out")
	}
	if status := out("X-CSRF-Token", csrf); status != http.StatusOK {
		t.Errorf("logout: %d", status)
	}
}

func TestBadLogins(t *testing.T) {
	d := newDesk(t, nil)
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "password", "a list": "[]", "a number": `{"password":1}`, "much": `{"password":"` + strings.Repeat("x", maxLogin) + `"}`,
	} {
		if w := get(d, post("/admin/login", text)); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	d.expectRefused()
	r := post("/admin/login", "")
	r.Method = http.MethodGet
	if w := get(d, r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("by GET: %d", w.Code)
	}
}

// Whoever guesses gets few answers, however slowly and with however many requests
// at once; others are not locked out.
func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		guess := func(from, password string) *httptest.ResponseRecorder {
			r := post("/admin/login", body(password))
			r.RemoteAddr = from
			return get(d, r)
		}
		const guesser, admin = "192.0.2.66:1", "192.0.2.7:1"
		for i := range maxGuesses {
			if w := guess(guesser, fmt.Sprint("guess ", i)); w.Code != http.StatusUnauthorized {
				t.Fatalf("guess %d: %d", i, w.Code)
			}
		}
		d.refused = nil
		w := guess(guesser, rightPassword)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != fmt.Sprint(int(guessEvery/time.Second)+1) {
			t.Errorf("one guess more: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		d.expectRefused(RefusedGuess)
		if w := guess(admin, rightPassword); w.Code != http.StatusOK {
			t.Errorf("somebody else: %d", w.Code)
		}
		looked := 0
		for range 24 * 60 { // one in a minute, for a day
			time.Sleep(time.Minute)
			if guess(guesser, "slow").Code == http.StatusUnauthorized {
				looked++
			}
		}
		if most := int(24 * time.Hour / guessEvery); looked > most {
			t.Errorf("%d guesses in a day are looked at, want %d at most", looked, most)
		}
		time.Sleep(maxGuesses * guessEvery)
		for range 3 * maxGuesses { // right ones do not count
			if w := guess(guesser, rightPassword); w.Code != http.StatusOK {
				t.Fatalf("the right password: %d", w.Code)
			}
		}
		if n := strings.Count(d.log.String(), "wrong admin password"); n == 0 || n > 1+looked {
			t.Errorf("the log tells %d times of wrong passwords", n)
		}
	})
}

// Passwords are checked one at a time, and those that wait are not let through.
func TestGuessesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checking, most := 0, 0
		var mu sync.Mutex
		d := newDesk(t, func(c *Config) {
			c.Refused = nil
			c.Password = func(string) bool {
				mu.Lock()
				checking++
				most = max(most, checking)
				mu.Unlock()
				time.Sleep(3 * time.Second)
				mu.Lock()
				checking--
				mu.Unlock()
				return false
			}
		})
		counts := map[int]int{}
		var all sync.WaitGroup
		for range 3 * maxGuesses {
			all.Go(func() {
				w := get(d, post("/admin/login", body("guess")))
				mu.Lock()
				counts[w.Code]++
				mu.Unlock()
			})
		}
		all.Wait()
		if most != 1 || counts[http.StatusUnauthorized] != 2 || counts[http.StatusServiceUnavailable] != maxGuesses-2 || counts[http.StatusTooManyRequests] != 2*maxGuesses {
			t.Errorf("%d at once, answers %v", most, counts)
		}
	})
}

func TestGuessersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts(slog.New(slog.DiscardHandler))
		from := func(i int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		}
		for i := range 2 * maxGuessers { // every part of the set is full
			a.take(from(i))
		}
		allowed := 0
		for i := range maxGuessers { // all beyond share a few buckets
			if _, ok := a.take(from(2*maxGuessers + i)); ok {
				allowed++
			}
		}
		if n := a.buckets.Len(); allowed > maxGuessers/10 || n > maxGuessers {
			t.Errorf("%d guesses, beyond %d known addresses", allowed, n)
		}
		time.Sleep(maxGuesses*guessEvery + time.Second)
		for i := range maxGuessers / 2 {
			if _, ok := a.take(from(i)); !ok {
				t.Fatalf("address %d is refused for what was long ago", i)
			}
		}
		if n := a.buckets.Len(); n > maxGuessers/2 {
			t.Errorf("%d addresses are remembered for nothing", n)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(c *Config) { c.SessionTTL = time.Hour })
		first, _ := d.signIn()
		time.Sleep(30 * time.Minute)
		var last *http.Cookie
		for range maxSessions {
			last, _ = d.signIn()
		}
		if d.lists(first) != http.StatusUnauthorized || d.lists(last) != http.StatusOK {
			t.Error("the oldest of too many is not the one to go")
		}
		time.Sleep(time.Hour)
		if d.lists(last) != http.StatusUnauthorized {
			t.Error("a session goes on after its end")
		}
		d.signIn()
		if n := len(d.sessions.byID); n != 1 {
			t.Errorf("%d sessions are kept", n)
		}
	})
}

// A stream of numbers ends with the session that opened it.
func TestLogoutEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(c *Config) { c.SessionTTL = time.Hour })
		open := func() (cookie *http.Cookie, csrf string, ended <-chan struct{}) {
			cookie, csrf = d.signIn()
			r := post("/admin/live", "")
			r.Method = http.MethodGet
			r.AddCookie(cookie)
			done := make(chan struct{})
			go func() { d.ServeHTTP(newWire(), r); close(done) }()
			synctest.Wait()
			return cookie, csrf, done
		}
		isOpen := func(ended <-chan struct{}) bool {
			synctest.Wait()
			select {
			case <-ended:
				return false
			default:
				return true
			}
		}
		cookie, csrf, first := open()
		_, _, second := open()
		out := post("/admin/logout", "{}", "X-CSRF-Token", csrf)
		out.AddCookie(cookie)
		get(d, out)
		if isOpen(first) || !isOpen(second) {
			t.Error("logout ends not its own stream, or not only that")
		}
		time.Sleep(time.Hour)
		if isOpen(second) {
			t.Error("a stream goes on after its session's end")
		}
	})
}

// No path leads to anything but the page's files.
func TestPathTraversal(t *testing.T) {
	h := newHandler(Config{Operator: keyed("secret")}, &fakeHub{})
	for _, path := range []string{
		"/static/../admin.go", "/static/..%2fadmin.go", "/static/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd",
		"/static/app.js/../../../etc/passwd", "/static/app.js%00.css", "/static\\..\\admin.go", "/static/....//admin.go", "/client.js/",
		"/static/./page/index.html", "/page/index.html", "/.git/config",
	} {
		r := local(http.MethodGet, "/")
		r.URL.Path, r.URL.RawPath = path, ""
		if i := strings.IndexByte(path, '%'); i >= 0 {
			parsed, err := http.NewRequest(http.MethodGet, "http://127.0.0.1"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.URL = parsed.URL
		}
		w := get(h, r)
		if redirected := w.Code == http.StatusMovedPermanently || w.Code == http.StatusTemporaryRedirect; w.Code != http.StatusNotFound && !redirected {
			t.Errorf("GET %s answers %d %.80s", path, w.Code, w.Body)
		}
	}
}

func TestSecureHeaders(t *testing.T) {
	h := newHandler(Config{Operator: keyed("secret")}, &fakeHub{})
	for _, path := range []string{"/", "/admin/access", "/admin/channels", "/nowhere"} {
		header := get(h, local(http.MethodGet, path)).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		policy := header.Get("Content-Security-Policy")
		for _, forbidden := range []string{"unsafe", "*", "http:", "https:", "data:", "blob:"} {
			if strings.Contains(policy, forbidden) {
				t.Errorf("%s: the policy holds %s: %s", path, forbidden, policy)
			}
		}
		if header.Get("Permissions-Policy") == "" {
			t.Errorf("%s: no Permissions-Policy", path)
		}
	}
}

package secure

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/test/server"
)

const loginWanted = `
api:
  key: ` + apiKey + `
admin:
  password_file: admin.hash
`

// hash makes a hash of a password with the binary itself.
func hash(t *testing.T, password string) string {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "in"), []byte(password+"\n"))
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	opts := server.Options{Bin: "sh", Dir: dir}
	code, printed, err := server.Run(ctx, opts, "-c", `"$0" admin password < in`, bin)
	if err != nil || code != 0 || !strings.HasPrefix(printed, "$argon2id$") || strings.Contains(printed, password) {
		t.Fatalf("%d, %v: %s", code, err, printed)
	}
	return printed
}

func logIn(t *testing.T, client *http.Client, url, password string, header ...string) answer {
	t.Helper()
	body, err := json.Marshal(map[string]string{"password": password})
	if err != nil {
		t.Fatal(err)
	}
	a, err := ask(t, client, http.MethodPost, url+"/admin/login", string(body), append([]string{"Content-Type", "application/json"}, header...)...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Login to logout over TLS, as the page does it.
func TestAdminLogin(t *testing.T) {
	dir := t.TempDir()
	const password = "correct horse battery"
	put(t, filepath.Join(dir, "admin.hash"), []byte(hash(t, password)))
	ours := issue(t, "ours", nil)
	ours.write(t, dir, "server")
	srv := start(t, dir, loginWanted+"tls:\n  cert_file: server.pem\n  key_file: server.key\n")
	url := "https://" + srv.Addr()
	client := browser(t, ours.trust())
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Jar = jar
	lists := func(header ...string) int {
		return status(t, client, http.MethodGet, url+"/admin/channels", "", header...)
	}
	if got := lists(); got != http.StatusUnauthorized {
		t.Errorf("before the login: %d", got)
	}
	if got := logIn(t, client, url, password+"!"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", got.StatusCode)
	}
	in := logIn(t, client, url, password)
	if cookie := in.Header.Get("Set-Cookie"); in.StatusCode != http.StatusOK ||
		!strings.Contains(cookie, "; HttpOnly") || !strings.Contains(cookie, "; Secure") || !strings.Contains(cookie, "; SameSite=Strict") {
		t.Fatalf("login: %d, cookie %q", in.StatusCode, cookie)
	}
	var token struct{ CSRF string }
	if err := json.Unmarshal([]byte(in.body), &token); err != nil {
		t.Fatal(err)
	}
	if got := lists(); got != http.StatusOK {
		t.Errorf("signed in: %d", got)
	}
	if got := lists("Sec-Fetch-Site", "cross-site"); got != http.StatusUnauthorized {
		t.Errorf("signed in, on behalf of another site: %d", got)
	}
	for path, want := range map[string]int{"/api/info": http.StatusUnauthorized, "/admin/logout": http.StatusForbidden} {
		if got := status(t, client, http.MethodPost, url+path, "{}"); got != want {
			t.Errorf("%s with the cookie alone: %d", path, got)
		}
	}
	if got := status(t, client, http.MethodGet, url+"/metrics", ""); got != http.StatusUnauthorized {
		t.Errorf("metrics with the cookie: %d", got)
	}
	if got := status(t, client, http.MethodPost, url+"/admin/logout", "{}", "X-CSRF-Token", token.CSRF); got != http.StatusOK {
		t.Errorf("logout: %d", got)
	}
	if got := lists(); got != http.StatusUnauthorized {
		t.Errorf("after logout: %d", got)
	}
	if got := lists("X-API-Key", apiKey); got != http.StatusOK {
		t.Errorf("a tool with the API key: %d", got)
	}
	if log := srv.Output(); strings.Contains(log, password) || strings.Contains(log, "argon2id") {
		t.Errorf("the log tells:\n%s", log)
	}
}

// A guesser who says he is somebody else each time is the same guesser.
func TestPasswordGuessing(t *testing.T) {
	dir := t.TempDir()
	const password = "correct horse battery"
	put(t, filepath.Join(dir, "admin.hash"), []byte(hash(t, password)))
	srv := start(t, dir, loginWanted)
	client := browser(t, nil)
	counts := map[int]int{}
	for i := range 20 {
		a := logIn(t, client, "http://"+srv.Addr(), fmt.Sprint("guess number ", i), "X-Forwarded-For", fmt.Sprint("198.51.100.", i))
		counts[a.StatusCode]++
	}
	if counts[http.StatusUnauthorized] != 10 || counts[http.StatusTooManyRequests] != 10 {
		t.Errorf("20 guesses are answered with %v", counts)
	}
	a := logIn(t, client, "http://"+srv.Addr(), password)
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("the right password afterwards: %d", a.StatusCode)
	}
	m, err := ask(t, client, http.MethodGet, "http://"+srv.Addr()+"/metrics", "", "X-API-Key", apiKey)
	if err != nil || !strings.Contains(m.body, `fanfare_refusals_total{reason="admin_guess"} 11`) || !strings.Contains(m.body, `fanfare_refusals_total{reason="admin_password"} 10`) {
		t.Errorf("%v: guesses are not counted", err)
	}
}

// Without settings the server starts, refuses everybody everything, and says what
// to set.
func TestShutByDefault(t *testing.T) {
	srv := start(t, t.TempDir(), "")
	for _, setting := range []string{"app.secret", "client.allow_anonymous", "api.key"} {
		until(t, "the log to say "+setting, func() bool { return strings.Contains(srv.Output(), setting) })
	}
	client := browser(t, nil)
	url := "http://" + srv.Addr()
	for path, want := range map[string]int{
		"POST /api/publish": 403, "POST /api/info": 403, "GET /metrics": 403, "GET /admin/channels": 403, "GET /admin/live": 403, "POST /admin/login": 404,
		"GET /sse?channel=news": 401, "GET /poll?channel=news": 401, "POST /apps/dev/events": 404, "GET /health": 200, "GET /ready": 200,
	} {
		method, path, _ := strings.Cut(path, " ")
		for _, key := range []string{"", "dev", apiKey} {
			if got := status(t, client, method, url+path, `{"channel":"news","data":1}`, "X-API-Key", key); got != want {
				t.Errorf("%s with the key %q: %d, want %d", path, key, got, want)
			}
		}
	}
	s := dial(t, srv.Addr())
	s.upgrade("")
	s.send(masked(1, connectCommand("")))
	if op, payload := s.frame(); strings.Contains(payload, `"client":`) {
		t.Errorf("a client without a token is let in: %d %s", op, payload)
	}
}

// What is tried out at the page and at /metrics is written down as it is at the
// API: keys by their digests, in either header, and nothing of passwords.
func TestRefusalsAreAudited(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "admin.hash"), []byte(hash(t, "correct horse battery")))
	srv := start(t, dir, loginWanted+"audit:\n  file: audit.jsonl\n")
	client, url := browser(t, nil), "http://"+srv.Addr()
	digest := func(key string) string {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:4])
	}
	tries := []struct {
		path   string
		header []string
		want   string // action, key, method of the line
	}{
		{"/metrics", []string{"X-API-Key", "guess 1"}, "key_refused " + digest("guess 1") + " /metrics"},
		{"/metrics", []string{"Authorization", "apikey guess 2"}, "key_refused " + digest("guess 2") + " /metrics"},
		{"/admin/channels", []string{"X-API-Key", "guess 3"}, "key_refused " + digest("guess 3") + " /admin/channels"},
		{"/admin/live", []string{"Authorization", "ApiKey guess 4"}, "key_refused " + digest("guess 4") + " /admin/live"},
		{"/admin/access", []string{"X-API-Key", "guess 5"}, "key_refused " + digest("guess 5") + " /admin/access"},
		{"/admin/access", nil, ""}, // the page asks what it needs
		{"/admin/channels", []string{"Authorization", "apikey " + apiKey}, ""},
	}
	var want []string
	for _, try := range tries {
		status(t, client, http.MethodGet, url+try.path, "", try.header...)
		if try.want != "" {
			want = append(want, try.want)
		}
	}
	const guess = "correct horse batterz"
	if got := logIn(t, client, url, guess); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", got.StatusCode)
	}
	want = append(want, "password_refused  /admin/login")

	text, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range bytes.Lines(text) {
		var e struct {
			Action, Key, Remote string
			Target              struct{ Method string }
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if e.Action == "log_opened" {
			continue
		}
		if !strings.HasPrefix(e.Remote, "127.0.0.1:") {
			t.Errorf("from %q", e.Remote)
		}
		got = append(got, e.Action+" "+e.Key+" "+e.Target.Method)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	for _, secret := range []string{"guess", guess, digest(guess), apiKey} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%q is in the audit log", secret)
		}
	}
}

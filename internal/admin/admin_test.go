package admin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/js"
)

func TestFiles(t *testing.T) {
	h := newHandler(Config{}, &fakeHub{})
	for path, contentType := range map[string]string{
		"/":                   "text/html; charset=utf-8",
		"/compare":            "text/html; charset=utf-8",
		"/static/app.css":     "text/css; charset=utf-8",
		"/static/app.js":      "text/javascript; charset=utf-8",
		"/static/compare.css": "text/css; charset=utf-8",
		"/static/compare.js":  "text/javascript; charset=utf-8",
		"/static/favicon.svg": "image/svg+xml",
		"/favicon.ico":        "image/svg+xml",
	} {
		t.Run(path, func(t *testing.T) {
			w := get(h, local(http.MethodGet, path))
			if w.Code != http.StatusOK || w.Body.Len() == 0 {
				t.Fatalf("GET answers %d with %d bytes", w.Code, w.Body.Len())
			}
			for name, want := range map[string]string{
				"Content-Type": contentType, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
				"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			r := local(http.MethodGet, path)
			r.Header.Set("If-None-Match", w.Header().Get("ETag"))
			if again := get(h, r); again.Code != http.StatusNotModified {
				t.Errorf("asked again with its ETag it answers %d", again.Code)
			}
			head := get(h, local(http.MethodHead, path))
			if head.Code != http.StatusOK || head.Body.Len() != 0 {
				t.Errorf("HEAD answers %d with %d bytes", head.Code, head.Body.Len())
			}
		})
	}
}

// Pages of other sites may import the client, and nothing else.
func TestClientModule(t *testing.T) {
	for path, contentType := range map[string]string{
		"/client.js": "text/javascript; charset=utf-8", "/client.d.ts": "text/plain; charset=utf-8",
	} {
		w := get(newHandler(Config{}, &fakeHub{}), local(http.MethodGet, path))
		for name, want := range map[string]string{
			"Content-Type": contentType, "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	if got := get(newHandler(Config{}, &fakeHub{}), local(http.MethodGet, "/static/app.js")).Header().Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("the page's own script may be read by %q", got)
	}
}

func TestCompressed(t *testing.T) {
	h := newHandler(Config{}, &fakeHub{})
	plain := get(h, local(http.MethodGet, "/client.js"))
	r := local(http.MethodGet, "/client.js")
	r.Header.Set("Accept-Encoding", "br, gzip")
	w := get(h, r)
	if w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Fatalf("the headers are %v", w.Header())
	}
	if w.Header().Get("ETag") == plain.Header().Get("ETag") {
		t.Error("both encodings have the same ETag")
	}
	size := w.Body.Len()
	unzipped, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(unzipped)
	if err != nil || !bytes.Equal(body, plain.Body.Bytes()) {
		t.Errorf("what is compressed is not what is served plain (%v)", err)
	}
	if size > 8<<10 {
		t.Errorf("%d bytes of client.js leave the server, at most 8 KiB are promised", size)
	}
}

// What the policy forbids must not be in the pages, or they would be broken.
func TestContentSecurityPolicy(t *testing.T) {
	for _, path := range []string{"/", "/compare"} {
		w := get(newHandler(Config{}, &fakeHub{}), local(http.MethodGet, path))
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, want)
			}
		}
		for _, forbidden := range []string{`(?i)\sstyle\s*=`, `(?i)\son[a-z]+\s*=\s*"`, `(?i)<style`, `(?i)<script[^>]*>[^<]`, `(?i)(src|href)="(https?:)?//`} {
			if found := regexp.MustCompile(forbidden).FindString(w.Body.String()); found != "" {
				t.Errorf("%s holds %q", path, found)
			}
		}
	}
	for name, text := range map[string][]byte{"app.js": appJS, "compare.js": compareJS, "client.js": js.Client} {
		if found := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(`).Find(text); found != nil {
			t.Errorf("%s uses %s", name, found)
		}
	}
	for name, text := range map[string][]byte{"app.css": appCSS, "compare.css": compareCSS} {
		if found := regexp.MustCompile(`@import|url\(`).Find(text); found != nil {
			t.Errorf("%s uses %s", name, found)
		}
	}
}

func TestUnknownPath(t *testing.T) {
	h := newHandler(Config{Dev: true}, &fakeHub{})
	for _, path := range []string{"/nothing", "/static/", "/static/admin.go", "/admin", "/admin/", "/index.html"} {
		w := get(h, local(http.MethodGet, path))
		if w.Code != http.StatusNotFound {
			t.Errorf("GET %s answers %d", path, w.Code)
		}
		var body struct{ Error struct{ Code int } }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error.Code != http.StatusNotFound {
			t.Errorf("GET %s answers %s", path, w.Body)
		}
	}
}

func TestMethods(t *testing.T) {
	h := newHandler(Config{Dev: true}, &fakeHub{})
	for _, path := range []string{"/", "/static/app.js", "/admin/access", "/admin/live", "/admin/channels"} {
		w := get(h, local(http.MethodPost, path))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s answers %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
		if w := get(h, local(http.MethodHead, path)); w.Code != http.StatusOK {
			t.Errorf("HEAD %s answers %d", path, w.Code)
		}
	}
}

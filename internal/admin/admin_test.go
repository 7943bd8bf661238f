package admin

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	h := newHandler(Config{}, &fakeHub{})
	for path, contentType := range map[string]string{
		"/":                   "text/html; charset=utf-8",
		"/static/app.css":     "text/css; charset=utf-8",
		"/static/app.js":      "text/javascript; charset=utf-8",
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

// What the policy forbids must not be in the page, or the page would be broken.
func TestContentSecurityPolicy(t *testing.T) {
	w := get(newHandler(Config{}, &fakeHub{}), local(http.MethodGet, "/"))
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	for _, forbidden := range []string{`(?i)\sstyle\s*=`, `(?i)\son[a-z]+\s*=\s*"`, `(?i)<style`, `(?i)<script[^>]*>[^<]`, `(?i)(src|href)="(https?:)?//`} {
		if found := regexp.MustCompile(forbidden).FindString(w.Body.String()); found != "" {
			t.Errorf("index.html holds %q", found)
		}
	}
	if found := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(`).Find(appJS); found != nil {
		t.Errorf("app.js uses %s", found)
	}
	if found := regexp.MustCompile(`@import|url\(`).Find(appCSS); found != nil {
		t.Errorf("app.css uses %s", found)
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

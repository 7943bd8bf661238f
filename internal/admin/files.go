package admin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/js"
)

// The files of the pages. They hold no secret and no number.
var (
	//go:embed page/index.html
	indexHTML []byte
	//go:embed page/app.css
	appCSS []byte
	//go:embed page/app.js
	appJS []byte
	//go:embed page/compare.html
	compareHTML []byte
	//go:embed page/compare.css
	compareCSS []byte
	//go:embed page/compare.js
	compareJS []byte
	//go:embed page/favicon.svg
	faviconSVG []byte
)

// pageFiles are all files by the pattern they are served at.
func pageFiles() map[string]file {
	const (
		html   = "text/html; charset=utf-8"
		css    = "text/css; charset=utf-8"
		script = "text/javascript; charset=utf-8"
	)
	icon := newFile("image/svg+xml", faviconSVG)
	return map[string]file{
		"/{$}":                newFile(html, indexHTML),
		"/compare":            newFile(html, compareHTML),
		"/static/app.css":     newFile(css, appCSS),
		"/static/app.js":      newFile(script, appJS),
		"/static/compare.css": newFile(css, compareCSS),
		"/static/compare.js":  newFile(script, compareJS),
		"/static/favicon.svg": icon,
		"/favicon.ico":        icon, // asked for by what does not read the page
		"/client.js":          newFile(script, js.Client).forAll(),
		"/client.d.ts":        newFile("text/plain; charset=utf-8", js.Types).forAll(),
	}
}

type file struct {
	contentType string
	etag        string
	body        []byte
	gzipped     []byte
	public      bool // pages of other sites may import it
}

func newFile(contentType string, body []byte) file {
	sum := sha256.Sum256(body)
	return file{contentType: contentType, etag: hex.EncodeToString(sum[:12]), body: body, gzipped: compress(body)}
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	_, _ = w.Write(body)                                  // to memory
	_ = w.Close()
	return b.Bytes()
}

func (f file) forAll() file {
	f.public = true
	return f
}

// ServeHTTP lets browsers keep the file, but ask each time whether it is still
// the same: a new version of the server is a new page at once.
func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	if f.public {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	body, etag := f.body, f.etag
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body, etag = f.gzipped, etag+"-gzip" // a validator names one encoding (RFC 9110, 8.8.3.3)
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

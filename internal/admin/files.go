package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"
)

// The files of the page. They hold no secret and no number.
var (
	//go:embed page/index.html
	indexHTML []byte
	//go:embed page/app.css
	appCSS []byte
	//go:embed page/app.js
	appJS []byte
	//go:embed page/favicon.svg
	faviconSVG []byte
)

// pageFiles are all files by the pattern they are served at.
func pageFiles() map[string]file {
	icon := newFile("image/svg+xml", faviconSVG)
	return map[string]file{
		"/{$}":                newFile("text/html; charset=utf-8", indexHTML),
		"/static/app.css":     newFile("text/css; charset=utf-8", appCSS),
		"/static/app.js":      newFile("text/javascript; charset=utf-8", appJS),
		"/static/favicon.svg": icon,
		"/favicon.ico":        icon, // asked for by what does not read the page
	}
}

type file struct {
	contentType string
	etag        string
	body        []byte
}

func newFile(contentType string, body []byte) file {
	sum := sha256.Sum256(body)
	return file{contentType: contentType, etag: `"` + hex.EncodeToString(sum[:12]) + `"`, body: body}
}

// ServeHTTP lets browsers keep the file, but ask each time whether it is still
// the same: a new version of the server is a new page at once.
func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

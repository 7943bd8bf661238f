package pusherapi

import (
	"crypto/md5" // the protocol's own digest of a body; the signature protects it
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxAge is how far a request's time may be from the server's.
const maxAge = 600 * time.Second

// authenticate checks a request's signature ("HTTP API reference, Authentication"):
// a key of the App, a time not longer than ten minutes ago or ahead, the body's MD5,
// and HMAC-SHA256 of the method, the path and the parameters in order of their
// names, a line each.
func (h *call) authenticate(r *http.Request, body []byte) error {
	q := r.URL.Query()
	app, known := h.cfg.Apps.App(q.Get("auth_key"))
	unauthorized := func(text string) error { return refused(http.StatusUnauthorized, text) }
	seconds, err := strconv.ParseInt(q.Get("auth_timestamp"), 10, 64)
	sum := md5.Sum(body)
	digest := hex.EncodeToString(sum[:])
	switch {
	case !known || app != h.app:
		return unauthorized("auth_key is not the app's")
	case q.Get("auth_version") != "1.0":
		return unauthorized("auth_version must be 1.0")
	case err != nil:
		return unauthorized("auth_timestamp must be Unix seconds")
	case h.cfg.Now().Sub(time.Unix(seconds, 0)).Abs() > maxAge:
		return unauthorized("auth_timestamp is more than 600 s from the server's time, " + strconv.FormatInt(h.cfg.Now().Unix(), 10))
	case (len(body) > 0 || q.Has("body_md5")) && q.Get("body_md5") != digest:
		return unauthorized("body_md5 is not that of the body, " + digest)
	}
	head := r.Method + "\n" + r.URL.EscapedPath() + "\n"
	// Libraries sign parameters as they are; some send them as they sign them,
	// others escaped.
	for _, text := range []string{plainQuery(q), rawQuery(r.URL.RawQuery)} {
		if h.cfg.Apps.Signed(q.Get("auth_key"), head+text, q.Get("auth_signature")) {
			return nil
		}
	}
	return unauthorized("auth_signature is not that of the request; what must be signed is " + strconv.Quote(head+plainQuery(q)))
}

// signatureName is that of the one parameter that is not signed.
const signatureName = "auth_signature"

func plainQuery(q url.Values) string {
	var parts []string
	for name, values := range q {
		if name != signatureName {
			parts = append(parts, strings.ToLower(name)+"="+strings.Join(values, ","))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

func rawQuery(raw string) string {
	var parts []string
	for part := range strings.SplitSeq(raw, "&") {
		if !strings.HasPrefix(part, signatureName+"=") {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

package hook

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// own are headers that are never a client's to set: those of the connection (RFC
// 9110, 7.6.1), of the body, and of the question itself.
var own = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Host", "Expect", "Content-Length", "Content-Type", "Content-Encoding", "Accept-Encoding",
	"Idempotency-Key", "X-Idempotency-Key",
}

const ownPrefix = "X-Fanfare-"

// CheckHeader reports why a header cannot be passed on.
func CheckHeader(name string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case name == "" || strings.Trim(name, headerLetters) != "":
		return fmt.Errorf("%q is no name of a header", name)
	case slices.Contains(own, canonical), strings.HasPrefix(canonical, ownPrefix), strings.HasPrefix(canonical, "Sec-Websocket-"):
		return fmt.Errorf("%s is not passed on: it belongs to the connection or to the call itself", canonical)
	}
	return nil
}

const headerLetters = "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Kept are the headers of a request that are passed on; nil: none.
func Kept(h http.Header, names []string) map[string][]string {
	var kept map[string][]string
	for _, name := range names {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if values := h[name]; len(values) > 0 {
			if kept == nil {
				kept = make(map[string][]string, len(names))
			}
			kept[name] = values
		}
	}
	return kept
}

// passOn copies what the lists allow. What a client says in place of a header never
// replaces the header.
func passOn(to http.Header, names, clientNames []string, q *hub.Question) {
	for said, value := range q.ClientHeader {
		said = textproto.CanonicalMIMEHeaderKey(said)
		named := slices.ContainsFunc(clientNames, func(n string) bool { return strings.EqualFold(n, said) })
		if named && CheckHeader(said) == nil && isValue(value) {
			to[said] = []string{value}
		}
	}
	for name, values := range Kept(q.Header, names) {
		to[name] = values
	}
}

// isValue reports whether text can be the value of a header (RFC 9110, 5.5).
func isValue(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}

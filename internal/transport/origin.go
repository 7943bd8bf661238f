package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Origins decides which web pages may connect (RFC 6454): those of the server's
// own address, and those that a pattern allows.
type Origins struct {
	patterns []string
	any      bool
}

// literal leaves * as the only character with a meaning of its own.
var literal = strings.NewReplacer("[", `\[`, "]", `\]`, `\`, `\\`)

// NewOrigins checks patterns: "*" for every page, or scheme://host[:port] in
// which * stands for any characters, such as "https://*.example.org".
func NewOrigins(patterns []string) (*Origins, error) {
	o := &Origins{}
	for _, p := range patterns {
		if p == "*" {
			o.any = true
			continue
		}
		scheme, rest, found := strings.Cut(p, "://")
		if !found || scheme == "" || rest == "" || strings.ContainsAny(rest, "/?#@") {
			return nil, fmt.Errorf("origin %q: must be * or scheme://host[:port], where * stands for any characters", p)
		}
		if strings.Count(p, "[") != strings.Count(p, "]") {
			return nil, fmt.Errorf("origin %q: [ and ] stand around an IPv6 address", p)
		}
		o.patterns = append(o.patterns, literal.Replace(strings.ToLower(p)))
	}
	return o, nil
}

// Allowed reports whether the page that a request comes from may connect. A
// request without an Origin is none of a browser's and allowed.
func (o *Origins) Allowed(r *http.Request) bool {
	_, ok := o.Foreign(r)
	return ok
}

// Foreign is Allowed, and names the Origin of a page that is not of the server's
// own address: it may read the response only if that says so (CORS).
func (o *Origins) Foreign(r *http.Request) (origin string, allowed bool) {
	origin = r.Header.Get("Origin")
	if origin == "" {
		return "", true
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return "", true
	}
	if o.any {
		return origin, true
	}
	lower := strings.ToLower(origin)
	for _, p := range o.patterns {
		if ok, err := path.Match(p, lower); ok && err == nil {
			return origin, true
		}
	}
	return "", false
}

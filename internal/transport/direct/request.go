package direct

import (
	"bytes"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Limits of a request that is answered here; net/http has those of larger ones.
const (
	maxHead = 8 << 10
	maxBody = 32 << 10
)

// Request is one request. Its slices are the connection's: they are not kept.
type Request struct {
	APIKey        []byte // X-API-Key
	Authorization []byte
	Body          []byte
}

// verdict is what the bytes at the beginning of a connection are.
type verdict uint8

const (
	partial verdict = iota // the beginning of a request
	whole                  // a request
	foreign                // something for net/http
)

// field is a header field with a meaning here.
type field uint8

const (
	fieldOther field = iota
	fieldHost
	fieldLength
	fieldType
	fieldKey
	fieldAuthorization
	fieldConnection
	fieldForeign // changes the request's framing or its answer
)

// fields by name in lower case. A name of another length is none of them.
var fields = map[string]field{
	"host":                    fieldHost,
	"content-length":          fieldLength,
	"content-type":            fieldType,
	"x-api-key":               fieldKey,
	"authorization":           fieldAuthorization,
	"connection":              fieldConnection,
	"transfer-encoding":       fieldForeign,
	"expect":                  fieldForeign,
	"upgrade":                 fieldForeign,
	"te":                      fieldForeign,
	"trailer":                 fieldForeign,
	"content-encoding":        fieldForeign,
	"http2-settings":          fieldForeign,
	"x-centrifugo-error-mode": fieldForeign,
}

const longestField = len("x-centrifugo-error-mode")

// parse reads the request that p begins with; line is its first line. n is its
// length when it is whole.
func (r *Request) parse(p []byte, line string) (n int, v verdict) {
	if len(p) < len(line) {
		if strings.HasPrefix(line, string(p)) {
			return 0, partial
		}
		return 0, foreign
	}
	if string(p[:len(line)]) != line {
		return 0, foreign
	}
	*r = Request{}
	length, v, n := r.head(p, len(line))
	if v != whole {
		return 0, v
	}
	if len(p)-n < length {
		return 0, partial
	}
	r.Body = p[n : n+length]
	return n + length, whole
}

// head reads header fields from p[at:] up to and with the empty line, and returns
// the length of the body and where it begins.
func (r *Request) head(p []byte, at int) (length int, v verdict, end int) {
	var seen [fieldForeign + 1]bool
	length = -1
	for {
		size := bytes.IndexByte(p[at:], '\n')
		switch {
		case size < 0 && len(p) > maxHead || at+size > maxHead:
			return 0, foreign, 0
		case size < 0:
			return 0, partial, 0
		case size == 0 || p[at+size-1] != '\r':
			return 0, foreign, 0
		}
		line := p[at : at+size-1]
		at += size + 1
		if len(line) == 0 {
			break
		}
		f, value, ok := fieldOf(line)
		if !ok || f != fieldOther && seen[f] {
			return 0, foreign, 0
		}
		seen[f] = true
		if length, ok = r.set(f, value, length); !ok {
			return 0, foreign, 0
		}
	}
	if !seen[fieldHost] || length < 0 {
		return 0, foreign, 0
	}
	return length, whole, at
}

// set takes a field; false: it is for net/http to judge.
func (r *Request) set(f field, value []byte, length int) (int, bool) {
	switch f {
	case fieldHost:
		return length, isHost(value)
	case fieldLength:
		return lengthOf(value)
	case fieldType:
		return length, string(value) == "application/json"
	case fieldKey:
		r.APIKey = value
	case fieldAuthorization:
		r.Authorization = value
	case fieldConnection:
		return length, strings.EqualFold(string(value), "keep-alive")
	case fieldForeign:
		return length, false
	}
	return length, true
}

// fieldOf splits a line of the header (RFC 9112, section 5).
func fieldOf(line []byte) (f field, value []byte, ok bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return 0, nil, false
	}
	var lower [longestField]byte
	for i, c := range line[:colon] {
		if !httpguts.IsTokenRune(rune(c)) {
			return 0, nil, false
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if i < len(lower) {
			lower[i] = c
		}
	}
	value = bytes.Trim(line[colon+1:], " \t")
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return 0, nil, false
		}
	}
	if colon <= len(lower) {
		f = fields[string(lower[:colon])]
	}
	return f, value, true
}

// lengthOf reads digits, and nothing else.
func lengthOf(value []byte) (int, bool) {
	n := 0
	if len(value) == 0 || len(value) > 6 {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n <= maxBody
}

func isHost(value []byte) bool {
	for _, c := range value {
		alphanumeric := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !alphanumeric && strings.IndexByte("-._:[]", c) < 0 {
			return false
		}
	}
	return len(value) > 0
}

package httpstream

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// opening is a response of which nothing has been sent.
type opening interface {
	// accept returns what has to be sent before the first message.
	accept() []byte
	// refuse returns the whole of a response that is an error.
	refuse(status int, body []byte) []byte
}

// header are the fields of every response: nobody on the way is to keep it, hold
// it back or change it, and no browser to guess what it is.
func header(contentType, origin string) http.Header {
	h := http.Header{
		"Content-Type":           {contentType},
		"Cache-Control":          {"no-cache, no-store, no-transform, must-revalidate"},
		"X-Accel-Buffering":      {"no"},
		"X-Content-Type-Options": {"nosniff"},
	}
	if origin != "" {
		h["Access-Control-Allow-Origin"] = []string{origin}
	}
	h["Vary"] = []string{"Origin"}
	return h
}

const jsonType = "application/json"

// wire opens a response on a connection taken from net/http.
type wire struct {
	contentType string
	origin      string // of another site's page that may read it; "": none
	chunked     bool
}

func (o *wire) accept() []byte {
	h := header(o.contentType, o.origin)
	if o.chunked {
		h["Transfer-Encoding"] = []string{"chunked"}
	}
	return o.head(http.StatusOK, h)
}

func (o *wire) refuse(status int, body []byte) []byte {
	h := header(jsonType, o.origin)
	tellWhen(h, status)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	return append(o.head(status, h), body...)
}

func (o *wire) head(status int, h http.Header) []byte {
	h["Connection"] = []string{"close"}
	h["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + crlf)
	_ = h.Write(&b) // it fails as its writer does
	b.WriteString(crlf)
	return b.Bytes()
}

// errorBody is an error in the form of the server API. Codes are those of the
// Centrifuge protocol's errors and disconnects.
func errorBody(code uint32, message string) []byte {
	type fault struct {
		Code    uint32 `json:"code"`
		Message string `json:"message"`
	}
	b, _ := json.Marshal(map[string]fault{"error": {code, message}}) // a number and a text
	return append(b, '\n')
}

// statusOf is the HTTP status for the reason that a session ended before it began.
func statusOf(code uint32) int {
	switch code {
	case 101, 109, 3005, 3500:
		return http.StatusUnauthorized
	case 103, 3503, 3507:
		return http.StatusForbidden
	case 102:
		return http.StatusNotFound
	case 106, 107, 108, 3501, 3505:
		return http.StatusBadRequest
	case 111, 3013, 3504:
		return http.StatusTooManyRequests
	case 112:
		return http.StatusRequestedRangeNotSatisfiable
	case 3502:
		return http.StatusRequestTimeout
	case 100, 3004:
		return http.StatusInternalServerError
	}
	if isFinal(code) {
		return http.StatusForbidden
	}
	return http.StatusServiceUnavailable
}

// isFinal reports a code of a backend that asks the client not to come back: an error
// of its own, or a disconnect (see hub.Disconnect).
func isFinal(code uint32) bool { return code >= 400 && code < 2000 || code >= 4500 && code < 5000 }

// tellWhen says when what was too much may be asked for again, unless that is known
// better.
func tellWhen(h http.Header, status int) {
	if status == http.StatusTooManyRequests && h["Retry-After"] == nil {
		h["Retry-After"] = []string{"1"}
	}
}

func isTemporary(status int) bool {
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// Codes of what the transport itself refuses.
const (
	codePermissionDenied = 103
	codeMethod           = 104
	codeUnknownNode      = 102
	codeLimitExceeded    = 106
	codeBadRequest       = 107
	codeTooMany          = 111
	codeNotFound         = 104
)

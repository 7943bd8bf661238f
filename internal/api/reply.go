package api

import (
	"net/http"
	"strconv"
	"time"
)

// Headers of replies, shared by all of them.
var (
	typeJSON = []string{"application/json"}
	noSniff  = []string{"nosniff"}
)

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = typeJSON
	header["X-Content-Type-Options"] = noSniff
	if len(body) > 2048 { // net/http counts shorter ones itself
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails when the client has gone, which concerns nobody
}

// transportMode reports that the caller wants errors as HTTP statuses, with the
// error object alone as the body.
func transportMode(r *http.Request) bool {
	return r.Header.Get("X-Centrifugo-Error-Mode") == "transport"
}

// writeFault answers with the fault's HTTP status.
func writeFault(w http.ResponseWriter, r *http.Request, f *fault) {
	switch f.status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "apikey")
	}
	if f.temporary {
		after := (f.after + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(max(int(after), 1)))
	}
	writeJSON(w, f.status, appendReply(nil, f, transportMode(r)))
}

// writeOutcome answers a call that was understood but failed: with 200 and the
// error in the body, unless the caller asked for HTTP statuses. out is scratch.
func writeOutcome(w http.ResponseWriter, r *http.Request, f *fault, out []byte) []byte {
	if transportMode(r) {
		writeFault(w, r, f)
		return out
	}
	out = appendReply(out[:0], f, false)
	writeJSON(w, http.StatusOK, out)
	return out
}

func appendReply(out []byte, f *fault, bare bool) []byte {
	if bare {
		return appendFault(out, f)
	}
	return append(appendFault(append(out, `{"error":`...), f), '}')
}

func appendFault(out []byte, f *fault) []byte {
	out = appendNumber(append(out, '{'), "code", uint64(f.code))
	out = appendText(out, "message", f.message)
	if f.temporary {
		out = appendRaw(out, "temporary", []byte("true"))
	}
	if f.requestID != "" {
		out = appendText(out, "request_id", f.requestID)
	}
	return append(out, '}')
}

package admin

import "net/http"

// requestSize tells a page how many bytes the head of its request has as HTTP/1.1
// writes it (RFC 9112, section 2.1), which no script can see:
//
//	{"bytes": 412}
//
// It says nothing but what the asking browser has sent itself.
func requestSize(w http.ResponseWriter, r *http.Request) {
	size := len(r.Method+" "+r.RequestURI+" HTTP/1.1\r\n") + len("Host: "+r.Host+"\r\n") + len("\r\n")
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name + ": " + value + "\r\n")
		}
	}
	writeJSON(w, http.StatusOK, map[string]int{"bytes": size})
}

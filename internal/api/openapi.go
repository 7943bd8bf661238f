package api

import (
	_ "embed"
	"net/http"
)

// documentName is the path of the OpenAPI document below Prefix.
const documentName = "openapi.json"

//go:embed openapi.json
var document []byte

// serveDocument needs no key: it holds nothing but what is public.
func serveDocument(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		f := final(codeBadRequest, http.StatusMethodNotAllowed, "use GET, not "+r.Method)
		writeJSON(w, f.status, appendReply(nil, f, transportMode(r)))
		return
	}
	writeJSON(w, http.StatusOK, document)
}

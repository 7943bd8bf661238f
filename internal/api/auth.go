package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// keyHeader is X-API-Key as net/http spells it; any other spelling allocates.
const keyHeader = "X-Api-Key"

// key checks API keys in constant time, whatever their length.
type key struct {
	sum [sha256.Size]byte
	set bool
}

func newKey(s string) key { return key{sum: sha256.Sum256([]byte(s)), set: s != ""} }

// check refuses a request without the right key. The key is taken from X-API-Key
// or "Authorization: apikey KEY", as in Centrifugo, but never from the URL, which
// ends up in logs.
func (k *key) check(r *http.Request) *fault {
	return k.checkGiven(r.Header.Get(keyHeader), r.Header.Get("Authorization"))
}

// checkGiven takes the values of the two headers.
func (k *key) checkGiven(given, authorization string) *fault {
	if !k.set {
		return final(codePermissionDenied, http.StatusForbidden, "the server API is off: set api.key in the configuration")
	}
	if given = givenKey(given, authorization); given == "" {
		return final(codeUnauthorized, http.StatusUnauthorized, "give the API key in the header X-API-Key")
	}
	sum := sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(sum[:], k.sum[:]) != 1 {
		return final(codeUnauthorized, http.StatusUnauthorized, "wrong API key")
	}
	return nil
}

// KeyOf is the API key that a request brings, right or wrong; "": there is none.
// All that asks for one takes it by this, and names it so in the audit log.
func KeyOf(r *http.Request) string {
	return givenKey(r.Header.Get(keyHeader), r.Header.Get("Authorization"))
}

// givenKey takes the values of the two headers.
func givenKey(given, authorization string) string {
	if given != "" {
		return given
	}
	scheme, rest, _ := strings.Cut(authorization, " ")
	if strings.EqualFold(scheme, "apikey") {
		return strings.TrimSpace(rest)
	}
	return ""
}

// Protect lets only requests with the API key through to next, with the same
// errors as the API itself.
func Protect(apiKey string, next http.Handler) http.Handler {
	k := newKey(apiKey)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := k.check(r); f != nil {
			writeFault(w, r, f)
			return
		}
		next.ServeHTTP(w, r)
	})
}

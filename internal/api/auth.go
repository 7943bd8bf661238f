package api

import (
	"net/http"
	"strings"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// keyHeader is X-API-Key as net/http spells it; any other spelling allocates.
const keyHeader = "X-Api-Key"

// Keys knows the keys of the server API: *tenant.Registry. Its methods may be called
// from any goroutine and never wait; the time that they take must not tell anything
// of a key.
type Keys interface {
	Caller(secret string) (app *tenant.App, key *tenant.Key, found bool)
	Callers() bool // whether there is any
}

// caller is who makes a call.
type caller struct {
	app    string // whose channels it is about
	scope  tenant.Scope
	secret string // of the key
	remote string // address; "": not known
}

// call is what a command runs on.
type call struct {
	*Handler
	caller
}

// identify finds out who calls. The key is taken from X-API-Key or "Authorization:
// apikey KEY", as in Centrifugo, but never from the URL, which ends up in logs.
func identify(keys Keys, given, authorization string) (caller, *fault) {
	if given = givenKey(given, authorization); given == "" {
		if !keys.Callers() {
			return caller{}, keysOff
		}
		return caller{}, final(codeUnauthorized, http.StatusUnauthorized, "give the API key in the header X-API-Key")
	}
	app, key, found := keys.Caller(given)
	if !found && !keys.Callers() {
		return caller{}, keysOff
	}
	if !found {
		return caller{}, final(codeUnauthorized, http.StatusUnauthorized, "wrong API key")
	}
	return caller{app: app.Name, scope: key.Scope, secret: given}, nil
}

var keysOff = final(codePermissionDenied, http.StatusForbidden, "the server API is off: set api.key in the configuration")

// may refuses what the caller's key is not for; nil: it is.
func (c *caller) may(asked tenant.Scope) *fault {
	if asked == anyScope || c.scope.Allows(asked) {
		return nil
	}
	return final(codePermissionDenied, http.StatusForbidden, "this key has the scope "+string(c.scope)+", and this takes one with the scope "+string(asked))
}

// keyID names the caller's key in the audit log.
func (c *caller) keyID() string { return audit.KeyID(c.secret) }

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

// Opens reports whether a request brings a key that is for what a scope asks for.
func Opens(keys Keys, scope tenant.Scope, r *http.Request) bool {
	return keyFault(keys, scope, r) == nil
}

// keyFault is why a request's key does not open what asks for a scope; nil: it does.
func keyFault(keys Keys, scope tenant.Scope, r *http.Request) *fault {
	who, f := identify(keys, r.Header.Get(keyHeader), r.Header.Get("Authorization"))
	if f == nil {
		f = who.may(scope)
	}
	return f
}

// Protect lets only requests with a key of a scope through to next, with the same
// errors as the API itself.
func Protect(keys Keys, scope tenant.Scope, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := keyFault(keys, scope, r); f != nil {
			writeFault(w, r, f)
			return
		}
		next.ServeHTTP(w, r)
	})
}

package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/fanfare-push/fanfare/internal/api"
)

// access tells the page what to show, and the sign-in field whether its key is
// right. It answers 200 to everybody, so that asking is no error:
//
//	granted  numbers and lists are open to this request
//	key      they need the API key, as the server API does; a key that was sent is wrong
//	login    they need the password, or the API key
//	off      neither is configured, nothing opens them
//	peer     dev mode: they are open to this machine only
func (a *Handler) access(w http.ResponseWriter, r *http.Request) {
	verdict := a.decide(r)
	if (verdict == needsKey || verdict == needsLogin) && api.KeyOf(r) != "" {
		a.cfg.Refused(r, RefusedKey)
	}
	reply := map[string]any{"access": verdict}
	if a.cfg.Dev {
		reply["dev"] = true
	} else if s := a.sessions.of(r); s != nil {
		reply["csrf"] = s.csrf
	}
	writeJSON(w, http.StatusOK, reply)
}

type verdict string

const (
	granted    verdict = "granted"
	needsKey   verdict = "key"
	needsLogin verdict = "login"
	off        verdict = "off"
	wrongPeer  verdict = "peer"
)

func (a *Handler) decide(r *http.Request) verdict {
	switch {
	case a.cfg.Dev && fromHere(r):
		return granted
	case a.cfg.Dev:
		return wrongPeer
	case a.sessions.of(r) != nil, a.cfg.Operator != nil && a.cfg.Operator(r):
		return granted
	case a.cfg.Password != nil:
		return needsLogin
	case a.cfg.Operator == nil:
		return off
	}
	return needsKey
}

// guard lets only those through to next who may read numbers and lists.
func (a *Handler) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := a.sessions.of(r); s != nil && !a.cfg.Dev {
			a.inSession(s, next, w, r)
			return
		}
		switch a.decide(r) {
		case granted:
			next(w, r)
		case wrongPeer:
			a.cfg.Refused(r, RefusedPeer)
			writeError(w, http.StatusForbidden, "in dev mode this is open to pages and programs of the same machine only")
		case off:
			a.cfg.Refused(r, RefusedKey)
			writeError(w, http.StatusForbidden, "this is off: set api.key or admin.password_hash in the configuration")
		case needsLogin:
			a.cfg.Refused(r, RefusedKey)
			w.Header().Set("WWW-Authenticate", "apikey")
			writeError(w, http.StatusUnauthorized, "sign in, or give the API key in the header X-API-Key")
		default:
			a.cfg.Refused(r, RefusedKey)
			w.Header().Set("WWW-Authenticate", "apikey")
			writeError(w, http.StatusUnauthorized, "give the API key in the header X-API-Key")
		}
	}
}

// fromHere reports that a request was made on this machine, by a program or by
// our own page. The peer alone does not tell: any web page can make the user's
// browser ask. So Host must be loopback too (against DNS rebinding, where a
// foreign name points here), a browser must say that the asking page is ours, and
// no proxy may stand in between.
func fromHere(r *http.Request) bool {
	return isLoopback(r.RemoteAddr) && isLoopback(r.Host) && sameSite(r) && !proxied(r)
}

// isLoopback takes an address with or without a port.
func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// sameSite believes what browsers say of the asking page (Fetch Metadata, and
// Origin as RFC 6454); programs say nothing.
func sameSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	return origin == "" || strings.EqualFold(origin, "http://"+r.Host) || strings.EqualFold(origin, "https://"+r.Host)
}

func proxied(r *http.Request) bool {
	return r.Header.Get("Forwarded") != "" || r.Header.Get("X-Forwarded-For") != ""
}

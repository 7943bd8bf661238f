package admin

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxLogin bounds the body of a login, in bytes.
	maxLogin = 8 << 10
	// loginTimeout is how long a login may take to arrive, and how long it waits for
	// those before it: passwords are checked one at a time, as each takes memory.
	loginTimeout = 5 * time.Second
)

// login answers POST /admin/login with {"password": "…"}: 200 with a cookie and
// the CSRF token, 401 for a wrong password, 429 for too many of them. A form of
// another site cannot send JSON, and its scripts are known by what browsers say of
// them, so that nobody is signed in unknowingly.
func (a *Handler) login(w http.ResponseWriter, r *http.Request) {
	if a.cfg.Dev || a.cfg.Password == nil {
		writeError(w, http.StatusNotFound, "there is no login: set admin.password_hash or admin.password_file")
		return
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); !sameSite(r) || media != "application/json" {
		a.cfg.Refused(r, RefusedCSRF)
		writeError(w, http.StatusForbidden, "a login is JSON and comes from the page itself")
		return
	}
	var given struct {
		Password string `json:"password"`
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(loginTimeout)) // where it cannot be set, the size is all that is bounded
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLogin)).Decode(&given); err != nil {
		writeError(w, http.StatusBadRequest, `the body must be {"password": "…"}`)
		return
	}
	from := a.cfg.Client(r)
	if wait, ok := a.attempts.take(from); !ok {
		a.cfg.Refused(r, RefusedGuess)
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		writeError(w, http.StatusTooManyRequests, "too many wrong passwords from this address")
		return
	}
	right, checked := a.checkPassword(r, given.Password)
	switch {
	case !checked:
		a.attempts.forgive(from) // it was not even looked at
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusServiceUnavailable, "too many logins at once")
	case !right:
		a.attempts.wrong(from)
		a.cfg.Refused(r, RefusedPassword)
		writeError(w, http.StatusUnauthorized, "this password is not right")
	default:
		a.attempts.forgive(from)
		id, made := a.sessions.begin()
		setCookie(w, r, id, a.sessions.ttl)
		a.log.Info("admin signed in", "remote", from.Addr().String())
		writeJSON(w, http.StatusOK, map[string]any{"access": granted, "csrf": made.csrf})
	}
}

// checkPassword waits for its turn; checked is false where that does not come.
func (a *Handler) checkPassword(r *http.Request, given string) (right, checked bool) {
	patience := time.NewTimer(loginTimeout)
	defer patience.Stop()
	select {
	case a.checking <- struct{}{}:
		defer func() { <-a.checking }()
		return a.cfg.Password(given), true
	case <-patience.C:
	case <-r.Context().Done():
	}
	return false, false
}

// logout answers POST /admin/logout, and ends what the session has open.
func (a *Handler) logout(w http.ResponseWriter, r *http.Request) {
	a.sessions.finish(r)
	setCookie(w, r, "", -time.Second)
	a.log.Info("admin signed out", "remote", a.cfg.Client(r).Addr().String())
	writeJSON(w, http.StatusOK, map[string]any{})
}

// changes reports whether a request is of a kind that changes something.
func changes(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// inSession serves who is signed in; what changes something has to bring the
// session's CSRF token besides.
func (a *Handler) inSession(s *session, next http.HandlerFunc, w http.ResponseWriter, r *http.Request) {
	if changes(r) && !s.repeats(r) {
		a.cfg.Refused(r, RefusedCSRF)
		writeError(w, http.StatusForbidden, "the token in X-CSRF-Token is missing or wrong")
		return
	}
	r, done := s.within(r)
	defer done()
	next(w, r)
}

package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxSessions is how many may be signed in at once; with more, the one that
// would end first is signed out.
const maxSessions = 256

const cookieName = "fanfare_admin"

// session is somebody who has given the password.
type session struct {
	csrf    string // to be repeated with what changes something
	expires time.Time
	ended   context.Context // when it is signed out
	end     context.CancelFunc
}

// sessions are those that are signed in, by the hash of what their cookies hold:
// who can read memory has no cookie, and looking one up tells nothing about
// another.
type sessions struct {
	ttl time.Duration

	mu   sync.Mutex
	byID map[[sha256.Size]byte]*session
}

func newSessions(ttl time.Duration) *sessions {
	return &sessions{ttl: ttl, byID: make(map[[sha256.Size]byte]*session)}
}

// begin makes a session and what its cookie holds.
func (s *sessions) begin() (id string, made *session) {
	id = rand.Text() + rand.Text()
	ended, end := context.WithCancel(context.Background())
	made = &session{csrf: rand.Text(), expires: time.Now().Add(s.ttl), ended: ended, end: end}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidyLocked()
	s.byID[sha256.Sum256([]byte(id))] = made
	return id, made
}

// tidyLocked makes room for one more.
func (s *sessions) tidyLocked() {
	now := time.Now()
	var first [sha256.Size]byte
	for id, one := range s.byID {
		if !one.expires.After(now) {
			s.endLocked(id)
		} else if known := s.byID[first]; known == nil || one.expires.Before(known.expires) {
			first = id
		}
	}
	if len(s.byID) >= maxSessions {
		s.endLocked(first)
	}
}

func (s *sessions) endLocked(id [sha256.Size]byte) {
	if one := s.byID[id]; one != nil {
		one.end()
		delete(s.byID, id)
	}
}

// of is the session that a request belongs to; nil: to none. A page of another
// site cannot use the cookie, whatever its browser makes of SameSite.
func (s *sessions) of(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName)
	if err != nil || !sameSite(r) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byID[sha256.Sum256([]byte(cookie.Value))]
	if one == nil || !one.expires.After(time.Now()) {
		return nil
	}
	return one
}

// finish signs out whoever made a request.
func (s *sessions) finish(r *http.Request) {
	if cookie, err := r.Cookie(cookieName); err == nil {
		s.mu.Lock()
		s.endLocked(sha256.Sum256([]byte(cookie.Value)))
		s.mu.Unlock()
	}
}

// repeats reports whether a request brings the session's CSRF token, which no
// page of another site can read.
func (s *session) repeats(r *http.Request) bool {
	return subtle.ConstantTimeCompare([]byte(r.Header.Get("X-CSRF-Token")), []byte(s.csrf)) == 1
}

// within ends a request's context when the session does.
func (s *session) within(r *http.Request) (inside *http.Request, done func()) {
	ctx, cancel := context.WithDeadline(r.Context(), s.expires)
	stop := context.AfterFunc(s.ended, cancel)
	return r.WithContext(ctx), func() { stop(); cancel() }
}

// setCookie gives the browser a session, or takes it away: ttl is negative then. It
// is for requests of this site alone, out of reach of scripts, and kept from plain
// connections where the browser asks over TLS, be it that of a proxy in front.
func setCookie(w http.ResponseWriter, r *http.Request, id string, ttl time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: id, Path: "/admin/", MaxAge: int(ttl / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://"),
	})
}

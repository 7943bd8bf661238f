package hub

import (
	"context"
	"crypto/rand"
	"sync"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// Emulation is for connections that carry bytes to the client only: what the
// client says comes in requests of their own, to any node, with a secret that
// the session was given. Nobody else knows it: unlike the session's id it is not
// shown in presence.

// emulated finds sessions by their secrets. Only emulated sessions are in it.
type emulated struct {
	mu       sync.Mutex
	sessions map[string]*Session
	secrets  map[*Session]string
	held     map[*Session][]heard // arrived while the session was paused
}

// heard is what one request said.
type heard struct {
	data []byte
	done func(struct{}, error)
}

func newEmulated() *emulated {
	return &emulated{
		sessions: make(map[string]*Session), secrets: make(map[*Session]string), held: make(map[*Session][]heard),
	}
}

// Emulate lets requests speak for the session from now on. Called by the
// transport, after Open and before the first message.
func (s *Session) Emulate() {
	if s.ended {
		return
	}
	s.emulated = true
	e := s.shard.hub.emulated
	e.mu.Lock()
	defer e.mu.Unlock()
	secret := rand.Text()
	e.sessions[secret], e.secrets[s] = s, secret
}

// Emulation is what the client needs for its requests; both are "" when the
// session is not emulated.
func (s *Session) Emulation() (secret, node string) {
	if !s.emulated {
		return "", ""
	}
	e := s.shard.hub.emulated
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.secrets[s], s.shard.hub.cfg.Node.UID
}

// Emulate hands the session with a secret what its client said, on whichever
// node it is, and returns when the session has taken it; for a session of
// another node, when that node has been asked. Errors: ErrUnknownSession,
// ErrTooManyRequests (too many requests of it wait), engine.ErrUnknownNode.
func (h *Hub) Emulate(ctx context.Context, secret, node string, data []byte) error {
	_, err := engine.Await(ctx, func(done func(struct{}, error)) {
		if node == "" || node == h.cfg.Node.UID {
			h.emulate(secret, data, done)
			return
		}
		h.engine.Control(engine.Control{Op: engine.ControlReceive, Node: node, Client: secret, Data: data},
			func(err error) { done(struct{}{}, err) })
	})
	return err
}

func (h *Hub) emulate(secret string, data []byte, done func(struct{}, error)) {
	h.emulated.mu.Lock()
	s := h.emulated.sessions[secret]
	h.emulated.mu.Unlock()
	if s == nil {
		done(struct{}{}, ErrUnknownSession)
		return
	}
	s.shard.Post(func() { h.emulated.hear(s, heard{data, done}) })
}

// hear runs on the session's shard. While the session is paused requests wait,
// at most as many as commands may be in flight.
func (e *emulated) hear(s *Session, what heard) {
	switch {
	case s.ended:
		what.done(struct{}{}, ErrUnknownSession)
	case !s.paused:
		s.Receive(what.data)
		what.done(struct{}{}, nil)
	case !e.hold(s, what):
		s.shard.hub.count.emulationFull.Inc()
		what.done(struct{}{}, ErrTooManyRequests)
	}
}

func (e *emulated) hold(s *Session, what heard) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.held[s]) >= s.shard.hub.cfg.MaxPending {
		return false
	}
	e.held[s] = append(e.held[s], what)
	return true
}

// goOn gives a session that is resumed what was held, but not inside the call
// that resumed.
func (e *emulated) goOn(s *Session) {
	for _, what := range e.take(s) {
		s.shard.Post(func() { e.hear(s, what) })
	}
}

func (e *emulated) take(s *Session) []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.held[s]
	delete(e.held, s)
	return list
}

// remove forgets a session that ends.
func (e *emulated) remove(s *Session) {
	for _, what := range e.take(s) {
		what.done(struct{}{}, ErrUnknownSession)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, e.secrets[s])
	delete(e.secrets, s)
}

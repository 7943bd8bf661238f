package cluster

import (
	"iter"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file is engine.Peers: the bus knows the other nodes.

// Ask implements engine.Peers.
func (e *Engine) Ask(question []byte, done func([]engine.Answer, error)) { e.bus.Ask(question, done) }

// Count implements engine.Peers.
func (e *Engine) Count(key string, by int) { e.bus.Count(key, by) }

// Others implements engine.Peers.
func (e *Engine) Others(key string) int { return e.bus.Others(key) }

// Shared implements engine.Peers.
func (e *Engine) Shared() iter.Seq2[string, int] { return e.bus.Shared() }

// Owner implements engine.Peers.
func (e *Engine) Owner(key string) (node string, mine bool) { return e.bus.Owner(key) }

// Alive implements engine.Peers.
func (e *Engine) Alive() []string { return e.bus.Alive() }

// attentive is what the bus tells: s in place of f, but for what others ask f.
func attentive(s *serial, f engine.Follower) engine.Follower {
	r, ok := f.(engine.Respondent)
	if !ok {
		return s
	}
	return struct {
		*serial
		engine.Respondent
	}{s, r}
}

package bus

import (
	"crypto/rand"
	"sync"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/enginetest"
)

// plain is an engine that keeps nothing, made of a Bus. Keys of publications are
// not the bus's to know: it has them for those who ask.
type plain struct {
	*Bus

	mu   sync.Mutex
	keys map[string]bool
}

func (p *plain) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	p.mu.Lock()
	again := req.IdempotencyKey != "" && p.keys[req.IdempotencyKey]
	p.keys[req.IdempotencyKey] = true
	p.mu.Unlock()
	if again {
		done(engine.PublishResult{Duplicate: true}, nil)
		return
	}
	p.Bus.Publish(req.Channel, &req.Publication, func(err error) { done(engine.PublishResult{}, err) })
}

func (*plain) History(_ engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	done(engine.HistoryResult{}, nil)
}

func (*plain) RemoveHistory(_ channel.ID, _ engine.Retention, done func(error)) { done(nil) }

// TestContract plays what the contract says of publications without history, of
// presence and of control.
func TestContract(t *testing.T) {
	for name, tt := range map[string]struct{ servers, nodes int }{
		"one node":                   {1, 1},
		"three nodes, one server":    {1, 3},
		"three nodes, three servers": {3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			srv := servers(t, tt.servers)
			enginetest.Run(t, nil, func(t *testing.T) enginetest.Deployment {
				t.Helper()
				return enginetest.Deployment{Nodes: tt.nodes, Open: func(t *testing.T, followers []engine.Follower) (engines []engine.Engine) {
					t.Helper()
					var nodes []*plain
					for i, f := range followers {
						b := start(t, srv[i%len(srv)], Config{Node: rand.Text()}, f)
						nodes = append(nodes, &plain{Bus: b, keys: make(map[string]bool)})
						engines = append(engines, nodes[i])
					}
					acquainted(t, nodes)
					return engines
				}}
			})
		})
	}
}

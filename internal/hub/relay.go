package hub

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file brings what a client says in a request to one node to its session on
// another, where the client has named the session itself and knows of no node.

// relays take what such clients say, by the name of the session.
type relays struct {
	carrying atomic.Int32 // requests under way to other nodes

	mu sync.Mutex
	m  map[string]func(data []byte)
}

// maxCarrying bounds the requests that look for a session on other nodes, which anybody
// can make; more are refused with ErrBusy.
const maxCarrying = 64

// Relay has take called with what requests to other nodes say to a session, until
// Unrelay. take must not block, and not keep data.
func (h *Hub) Relay(name string, take func(data []byte)) {
	h.relays.mu.Lock()
	defer h.relays.mu.Unlock()
	if h.relays.m == nil {
		h.relays.m = make(map[string]func([]byte))
	}
	h.relays.m[name] = take
}

// Unrelay ends it.
func (h *Hub) Unrelay(name string) {
	h.relays.mu.Lock()
	defer h.relays.mu.Unlock()
	delete(h.relays.m, name)
}

func (h *Hub) relay(name string) func(data []byte) {
	h.relays.mu.Lock()
	defer h.relays.mu.Unlock()
	return h.relays.m[name]
}

// Carry brings data to the session of that name on another node, and returns when
// that node has been sent it. Errors: ErrUnknownSession, ErrBusy.
func (h *Hub) Carry(ctx context.Context, name string, data []byte) error {
	if h.relays.carrying.Add(1) > maxCarrying {
		h.relays.carrying.Add(-1)
		h.count.emulationFull.Inc()
		return ErrBusy
	}
	defer h.relays.carrying.Add(-1)
	nodes, err := gather[string](ctx, h, &question{Kind: askSession, Name: name})
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if node == "" {
			continue
		}
		_, err := engine.Await(ctx, func(done func(struct{}, error)) {
			h.engine.Control(engine.Control{Op: engine.ControlReceive, Node: node, Client: name, Data: data},
				func(err error) { done(struct{}{}, err) })
		})
		return err
	}
	return ErrUnknownSession
}

// whereIs is this node's id where the session is here; "": it is not.
func (h *Hub) whereIs(name string) string {
	if h.relay(name) == nil {
		return ""
	}
	return h.cfg.Node.UID
}

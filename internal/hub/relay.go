package hub

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file lets the transports of nodes speak to each other, where a client has named
// its session itself and knows of no node: its requests reach any.

// Relayed is what other nodes reach of a transport.
type Relayed interface {
	// Has reports whether a session of that name is here. It must not block.
	Has(name string) bool
	// Take is given what a node has sent, in the order in which it did, and owns data
	// from then on. It must not block.
	Take(data []byte)
}

// relays is what finds sessions on other nodes.
type relays struct {
	mu      sync.Mutex
	here    Relayed // nil: no transport takes part
	asking  bool    // a question is under way
	waiting []*search
}

// search is somebody who looks for a session.
type search struct {
	name string
	done func(node string, err error)
}

const (
	// maxSearches bounds those that look for a session on other nodes, which anybody can
	// make do so; more are refused with ErrBusy.
	maxSearches = 4096
	// searchesAtOnce is how many one question is for at most, and searchBytes how long
	// their names are, as JSON.
	searchesAtOnce = 256
	searchBytes    = engine.MaxQuestion - 1024
	// MaxSessionName is the longest name of a session in bytes.
	MaxSessionName = 256
)

// Relay has r take part; once, before the first session.
func (h *Hub) Relay(r Relayed) {
	h.relays.mu.Lock()
	defer h.relays.mu.Unlock()
	h.relays.here = r
}

func (h *Hub) relayed() Relayed {
	h.relays.mu.Lock()
	defer h.relays.mu.Unlock()
	return h.relays.here
}

// Send sends data to what takes part on another node, at most once, in order, and does
// not wait for it. Errors: engine.ErrUnknownNode, ErrBusy, engine.ErrClosed, or an
// internal one when data is too long for one message.
func (h *Hub) Send(node string, data []byte) (err error) {
	h.engine.Control(engine.Control{Op: engine.ControlRelay, Node: node, Data: data}, func(failed error) { err = failed })
	return err
}

// UID is the id of this node.
func (h *Hub) UID() string { return h.cfg.Node.UID }

// Alive reports whether another node is alive.
func (h *Hub) Alive(node string) bool { return slices.Contains(h.engine.Alive(), node) }

// Locate finds the node that a session of that name is at, which is not this one.
// Errors: ErrUnknownSession (also of a name that is too long); ErrBusy when a node that is alive does not answer, or too
// many are looked for.
func (h *Hub) Locate(ctx context.Context, name string) (node string, err error) {
	if h.Alone() || len(name) > MaxSessionName {
		return "", ErrUnknownSession
	}
	return engine.Await(ctx, func(done func(string, error)) { h.search(&search{name, done}) })
}

// search asks at once, or together with others once the question that is under way is
// answered: however many are looked for, nodes are asked one question at a time.
func (h *Hub) search(s *search) {
	r := &h.relays
	r.mu.Lock()
	if len(r.waiting) >= maxSearches {
		r.mu.Unlock()
		h.count.searchFull.Inc()
		s.done("", ErrBusy)
		return
	}
	r.waiting = append(r.waiting, s)
	idle := !r.asking
	r.asking = true
	r.mu.Unlock()
	if idle {
		h.askWhere()
	}
}

// askWhere asks for those that wait, and then for those that have come meanwhile.
func (h *Hub) askWhere() {
	r := &h.relays
	r.mu.Lock()
	n, size := 0, 0
	for n < min(len(r.waiting), searchesAtOnce) {
		if size += jsonRoom(r.waiting[n].name); size > searchBytes {
			break
		}
		n++
	}
	if n == 0 {
		r.asking, r.waiting = false, nil
		r.mu.Unlock()
		return
	}
	list := slices.Clone(r.waiting[:n])
	r.waiting = append(r.waiting[:0], r.waiting[n:]...)
	r.mu.Unlock()
	q := question{Kind: askSessions}
	for _, s := range list {
		q.Names = append(q.Names, s.name)
	}
	data, err := json.Marshal(&q)
	if err != nil {
		h.found(list, nil, err)
		return
	}
	h.engine.Ask(data, func(answers []engine.Answer, err error) { h.found(list, answers, err) })
}

// jsonRoom is how much a text takes in a list of JSON at most: what has to be escaped
// takes six characters.
func jsonRoom(s string) int { return 6*len(s) + len(`"",`) }

// found tells who has looked. Of several nodes that have a session of one name, which
// only a client can bring about, the same is always meant.
func (h *Hub) found(list []*search, answers []engine.Answer, err error) {
	where := make(map[string]string)
	for _, a := range answers {
		var names []string
		if failed := json.Unmarshal(a.Data, &names); failed != nil && err == nil {
			err = failed
		}
		for _, name := range names {
			if node, known := where[name]; !known || a.Node < node {
				where[name] = a.Node
			}
		}
	}
	for _, s := range list {
		switch node := where[s.name]; {
		case err != nil:
			s.done("", err)
		case node == "":
			s.done("", ErrUnknownSession)
		default:
			s.done(node, nil)
		}
	}
	h.askWhere()
}

// sessionsHere are those of names that are here.
func (h *Hub) sessionsHere(names []string) []string {
	found := []string{}
	if r := h.relayed(); r != nil {
		for _, name := range names {
			if r.Has(name) {
				found = append(found, name)
			}
		}
	}
	return found
}

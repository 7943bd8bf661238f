package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Node is what an operator asks of the node that is called, beyond what the hub
// knows.
type Node interface {
	// Overview is of all nodes of the cluster; of this one alone if it is in none.
	Overview(ctx context.Context) (engine.Overview, error)
	// Drain begins to release clients to other nodes, at most rate in a second (0: as
	// the settings say), and says how far it is; once it has begun, it only says that.
	Drain(rate int) Drained
}

// Drained says how far a drain is.
type Drained struct {
	Clients int // connections that are left
	Rate    int // clients that are released in a second
}

// noNode refuses what is asked of a node where there is none, as in tests.
var noNode = notSupported("this method", "no node is asked")

type clusterRequest struct{}

func (r *clusterRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if h.node == nil {
		return out, noNode
	}
	o, err := h.node.Overview(ctx)
	if err != nil {
		return out, err
	}
	text, err := json.Marshal(&o)
	if err != nil {
		return out, fmt.Errorf("encode an overview: %w", err)
	}
	return append(out, text...), nil
}

type drainRequest struct{ rate int64 }

var _ action = (*drainRequest)(nil)

func drainFields() []field[drainRequest] {
	return []field[drainRequest]{{"rate", number(func(r *drainRequest) *int64 { return &r.rate })}}
}

func (r *drainRequest) run(_ context.Context, h *call, out []byte) ([]byte, error) {
	if h.node == nil {
		return out, noNode
	}
	if r.rate < 0 || r.rate > hub.MaxDrainRate {
		return out, badRequest("rate must be 0 to %d", hub.MaxDrainRate)
	}
	d := h.node.Drain(int(r.rate))
	out = appendNumber(append(out, '{'), "num_clients", uint64(max(d.Clients, 0)))
	return append(appendNumber(out, "rate", uint64(max(d.Rate, 0))), '}'), nil
}

func (r *drainRequest) audited() audit.Entry {
	e := audit.Entry{Action: "drain"}
	if r.rate > 0 {
		e.Detail = fmt.Sprintf("rate %d", r.rate)
	}
	return e
}

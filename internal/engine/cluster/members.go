package cluster

import "github.com/fanfare-push/fanfare/internal/engine/cluster/bus"

// Nodes are all that are alive, this one included.
func (e *Engine) Nodes() []bus.NodeInfo { return e.bus.Nodes() }

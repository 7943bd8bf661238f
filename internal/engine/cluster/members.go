package cluster

import "github.com/fanfare-push/fanfare/internal/engine/cluster/bus"

// Nodes are all that are alive, this one included.
func (e *Engine) Nodes() []bus.NodeInfo { return e.bus.Nodes() }

// Owner is the node that does what one of all has to do about a key, see bus.Owner.
func (e *Engine) Owner(key string) (node string, mine bool) { return e.bus.Owner(key) }

// Count adds to what this node has of a key, see bus.Count.
func (e *Engine) Count(key string, by int) { e.bus.Count(key, by) }

// Others is what all other nodes have of a key.
func (e *Engine) Others(key string) int { return e.bus.Others(key) }

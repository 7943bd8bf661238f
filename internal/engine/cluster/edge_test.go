package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/node"
	"github.com/fanfare-push/fanfare/internal/engine/enginetest"
)

// edgeNode is an edge engine with its way to the core nodes.
type edgeNode struct {
	*Edge

	node *node.Node
}

// Close implements engine.Engine.
func (n *edgeNode) Close() error { return errors.Join(n.Edge.Close(), n.node.Close()) }

// edge joins an edge node to the core nodes of the cast; the caller closes it.
func (c *cast) edge(cfg Config, f engine.Follower) *edgeNode {
	c.t.Helper()
	nc := node.Config{Name: "edge", Logger: logger(c.t), Token: "secret"}
	for _, p := range c.clients {
		nc.URLs = append(nc.URLs, "nats://"+p)
	}
	n, err := node.Start(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.Conn, cfg.Node, cfg.Label, cfg.Logger = n.Conn(), rand.Text(), "edge", logger(c.t)
	e, err := OpenEdge(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	e.Attach(f)
	return &edgeNode{e, n}
}

// edgeReady waits until an edge node is, and knows the others.
func edgeReady(tb testing.TB, e *edgeNode, others int) {
	tb.Helper()
	eventually(tb, "the edge node is ready", func() bool { return e.Status().Ready && len(e.Nodes()) > others })
}

// TestContractEdge plays the contract on three core nodes and two edge nodes: one that
// publishes, and one that reads.
func TestContractEdge(t *testing.T) {
	t.Parallel()
	c := newCast(t, 3)
	var clusters atomic.Int64
	enginetest.Run(t, both, func(t *testing.T) enginetest.Deployment {
		t.Helper()
		return c.edgeDeployment(t, fmt.Sprintf("edge%d", clusters.Add(1)))
	})
}

// edgeDeployment is the core nodes between two edge nodes.
func (c *cast) edgeDeployment(t *testing.T, name string) enginetest.Deployment {
	t.Helper()
	clock := newClock()
	d := c.deploymentAt(t, name, clock)
	openCore := d.Open
	d.Nodes += 2
	d.Open = func(t *testing.T, followers []engine.Follower) []engine.Engine {
		t.Helper()
		last := len(followers) - 1
		core := openCore(t, followers[1:last])
		first := c.edge(Config{Name: name, Now: clock.now}, followers[0])
		second := c.edge(Config{Name: name, Now: clock.now}, followers[last])
		edgeReady(t, first, last)
		edgeReady(t, second, last)
		for i, e := range core {
			eventually(t, fmt.Sprintf("node %d knows the edges", i+1), func() bool { return len(e.Alive()) == last })
		}
		return append(append([]engine.Engine{first}, core...), second)
	}
	return d
}

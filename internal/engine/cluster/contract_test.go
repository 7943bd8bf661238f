package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/journal"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/node"
	"github.com/fanfare-push/fanfare/internal/engine/enginetest"
)

// clock is a clock of several nodes that a test moves.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// TestContractAlone plays the contract on a cluster of one node, whose server
// starts and stops with it.
func TestContractAlone(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, both, func(t *testing.T) enginetest.Deployment {
		t.Helper()
		c, clock := newCast(t, 1), newClock()
		return enginetest.Deployment{
			Advance: clock.advance,
			Open: func(t *testing.T, followers []engine.Follower) []engine.Engine {
				t.Helper()
				c.stop(0)
				c.start(0)
				e := c.open(0, Config{Name: "alone", Now: clock.now, PublishWait: testPatience}, followers[0])
				ready(t, e)
				return []engine.Engine{&withNode{e, c.nodes[0]}}
			},
		}
	})
}

// withNode closes the node after the engine.
type withNode struct {
	*Engine

	node *node.Node
}

// Close implements engine.Engine.
func (w *withNode) Close() error { return errors.Join(w.Engine.Close(), w.node.Close()) }

// TestContractThree plays the contract on a cluster of three nodes, whose
// servers stay while engines come and go: leaders are elected in seconds.
func TestContractThree(t *testing.T) {
	t.Parallel()
	c := newCast(t, 3)
	var clusters atomic.Int64
	enginetest.Run(t, both, func(t *testing.T) enginetest.Deployment {
		t.Helper()
		return c.deployment(t, fmt.Sprintf("three%d", clusters.Add(1)))
	})
}

// deployment is engines of a name of their own on all nodes of the cast.
func (c *cast) deployment(t *testing.T, name string) enginetest.Deployment {
	t.Helper()
	return c.deploymentAt(t, name, newClock())
}

// deploymentAt is the same with a clock of the caller's.
func (c *cast) deploymentAt(t *testing.T, name string, clock *clock) enginetest.Deployment {
	t.Helper()
	t.Cleanup(func() { c.forget(name) })
	return enginetest.Deployment{
		Nodes: len(c.nodes), Advance: clock.advance, KeepsMemory: true,
		Open: func(t *testing.T, followers []engine.Follower) (engines []engine.Engine) {
			t.Helper()
			cfg := Config{Name: name, Now: clock.now, Feeds: true, PublishWait: testPatience, BarrierWait: testPatience, Logs: 1, LogBytes: 16 << 20, MemoryLogBytes: 4 << 20}
			var list []*Engine
			for i, f := range followers {
				e := c.open(i, cfg, f)
				list, engines = append(list, e), append(engines, e)
			}
			ready(t, list...)
			return engines
		},
	}
}

// forget removes the logs of a cluster, for which servers reserve space.
func (c *cast) forget(name string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	for _, kind := range []string{"disk", "memory"} {
		j, err := journal.New(journal.Config{Conn: c.nodes[0].Conn(), Stream: name + "-" + kind + "-0"})
		if err != nil {
			c.t.Error(err)
			return
		}
		if err := j.Delete(ctx); err != nil {
			c.t.Error(err)
		}
	}
}

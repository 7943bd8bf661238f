package cluster

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
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
	enginetest.Run(t, both, func(t *testing.T) enginetest.Deployment {
		t.Helper()
		c, clock := newCast(t, 1), newClock()
		return enginetest.Deployment{
			Advance: clock.advance,
			Open: func(t *testing.T, followers []engine.Follower) []engine.Engine {
				t.Helper()
				c.stop(0)
				c.start(0)
				e := c.open(0, Config{Name: "alone", Now: clock.now}, followers[0])
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
	c := newCast(t, 3)
	var clusters atomic.Int64
	enginetest.Run(t, both, func(t *testing.T) enginetest.Deployment {
		t.Helper()
		clock := newClock()
		name := fmt.Sprintf("three%d", clusters.Add(1))
		return enginetest.Deployment{
			Nodes: 3, Advance: clock.advance, KeepsMemory: true,
			Open: func(t *testing.T, followers []engine.Follower) (engines []engine.Engine) {
				t.Helper()
				var list []*Engine
				for i, f := range followers {
					e := c.open(i, Config{Name: name, Now: clock.now, Logs: 1, LogBytes: 16 << 20, MemoryLogBytes: 4 << 20}, f)
					list, engines = append(list, e), append(engines, e)
				}
				ready(t, list...)
				return engines
			},
		}
	})
}

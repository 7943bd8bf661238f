package cluster

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
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
	cfg.Conn, cfg.Node, cfg.Label, cfg.Logger = n.Conn(), cmp.Or(cfg.Node, rand.Text()), "edge", logger(c.t)
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
		first := c.edge(Config{Name: name, Now: clock.now, PublishWait: testPatience, BarrierWait: testPatience}, followers[0])
		second := c.edge(Config{Name: name, Now: clock.now, PublishWait: testPatience, BarrierWait: testPatience}, followers[last])
		edgeReady(t, first, last)
		edgeReady(t, second, last)
		for i, e := range core {
			eventually(t, fmt.Sprintf("node %d knows the edges", i+1), func() bool { return len(e.Alive()) == last })
		}
		return append(append([]engine.Engine{first}, core...), second)
	}
	return d
}

// edgeCrew is a crew with an edge node that follows the channels of its traffic.
func edgeCrew(t *testing.T) (*crew, *edgeNode, *audience) {
	t.Helper()
	c := newCrew(t, 3, Config{Feeds: true})
	a := newAudience(t, c.truth)
	e := c.edge(c.cfg, a)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	edgeReady(t, e, 3)
	for i := range trafficChannels {
		e.Follow(named(i))
	}
	return c, e, a
}

// toldAll waits until an audience was told all that is in the logs.
func toldAll(t *testing.T, a *audience, e engine.Engine, r engine.Retention) {
	t.Helper()
	for i := range trafficChannels {
		top := await(t, ask(e, named(i), r, nil)).Top
		eventually(t, fmt.Sprintf("%s is told up to %d", named(i), top.Offset), func() bool { return a.top(named(i)) == top })
	}
}

// Every core node goes and comes back while publications flow on core nodes and on the
// edge: the edge's Follower is told each once, in order, and what the edge has
// acknowledged is stored once, though nothing but the edge knows it again.
func TestEdgeWhileCoreNodesComeAndGo(t *testing.T) {
	t.Parallel()
	c, e, a := edgeCrew(t)
	r := keep(1_000_000, channel.Disk)
	traffic := newTraffic(t, 4, r, c.at)
	alone := newUnkeyed(t, e, 4, r)
	fed := map[string]bool{}
	for i := range 3 {
		traffic.flows("before", 100)
		alone.flows("before", 100)
		c.leaveFeeder(e, fed, i == 1, func(i int) {
			traffic.flows(fmt.Sprintf("without node %d", i+1), 100)
			alone.flows(fmt.Sprintf("on the edge without node %d", i+1), 100)
		})
	}
	alone.end()
	traffic.end(r, c.truth, append(c.all(), e)...)
	toldAll(t, a, c.engines[0], r)
	alone.check(c.truth)
	n := e.Feed().Counters()
	t.Logf("fed by %d nodes: %+v", len(fed), n)
	if len(fed) < 3 || n.Changes < 4 {
		t.Errorf("it was fed by %d nodes, and changed %d times", len(fed), n.Changes)
	}
}

// leaveFeeder has the node go that feeds the edge, gently or not, and come back after
// meanwhile.
func (c *crew) leaveFeeder(e *edgeNode, fed map[string]bool, gently bool, meanwhile func(i int)) {
	c.t.Helper()
	feeder := e.Feed().Feeder()
	i := slices.IndexFunc(c.engines, func(x *Engine) bool { return x.cfg.Node == feeder })
	if i < 0 {
		c.t.Fatalf("it is fed by %q, which is no node", feeder)
	}
	fed[feeder] = true
	if gently {
		c.exit(i)
		c.stop(i)
	} else {
		c.away(i)
	}
	meanwhile(i)
	ready(c.t, c.back(i))
	eventually(c.t, "the edge node is ready again", func() bool { return e.Status().Ready })
}

// unkeyed publishes on one engine, without keys, and never again what it has an answer
// to.
type unkeyed struct {
	t       *testing.T
	stop    chan struct{}
	halt    func() // closes stop, once
	running sync.WaitGroup

	mu      sync.Mutex
	acked   map[string]place // by data
	refused map[string]bool
}

func newUnkeyed(t *testing.T, e engine.Engine, publishers int, r engine.Retention) *unkeyed {
	t.Helper()
	u := &unkeyed{t: t, stop: make(chan struct{}), acked: make(map[string]place), refused: make(map[string]bool)}
	u.halt = sync.OnceFunc(func() { close(u.stop) })
	t.Cleanup(u.end)
	for i := range publishers {
		u.running.Go(func() { u.publish(e, i, r) })
	}
	return u
}

func (u *unkeyed) publish(e engine.Engine, i int, r engine.Retention) {
	for n := 0; ; n++ {
		select {
		case <-u.stop:
			return
		default:
		}
		ch, data := named(n%trafficChannels), fmt.Sprintf("alone %d-%d", i, n)
		got := await(u.t, send(e, ch, r, data, ""))
		u.mu.Lock()
		switch {
		case got.err == nil && !got.Duplicate:
			u.acked[data] = place{ch, got.Epoch, got.Offset}
		case errors.Is(got.err, engine.ErrBusy):
			u.refused[data] = true
		default:
			u.t.Errorf("%s: %+v", data, got)
		}
		u.mu.Unlock()
	}
}

func (u *unkeyed) flows(what string, n int) {
	u.t.Helper()
	count := func() int {
		u.mu.Lock()
		defer u.mu.Unlock()
		return len(u.acked)
	}
	from := count()
	eventually(u.t, "publications flow "+what, func() bool { return count() >= from+n })
}

func (u *unkeyed) end() {
	u.halt()
	u.running.Wait()
}

// check compares with what offsets hold: what was acknowledged is where it was said,
// and nowhere else; what was refused is nowhere.
func (u *unkeyed) check(tr *truth) {
	u.t.Helper()
	held := map[string]place{}
	for p, data := range tr.at {
		if was, twice := held[data]; twice && was.ch == p.ch {
			u.t.Errorf("%q is at %v and %v", data, was, p)
		}
		held[data] = p
	}
	for data, p := range u.acked {
		if held[data] != p {
			u.t.Errorf("%q was acknowledged at %v and is at %v", data, p, held[data])
		}
	}
	for data := range u.refused {
		if p, stored := held[data]; stored {
			u.t.Errorf("%q was refused and is at %v", data, p)
		}
	}
	u.t.Logf("%d acknowledged, %d refused", len(u.acked), len(u.refused))
}

package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testPatience is how long a test waits for what must happen. Many servers on a
// machine that is busy elect and answer slowly; it decides nothing.
const testPatience = 3 * time.Minute

// logger writes to the test's output where CLUSTER_LOG is set.
func logger(tb testing.TB) *slog.Logger {
	tb.Helper()
	if os.Getenv("CLUSTER_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(testPatience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("it does not come to be that %s", what)
		}
	}
}

// freePorts are addresses on loopback that nobody listens on.
func freePorts(tb testing.TB, n int) []string {
	tb.Helper()
	var list []string
	var open []net.Listener
	for range n {
		l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		open = append(open, l) // so that none is given twice
		list = append(list, l.Addr().String())
	}
	for _, l := range open {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	}
	return list
}

// cast is some core nodes of one cluster, each of which can be stopped and
// started on what it had.
type cast struct {
	t       testing.TB
	dir     string
	ports   []string     // for each other
	clients []string     // for edge nodes
	nodes   []*node.Node // nil: stopped
}

// newCast starts so many core nodes, which the end of the test stops.
func newCast(tb testing.TB, n int) *cast {
	tb.Helper()
	c := &cast{t: tb, dir: tb.TempDir(), nodes: make([]*node.Node, n)}
	if n > 1 {
		ports := freePorts(tb, 2*n)
		c.ports, c.clients = ports[:n], ports[n:]
	}
	for i := range n {
		c.start(i)
	}
	tb.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	return c
}

func (c *cast) start(i int) {
	c.t.Helper()
	cfg := node.Config{
		Name: fmt.Sprintf("n%d", i+1), Dir: filepath.Join(c.dir, fmt.Sprintf("nats%d", i+1)), Cluster: "test", Logger: logger(c.t),
	}
	if len(c.ports) > 0 {
		cfg.Listen, cfg.ListenClients, cfg.Secret = c.ports[i], c.clients[i], "secret"
		for j, p := range c.ports {
			if j != i {
				cfg.Peers = append(cfg.Peers, p)
			}
		}
	}
	n, err := node.Start(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = n
}

func (c *cast) stop(i int) {
	c.t.Helper()
	if c.nodes[i] == nil {
		return
	}
	if err := c.nodes[i].Close(); err != nil {
		c.t.Error(err)
	}
	c.nodes[i] = nil
}

// indexDir is where the engine of a node keeps its indexes of a cluster.
func (c *cast) indexDir(i int, cluster string) string {
	return filepath.Join(c.dir, fmt.Sprintf("index%d-%s", i+1, cluster))
}

// open opens an engine on a node; the caller closes it.
func (c *cast) open(i int, cfg Config, f engine.Follower) *Engine {
	c.t.Helper()
	cfg.Conn, cfg.Node, cfg.Label = c.nodes[i].Conn(), rand.Text(), fmt.Sprintf("n%d", i+1)
	cfg.Dir = c.indexDir(i, cfg.Name)
	if cfg.Logs == 0 {
		cfg.Logs = 2
	}
	cfg.Replicas = len(c.nodes)
	cfg.Logger = logger(c.t)
	cfg.OnFatal = func(reason string) { c.t.Errorf("the engine gave up: %s", reason) }
	e, err := Open(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	e.Attach(f)
	return e
}

// ready waits until engines are, and know each other.
func ready(tb testing.TB, engines ...*Engine) {
	tb.Helper()
	for i, e := range engines {
		last := engine.Status{}
		func() {
			defer func() {
				if !last.Ready {
					tb.Logf("node %d: %s", i+1, last.Reason)
				}
			}()
			eventually(tb, fmt.Sprintf("node %d is ready", i+1), func() bool { last = e.Status(); return last.Ready })
		}()
		eventually(tb, fmt.Sprintf("node %d knows the others", i+1), func() bool { return len(e.bus.Nodes()) >= len(engines) })
	}
}

// both are the durabilities.
var both = []channel.Durability{channel.Disk, channel.Memory}

// closeAll closes engines one after the other.
func closeAll(tb testing.TB, engines ...*Engine) {
	tb.Helper()
	for _, e := range engines {
		if err := e.Close(); err != nil && !errors.Is(err, engine.ErrClosed) {
			tb.Error(err)
		}
	}
}

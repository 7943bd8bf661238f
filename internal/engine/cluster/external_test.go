//go:build unix

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/node"
	"github.com/fanfare-push/fanfare/internal/engine/enginetest"
)

// servers are NATS servers in processes of their own, that form a cluster.
type servers struct {
	t       testing.TB
	binary  string
	dir     string
	clients []string // their addresses
	routes  []string
	running []*exec.Cmd // nil: killed
}

const serverConfig = `
server_name: s%d
listen: "%s"
authorization { user: fanfare, password: pass }
jetstream { store_dir: "%s", sync_interval: always }
cluster { name: outside, listen: "%s", routes: [%s] }
`

// newServers builds the server of the module and starts it so many times; the
// end of the test kills them.
func newServers(t *testing.T, n int) *servers {
	t.Helper()
	s := &servers{t: t, dir: t.TempDir(), clients: freePorts(t, n), routes: freePorts(t, n), running: make([]*exec.Cmd, n)}
	s.binary = filepath.Join(s.dir, "nats-server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", s.binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	for i := range n {
		s.start(i)
	}
	t.Cleanup(func() {
		for i := range s.running {
			s.kill(i)
		}
	})
	return s
}

func (s *servers) start(i int) {
	s.t.Helper()
	routes := make([]string, len(s.routes))
	for j, r := range s.routes {
		routes[j] = fmt.Sprintf("%q", "nats-route://"+r)
	}
	file := filepath.Join(s.dir, fmt.Sprintf("s%d.conf", i))
	text := fmt.Sprintf(serverConfig, i, s.clients[i], filepath.Join(s.dir, fmt.Sprint("js", i)), s.routes[i], strings.Join(routes, ", "))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("s%d.log", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()                                     // the process has its own
	cmd := exec.CommandContext(context.Background(), s.binary, "-c", file) // ends when it is killed
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.running[i] = cmd
	eventually(s.t, "the server listens", func() bool {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(s.t.Context(), "tcp", s.clients[i])
		return err == nil && c.Close() == nil
	})
}

// kill is kill -9.
func (s *servers) kill(i int) {
	cmd := s.running[i]
	if cmd == nil {
		return
	}
	s.running[i] = nil
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // says that it was killed
}

func (s *servers) signal(i int, sig syscall.Signal) {
	s.t.Helper()
	if err := s.running[i].Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// connect makes a node that prefers one of the servers.
func (s *servers) connect(i int) *node.Node {
	s.t.Helper()
	var urls []string
	for j := range s.clients {
		urls = append(urls, "nats://"+s.clients[(i+j)%len(s.clients)])
	}
	n, err := node.Start(node.Config{Name: fmt.Sprintf("n%d", i+1), URLs: urls, User: "fanfare", Password: "pass", Logger: logger(s.t)})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// outside is a cast whose nodes use servers elsewhere.
func outside(t *testing.T, s *servers) *cast {
	t.Helper()
	c := &cast{t: t, dir: t.TempDir(), nodes: make([]*node.Node, len(s.running))}
	for i := range c.nodes {
		c.nodes[i] = s.connect(i)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	return c
}

// TestContractOutside plays the contract on three nodes and three servers in
// processes of their own.
func TestContractOutside(t *testing.T) {
	t.Parallel()
	c := outside(t, newServers(t, 3))
	var clusters atomic.Int64
	enginetest.Run(t, both, func(t *testing.T) enginetest.Deployment {
		t.Helper()
		return c.deployment(t, fmt.Sprintf("outside%d", clusters.Add(1)))
	})
}

// leader is which server leads the first log on disk.
func (c *crew) leader() int {
	c.t.Helper()
	at := -1
	eventually(c.t, "the log has a leader", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		b, err := c.engines[0].disk[0].journal.Bounds(ctx)
		if err != nil {
			return false
		}
		_, err = fmt.Sscanf(b.Leader, "s%d", &at)
		return err == nil
	})
	return at
}

// Servers are killed, frozen, and all killed at once, while publishers go on.
func TestServersFail(t *testing.T) {
	t.Parallel()
	s := newServers(t, 3)
	c := crewOf(t, outside(t, s), Config{Logs: 2})
	r := keep(1_000_000, channel.Disk)
	traffic := newTraffic(t, 6, r, c.at)
	faults := []struct {
		name   string
		strike func(at int) (repair func())
	}{
		{"leader killed", func(at int) func() { s.kill(at); return func() { s.start(at) } }},
		{"follower killed", func(at int) func() {
			at = (at + 1) % 3
			s.kill(at)
			return func() { s.start(at) }
		}},
		{"leader frozen", func(at int) func() { s.signal(at, syscall.SIGSTOP); return func() { s.signal(at, syscall.SIGCONT) } }},
		{"all killed", func(int) func() {
			for i := range 3 {
				s.kill(i)
			}
			for i := range 3 {
				s.start(i)
			}
			return func() {}
		}},
	}
	for _, f := range faults {
		traffic.flows("before: "+f.name, 50)
		traffic.longest()
		repair := f.strike(c.leader())
		traffic.flows("after: "+f.name, 200)
		pause := traffic.longest()
		repair()
		traffic.flows("repaired: "+f.name, 50)
		ready(t, c.engines...)
		t.Logf("%s: the longest time without an acknowledgement is %s, %s once it was repaired", f.name,
			pause.Round(time.Millisecond), traffic.longest().Round(time.Millisecond))
	}
	var list []engine.Engine
	list = append(list, c.all()...)
	traffic.end(r, c.truth, list...)
}

// wire is a way to a server that can be cut.
type wire struct {
	t        *testing.T
	to       string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, to: to, listener: l, conns: make(map[net.Conn]bool)}
	w.running.Go(w.accept)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		w.set(true)
		w.running.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return // closed
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = near.Close() // as a cut does
			continue
		}
		if !w.add(near, far) {
			continue
		}
		w.running.Go(func() { w.pass(near, far) })
		w.running.Go(func() { w.pass(far, near) })
	}
}

// add reports whether the wire is whole; the connections are closed otherwise.
func (w *wire) add(list ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range list {
		if w.cut {
			_ = c.Close()
		}
		w.conns[c] = true
	}
	return !w.cut
}

func (w *wire) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from) // ends with either
	_, _ = from.Close(), to.Close()
}

// set cuts the wire, or mends it.
func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for c := range w.conns {
		if cut {
			_ = c.Close()
		}
	}
	clear(w.conns)
}

// A node that is cut off from NATS says so, refuses what is durable, and is like
// the others once it is back: what it had sent has its effect once.
func TestCutOff(t *testing.T) {
	t.Parallel()
	s := newServers(t, 3)
	on := outside(t, s)
	w := newWire(t, s.clients[2])
	on.stop(2)
	var err error
	on.nodes[2], err = node.Start(node.Config{
		Name: "n3", URLs: []string{"nats://" + w.listener.Addr().String()}, User: "fanfare", Password: "pass", Alone: true, Logger: logger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := crewOf(t, on, Config{Logs: 2})
	r := keep(1_000_000, channel.Disk)
	traffic := newTraffic(t, 6, r, c.at)
	for range 3 {
		traffic.flows("before", 100)
		w.set(true)
		traffic.flows("on the others", 200)
		eventually(t, "it says that it is cut off", func() bool { return !c.engines[2].Status().Ready })
		eventually(t, "it refuses", func() bool {
			select {
			case got := <-send(c.engines[2], named(9), r, "refused", ""):
				return errors.Is(got.err, engine.ErrBusy)
			case <-time.After(5 * time.Second): // it was sent before it was clear that nobody takes it
				return false
			}
		})
		w.set(false)
		ready(t, c.engines[2])
		traffic.flows("once it is back", 100)
	}
	ready(t, c.engines...)
	traffic.end(r, c.truth, c.all()...)
}

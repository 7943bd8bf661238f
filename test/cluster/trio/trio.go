package trio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"github.com/fanfare-push/fanfare/test/cluster/link"
	"github.com/fanfare-push/fanfare/test/server"
)

// Size is how many nodes there are.
const Size = 3

// Config says what the nodes are.
type Config struct {
	Bin, Dir string // the binary, and a directory for all nodes
	Settings string // of each node, as YAML, without `cluster`
	APIKey   string
	LogSize  string // cluster.log_size; "": the default
	// Namespaces gives each node a network namespace of its own, in place of
	// proxies between them; ErrNamespaces where that is not allowed.
	Namespaces bool
}

// Trio is the cluster. Its methods may be called from any goroutine, but not two
// for the same node at a time.
type Trio struct {
	cfg     Config
	secret  string
	network network

	mu      sync.Mutex
	servers [Size]*server.Server // nil: it is down
	changed chan struct{}        // closed at the next change of servers
}

// New makes the network, and starts no node.
func New(ctx context.Context, cfg Config) (*Trio, error) {
	t := &Trio{cfg: cfg, secret: fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()), changed: make(chan struct{})}
	for i := range Size {
		if err := os.MkdirAll(t.Dir(i), 0o700); err != nil {
			return nil, err
		}
	}
	if cfg.Namespaces {
		n, err := newNamespaces(ctx)
		if err != nil {
			return nil, err
		}
		t.network = n
		return t, nil
	}
	p, err := newProxies(ctx)
	if err != nil {
		return nil, err
	}
	t.network = p
	return t, nil
}

// Secret is what the nodes know each other by.
func (t *Trio) Secret() string { return t.secret }

// Dir is the working directory of a node, with its data in it.
func (t *Trio) Dir(i int) string { return filepath.Join(t.cfg.Dir, Name(i)) }

// Name is what a node is called.
func Name(i int) string { return fmt.Sprintf("n%d", i+1) }

// options start node i, with further variables of the environment.
func (t *Trio) options(i int, env ...string) server.Options {
	at := t.network.node(i)
	text := t.cfg.Settings + fmt.Sprintf("\ncluster:\n  name: trio\n  node: %s\n  listen: %s\n", Name(i), at.listen)
	if at.advertise != "" {
		text += "  advertise: " + at.advertise + "\n"
	}
	if t.cfg.LogSize != "" {
		text += "  log_size: " + t.cfg.LogSize + "\n"
	}
	text += "  peers:\n"
	for _, p := range at.peers {
		text += "    - " + p + "\n"
	}
	return server.Options{
		Bin: t.cfg.Bin, Wrap: at.wrap, Dir: t.Dir(i), Config: text, APIKey: t.cfg.APIKey,
		Args: []string{"--listen", at.clients}, Env: append(env, "FANFARE_CLUSTER_SECRET="+t.secret),
	}
}

// Start starts a node that is down and returns once it listens for clients.
// env are further variables of its environment, name=value.
func (t *Trio) Start(ctx context.Context, i int, env ...string) error {
	srv, err := server.Start(ctx, t.options(i, env...))
	if err != nil {
		return fmt.Errorf("%s: %w", Name(i), err)
	}
	t.set(i, srv)
	return nil
}

// Launch starts a node that is down, and does not wait until it listens; it is
// not given to clients. The caller ends it.
func (t *Trio) Launch(i int) (*server.Server, error) { return server.Launch(t.options(i)) }

func (t *Trio) set(i int, srv *server.Server) (before *server.Server) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, t.servers[i] = t.servers[i], srv
	close(t.changed)
	t.changed = make(chan struct{})
	return before
}

// Server is a node's process; nil: it is down.
func (t *Trio) Server(i int) *server.Server {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.servers[i]
}

// Kill ends a node with kill -9, if it is not down.
func (t *Trio) Kill(i int) {
	if srv := t.set(i, nil); srv != nil {
		srv.Kill()
	}
}

// Stop ends a node with SIGTERM, and says an error where that does not end it
// with code 0. Clients are not sent to it any more.
func (t *Trio) Stop(ctx context.Context, i int) error {
	srv := t.set(i, nil)
	if srv == nil {
		return nil
	}
	code, err := srv.Stop(ctx)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s ends with code %d:\n%s", Name(i), code, srv.Output())
	}
	return err
}

// Set changes what happens to bytes from one node to another, whoever dialed.
func (t *Trio) Set(from, to int, s link.State) error { return t.network.set(from, to, s) }

// Reset ends all connections between two nodes, where the network can.
func (t *Trio) Reset(a, b int) error { return t.network.reset(a, b) }

// Heal lets all bytes pass.
func (t *Trio) Heal() error {
	var errs []error
	for i := range Size {
		for j := range Size {
			if i != j {
				errs = append(errs, t.Set(i, j, link.State{}))
			}
		}
	}
	return errors.Join(errs...)
}

// wander: one in so many times a client goes to any node instead of its own.
const wander = 4

// Find waits until a node listens and gives its address: mostly that of node
// home, which may be frozen or cut off.
func (t *Trio) Find(ctx context.Context, home int, random *rand.Rand) (string, error) {
	for {
		t.mu.Lock()
		changed := t.changed
		var up []*server.Server
		for _, srv := range t.servers {
			if srv != nil {
				up = append(up, srv)
			}
		}
		own := t.servers[home%Size]
		t.mu.Unlock()
		if own != nil && random.IntN(wander) > 0 {
			return own.Addr(), nil
		}
		if len(up) > 0 {
			return up[random.IntN(len(up))].Addr(), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// Close kills all nodes and ends the network.
func (t *Trio) Close() error {
	for i := range Size {
		t.Kill(i)
	}
	return t.network.close()
}

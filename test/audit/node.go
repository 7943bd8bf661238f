package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

// node is the server, which is a new process after each kill.
type node struct {
	mu   sync.Mutex
	srv  *server.Server
	live chan struct{} // closed when srv is there
}

func newNode() *node { return &node{live: make(chan struct{})} }

// current gives the server, as soon as there is one that listens.
func (n *node) current(ctx context.Context) (*server.Server, error) {
	for {
		n.mu.Lock()
		srv, live := n.srv, n.live
		n.mu.Unlock()
		if srv != nil {
			return srv, nil
		}
		select {
		case <-live:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *node) listens(srv *server.Server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.srv = srv
	close(n.live)
}

// kill ends the current process, if there is one, the hard way.
func (n *node) kill() {
	n.mu.Lock()
	srv := n.srv
	if srv != nil {
		n.srv, n.live = nil, make(chan struct{})
	}
	n.mu.Unlock()
	if srv != nil {
		srv.Kill()
	}
}

func (n *node) stop() { n.kill() }

const (
	maxLife  = 1500 * time.Millisecond // of a process under load
	maxYoung = 300 * time.Millisecond  // of one that is killed while it starts
	minAcks  = 20                      // before a kill counts as one under load
)

// killAll starts and kills the server, and leaves one that runs. Every fifth kill
// comes while the process starts and recovers.
func (a *audit) killAll(ctx context.Context, random *rand.Rand) error {
	opts := server.Options{Bin: a.bin, Dir: a.dir, Config: serverConfig, APIKey: apiKey}
	for i := 1; i <= a.kills; i++ {
		var err error
		how := "under load"
		if i%5 == 0 {
			how = "while it starts"
			err = killYoung(ctx, opts, upTo(random, maxYoung))
		} else {
			err = a.killLoaded(ctx, opts, upTo(random, maxLife))
		}
		if err != nil {
			return fmt.Errorf("kill %d of %d, %s: %w", i, a.kills, how, err)
		}
		a.progress(fmt.Sprintf("audit: kill %d of %d, %s, %d acknowledged", i, a.kills, how, a.Acknowledged()))
	}
	srv, err := server.Start(ctx, opts)
	if err != nil {
		return fmt.Errorf("start after the last kill: %w", err)
	}
	a.node.listens(srv)
	return a.AwaitAcks(ctx, minAcks)
}

func killYoung(ctx context.Context, opts server.Options, life time.Duration) error {
	srv, err := server.Launch(opts)
	if err != nil {
		return err
	}
	defer srv.Kill()
	return pause(ctx, life)
}

func (a *audit) killLoaded(ctx context.Context, opts server.Options, life time.Duration) error {
	srv, err := server.Start(ctx, opts)
	if err != nil {
		return err
	}
	a.node.listens(srv)
	defer a.node.kill()
	if err := a.AwaitAcks(ctx, minAcks); err != nil {
		return fmt.Errorf("%w\n%s", err, srv.Output())
	}
	if err := pause(ctx, life); err != nil {
		return err
	}
	select {
	case <-srv.Done():
		return fmt.Errorf("the server ended by itself:\n%s", srv.Output())
	default:
		return nil
	}
}

package cluster

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/node"
	"github.com/fanfare-push/fanfare/internal/engine/enginetest"
	"github.com/fanfare-push/fanfare/internal/engine/local"
)

// standIn
type standIn struct{ *local.Engine }

func (s standIn) Publish(ch channel.ID, pub *engine.Publication, done func(error)) {
	s.Engine.Publish(engine.PublishRequest{Channel: ch, Publication: *pub}, func(_ engine.PublishResult, err error) { done(err) })
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func testLogger(t *testing.T) *slog.Logger {
	if os.Getenv("CLUSTER_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it does not come to be that %s", what)
		}
	}
}

// TestContractAlone plays the contract on a cluster of one node.
func TestContractAlone(t *testing.T) {
	enginetest.Run(t, []channel.Durability{channel.Disk, channel.Memory}, func(t *testing.T) enginetest.Deployment {
		dir := t.TempDir()
		var clock atomic.Int64
		clock.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
		return enginetest.Deployment{
			Advance: func(d time.Duration) { clock.Add(int64(d)) },
			Open: func(t *testing.T, followers []engine.Follower) []engine.Engine {
				t.Helper()
				n, err := node.Start(node.Config{Name: "n1", Dir: filepath.Join(dir, "nats"), Cluster: "test", Logger: testLogger(t)})
				if err != nil {
					t.Fatal(err)
				}
				loc, err := local.Open(local.Config{FS: vfs.NewMem(), Dir: "x"})
				if err != nil {
					t.Fatal(err)
				}
				e, err := Open(Config{
					Conn: n.Conn(), Node: rand.Text(), Dir: filepath.Join(dir, "index"), Logs: 2,
					Logger:  testLogger(t),
					Now:     func() time.Time { return time.Unix(0, clock.Load()) },
					OnFatal: func(reason string) { t.Errorf("the engine gave up: %s", reason) },
				}, standIn{loc})
				if err != nil {
					t.Fatal(err)
				}
				e.Attach(followers[0])
				eventually(t, "it is ready", func() bool { return e.Status().Ready })
				return []engine.Engine{&withNode{e, n}}
			},
		}
	})
}

// withNode closes the node after the engine.
type withNode struct {
	*Engine
	n *node.Node
}

func (w *withNode) Close() error {
	err := w.Engine.Close()
	if cerr := w.n.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close node: %w", cerr)
	}
	return err
}

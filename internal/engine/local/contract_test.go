package local

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/enginetest"
)

// TestContract plays every test of the contract on an engine of its own, on a
// file system in RAM: syncs are counted on, not measured.
func TestContract(t *testing.T) {
	enginetest.Run(t, []channel.Durability{channel.Disk, channel.Memory}, func(*testing.T) enginetest.Deployment {
		fs := vfs.NewMem()
		var clock atomic.Int64
		clock.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
		return enginetest.Deployment{
			Advance: func(d time.Duration) { clock.Add(int64(d)) },
			Open: func(t *testing.T, followers []engine.Follower) []engine.Engine {
				t.Helper()
				e, err := Open(Config{
					Dir: "data", FS: fs,
					Now:     func() time.Time { return time.Unix(0, clock.Load()) },
					OnFatal: func(reason string) { t.Errorf("the engine gave up: %s", reason) },
				})
				if err != nil {
					t.Fatal(err)
				}
				e.Attach(followers[0])
				return []engine.Engine{e}
			},
		}
	})
}

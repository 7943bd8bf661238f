package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/local"
)

// BenchmarkDurable compares publishing with history on disk to a cluster of one
// and of three nodes in this process, to the engine of a single node.
func BenchmarkDurable(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		for _, publishers := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("nodes=%d/publishers=%d", nodes, publishers), func(b *testing.B) { benchDurable(b, nodes, publishers) })
		}
	}
}

// silent is a Follower that does not listen.
type silent struct{}

func (silent) Publication(channel.ID, string, *engine.Publication) {}
func (silent) Join(channel.ID, *engine.ClientInfo, bool)           {}
func (silent) Leave(channel.ID, *engine.ClientInfo, bool)          {}
func (silent) Control(engine.Control)                              {}

func benchDurable(b *testing.B, nodes, publishers int) {
	b.Helper()
	c := newCast(b, nodes)
	var engines []*Engine
	for i := range nodes {
		e := c.open(i, Config{Name: "bench", Logs: DefaultLogs}, silent{})
		engines = append(engines, e)
		b.Cleanup(func() { closeAll(b, e) })
	}
	ready(b, engines...)
	alone, err := local.Open(local.Config{Dir: filepath.Join(b.TempDir(), "local")})
	if err != nil {
		b.Fatal(err)
	}
	alone.Attach(silent{})
	b.Cleanup(func() {
		if err := alone.Close(); err != nil {
			b.Error(err)
		}
	})
	var ours, theirs int64
	var inOurs, inTheirs time.Duration
	for b.Loop() {
		n, d := turn(b, publishers, func(i int) engine.Engine { return engines[i%nodes] })
		ours, inOurs = ours+n, inOurs+d
		n, d = turn(b, publishers, func(int) engine.Engine { return alone })
		theirs, inTheirs = theirs+n, inTheirs+d
	}
	perSecond, alonePerSecond := float64(ours)/inOurs.Seconds(), float64(theirs)/inTheirs.Seconds()
	b.ReportMetric(perSecond, "publishes/s")
	b.ReportMetric(alonePerSecond, "alone/s")
	b.ReportMetric(perSecond/alonePerSecond, "ratio")
	b.ReportMetric(float64(publishers)/perSecond*1000, "ms/publish")
	b.ReportMetric(0, "ns/op")
}

const benchTurn = time.Second

// turn lets publishers publish for a while, and yields how much they did.
func turn(b *testing.B, publishers int, on func(i int) engine.Engine) (n int64, took time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), benchTurn)
	defer cancel()
	var count atomic.Int64
	var wg sync.WaitGroup
	r := keep(1000, channel.Disk)
	begun := time.Now()
	for i := range publishers {
		wg.Go(func() {
			data := string(make([]byte, 128))
			for k := 0; ctx.Err() == nil; k++ {
				if got := <-send(on(i), named((i+k)%128), r, data, ""); got.err != nil {
					b.Error(got.err)
					return
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	return count.Load(), time.Since(begun)
}

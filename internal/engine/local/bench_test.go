package local

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// BenchmarkDurable compares publishing with history on disk, trimming and
// idempotency keys on, to as many goroutines writing the same data straight into
// Pebble. Both run in turns in one benchmark, so that "ratio" is of one machine
// in one state.
func BenchmarkDurable(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchDurable(b, writers) })
	}
}

const (
	benchTurn     = 500 * time.Millisecond
	benchChannels = 128
	benchData     = 128 // bytes
)

func benchDurable(b *testing.B, writers int) {
	b.Helper()
	dir := b.TempDir()
	e := open(b, Config{Dir: filepath.Join(dir, "engine"), StoreMemTableBytes: 32 << 20, FS: vfs.Default}, silent{})
	db := rawPebble(b, filepath.Join(dir, "raw"))
	data := make([]byte, benchData)
	var ours, raw int64
	var inOurs, inRaw time.Duration
	for b.Loop() {
		n, d := turn(writers, func(n int64) {
			if err := publishBench(e, n, data); err != nil {
				b.Error(err)
			}
		}, ours)
		ours, inOurs = ours+n, inOurs+d
		n, d = turn(writers, func(n int64) {
			if err := db.Set(binary.BigEndian.AppendUint64(nil, uint64(n)), data, pebble.Sync); err != nil {
				b.Error(err)
			}
		}, raw)
		raw, inRaw = raw+n, inRaw+d
	}
	perSecond, rawPerSecond := float64(ours)/inOurs.Seconds(), float64(raw)/inRaw.Seconds()
	b.ReportMetric(perSecond, "publishes/s")
	b.ReportMetric(rawPerSecond, "sets/s")
	b.ReportMetric(perSecond/rawPerSecond, "ratio")
	b.ReportMetric(0, "ns/op")
}

// turn lets writers work for a while and yields how much they did.
func turn(writers int, work func(n int64), from int64) (n int64, took time.Duration) {
	var count atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for range writers {
		wg.Go(func() {
			for time.Since(begun) < benchTurn {
				work(from + count.Add(1))
			}
		})
	}
	wg.Wait()
	return count.Load(), time.Since(begun)
}

var answers = sync.Pool{New: func() any { return make(chan error, 1) }}

func publishBench(e *Engine, n int64, data []byte) error {
	c := answers.Get().(chan error)
	defer answers.Put(c)
	e.Publish(engine.PublishRequest{
		Channel:        channel.ID{App: "default", Name: benchNames[n%benchChannels]},
		Retention:      engine.Retention{Size: 100, TTL: time.Hour, MetaTTL: 24 * time.Hour},
		IdempotencyKey: fmt.Sprintf("key-%d", n),
		Publication:    engine.Publication{Data: data},
	}, func(_ engine.PublishResult, err error) { c <- err })
	return <-c
}

var benchNames = func() (names [benchChannels]string) {
	for i := range names {
		names[i] = fmt.Sprintf("bench:%d", i)
	}
	return names
}()

// rawPebble is a Pebble as the store has it.
func rawPebble(b *testing.B, dir string) *pebble.DB {
	b.Helper()
	opts := &pebble.Options{
		MemTableSize: 32 << 20, MemTableStopWritesThreshold: 3, CacheSize: 32 << 20, Logger: quiet{},
		FormatMajorVersion: pebble.FormatWALSyncChunks, L0CompactionThreshold: 2, L0StopWritesThreshold: 64,
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

// silent is a Follower that keeps nothing.
type silent struct{}

func (silent) Publication(channel.ID, string, *engine.Publication) {}
func (silent) Join(channel.ID, *engine.ClientInfo, bool)           {}
func (silent) Leave(channel.ID, *engine.ClientInfo, bool)          {}
func (silent) Control(engine.Control)                              {}

// BenchmarkMemory is publishing with history in RAM.
func BenchmarkMemory(b *testing.B) {
	e := open(b, Config{}, silent{})
	data := make([]byte, benchData)
	ret := engine.Retention{Size: 100, TTL: time.Hour, MetaTTL: 24 * time.Hour, Durability: channel.Memory}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		e.Publish(engine.PublishRequest{
			Channel:   channel.ID{App: "default", Name: benchNames[n%benchChannels]},
			Retention: ret, Publication: engine.Publication{Data: data},
		}, func(_ engine.PublishResult, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
}

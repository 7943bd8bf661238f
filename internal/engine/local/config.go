package local

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Defaults of Config.
const (
	DefaultQueueEntries = 32 << 10
	DefaultQueueBytes   = 64 << 20
	DefaultHotChannels  = 64 << 10
	DefaultCacheBytes   = 64 << 20
	DefaultMemoryBytes  = 256 << 20
	DefaultMemoryKeys   = 1 << 20
	DefaultReaders      = 8
	DefaultReaderQueue  = 4096
	DefaultReserveBytes = 256 << 20
	DefaultTickEvery    = time.Second
	DefaultHangAfter    = 5 * time.Second
)

// Config is what an Engine needs. Zero fields mean their defaults.
type Config struct {
	Dir    string   // data directory; made when the engine opens
	FS     store.FS // nil: the operating system's
	Logger *slog.Logger
	// OnFatal is told once why the engine cannot go on; it should end the
	// process. Called on any goroutine. What was not acknowledged by then never
	// will be.
	OnFatal func(reason string)
	// OnCommit is told of each batch that reached the disk: how many publications
	// are in it, none where it only tidies up, and how long it took from its write
	// to the end of its sync. Called on one goroutine, which publishers wait for: it
	// must not block.
	OnCommit func(publications int, took time.Duration)
	Now      func() time.Time // nil: time.Now

	QueueEntries int   // publications waiting for the committer; more are refused with ErrBusy
	QueueBytes   int64 // their bytes
	HotChannels  int   // channels on disk whose state is kept in RAM
	CacheBytes   int64 // recent publications of them
	MemoryBytes  int64 // publications with history_durability memory; over it the longest unused channels are trimmed
	MemoryKeys   int   // idempotency keys in RAM; over it the oldest are forgotten
	Readers      int   // history reads from disk at a time
	ReaderQueue  int   // and waiting; more are refused with ErrBusy
	ReserveBytes int64 // free space below which disk channels are read-only
	TickEvery    time.Duration
	HangAfter    time.Duration // a write or sync that takes longer makes the engine not ready

	StoreCacheBytes    int64 // block cache of the store; 0: its default
	StoreMemTableBytes int64 // 0: its default
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (c Config) withDefaults() Config {
	c.Logger = or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnFatal == nil {
		c.OnFatal = func(string) {}
	}
	if c.OnCommit == nil {
		c.OnCommit = func(int, time.Duration) {}
	}
	c.QueueEntries = or(c.QueueEntries, DefaultQueueEntries)
	c.QueueBytes = or(c.QueueBytes, DefaultQueueBytes)
	c.HotChannels = or(c.HotChannels, DefaultHotChannels)
	c.CacheBytes = or(c.CacheBytes, DefaultCacheBytes)
	c.MemoryBytes = or(c.MemoryBytes, DefaultMemoryBytes)
	c.MemoryKeys = or(c.MemoryKeys, DefaultMemoryKeys)
	c.Readers = or(c.Readers, DefaultReaders)
	c.ReaderQueue = or(c.ReaderQueue, DefaultReaderQueue)
	c.ReserveBytes = or(c.ReserveBytes, DefaultReserveBytes)
	c.TickEvery = or(c.TickEvery, DefaultTickEvery)
	c.HangAfter = or(c.HangAfter, DefaultHangAfter)
	return c
}

// counters are what Counters is made of beside the index's; every field only
// rises.
type counters struct {
	duplicates                     atomic.Uint64
	queueFull                      atomic.Uint64
	memoryTrimmed, memoryForgotten atomic.Uint64
}

// Counters is what the engine counted since it opened, and what it holds now.
type Counters struct {
	index.Counters // of channels on disk; Duplicates are of all

	QueueFull       uint64 // publishes refused: the committer's queue was full
	MemoryTrimmed   uint64 // publications dropped for MemoryBytes
	MemoryForgotten uint64 // channels dropped for MemoryBytes
	KeysForgotten   uint64 // idempotency keys dropped for MemoryKeys

	QueueEntries   int
	MemoryBytes    int64
	MemoryChannels int
}

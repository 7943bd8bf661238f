package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
	"github.com/fanfare-push/fanfare/internal/engine/local"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Defaults of Config. What a single node has too has its default there.
const (
	DefaultName           = "fanfare"
	DefaultLogs           = 4
	DefaultLogBytes       = 1 << 30
	DefaultLogAge         = 24 * time.Hour
	DefaultMemoryLogBytes = 64 << 20
	DefaultPublishWait    = time.Second
	DefaultBarrierWait    = 2 * time.Second
	DefaultMaxLag         = time.Second
	DefaultCloseWait      = 2 * time.Second
	DefaultRemakeAfter    = 30 * time.Second
)

// MaxLogs is the most logs of each durability.
const MaxLogs = 64

// Config is what an Engine needs. Zero fields mean their defaults.
type Config struct {
	Conn *nats.Conn // stays the caller's, who closes it after the Engine
	// Node is the id of this process among all there ever were: a boot id of 1 to
	// 64 characters of [A-Za-z0-9_-].
	Node   string
	Label  string // of the node, for people; "": Node
	Name   string // of the cluster: prefix of its logs and subjects
	Dir    string // of the indexes; made when the engine opens
	FS     store.FS
	Logger *slog.Logger
	// OnFatal is told once why the engine cannot go on; it should end the process.
	OnFatal func(reason string)
	// OnCommit is told of each batch of a log that was applied, as in local.Config.
	// Called on one goroutine per log.
	OnCommit func(publications int, took time.Duration)
	// OnDead is told of nodes that are not heard of any more: bus.Config.OnDead.
	OnDead func(bus.NodeInfo)
	Now    func() time.Time

	// Feeds says that edge nodes may ask this node, and are fed by it.
	Feeds bool

	Logs     int // of each durability; fixed once the cluster has been made
	Replicas int // of each log: 1, 3 or 5; at most as many as there are core nodes
	// What a log keeps. A node that was away for longer takes a copy from another.
	LogBytes       int64
	LogAge         time.Duration
	MemoryLogBytes int64
	// PublishWait is how long a publication waits for a log that takes nothing,
	// before it is refused with ErrBusy.
	PublishWait time.Duration
	BarrierWait time.Duration // how long a reader waits to know what a log holds now
	MaxLag      time.Duration // behind a log before the node is not ready
	CloseWait   time.Duration // how long Close waits for what is in flight
	// RemakeAfter is how long a memory log may have no leader while the cluster has
	// one, before it is given up and begun anew, in new epochs.
	RemakeAfter time.Duration

	QueueEntries int   // publications waiting for a log; more are refused with ErrBusy
	QueueBytes   int64 // their bytes
	HotChannels  int   // channels whose state is kept in RAM
	CacheBytes   int64 // recent publications of them
	MemoryBytes  int64 // publications with history_durability memory; over it such channels are read-only
	MemoryKeys   int   // idempotency keys of publications without history
	Readers      int   // history reads from disk at a time
	ReaderQueue  int   // and waiting; more are refused with ErrBusy
	ReserveBytes int64 // free space below which disk channels are read-only
	TickEvery    time.Duration
	HangAfter    time.Duration

	StoreCacheBytes    int64 // block caches of all logs; 0: default of one store
	StoreMemTableBytes int64 // the same
}

var nodePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (c Config) withDefaults() (Config, error) {
	c.Name = cmp.Or(c.Name, DefaultName)
	switch {
	case c.Conn == nil:
		return c, errors.New("cluster: no connection")
	case !nodePattern.MatchString(c.Node):
		return c, fmt.Errorf("cluster: node id %q is not 1 to 64 characters of letters, digits, - and _", c.Node)
	case !nodePattern.MatchString(c.Name):
		return c, fmt.Errorf("cluster: name %q is not 1 to 64 characters of letters, digits, - and _", c.Name)
	}
	c.Label = cmp.Or(c.Label, c.Node)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnFatal == nil {
		c.OnFatal = func(string) {}
	}
	if c.OnCommit == nil {
		c.OnCommit = func(int, time.Duration) {}
	}
	c.Logs = cmp.Or(c.Logs, DefaultLogs)
	c.Replicas = cmp.Or(c.Replicas, 1)
	if c.Logs < 1 || c.Logs > MaxLogs {
		return c, fmt.Errorf("cluster: %d logs are not 1 to %d", c.Logs, MaxLogs)
	}
	c.LogBytes = cmp.Or(c.LogBytes, DefaultLogBytes)
	c.LogAge = cmp.Or(c.LogAge, DefaultLogAge)
	c.MemoryLogBytes = cmp.Or(c.MemoryLogBytes, DefaultMemoryLogBytes)
	c.PublishWait = cmp.Or(c.PublishWait, DefaultPublishWait)
	c.BarrierWait = cmp.Or(c.BarrierWait, DefaultBarrierWait)
	c.MaxLag = cmp.Or(c.MaxLag, DefaultMaxLag)
	c.CloseWait = cmp.Or(c.CloseWait, DefaultCloseWait)
	c.RemakeAfter = cmp.Or(c.RemakeAfter, DefaultRemakeAfter)
	c.QueueEntries = cmp.Or(c.QueueEntries, local.DefaultQueueEntries)
	c.QueueBytes = cmp.Or(c.QueueBytes, local.DefaultQueueBytes)
	c.HotChannels = cmp.Or(c.HotChannels, local.DefaultHotChannels)
	c.CacheBytes = cmp.Or(c.CacheBytes, local.DefaultCacheBytes)
	c.MemoryBytes = cmp.Or(c.MemoryBytes, local.DefaultMemoryBytes)
	c.MemoryKeys = cmp.Or(c.MemoryKeys, local.DefaultMemoryKeys)
	c.Readers = cmp.Or(c.Readers, local.DefaultReaders)
	c.ReaderQueue = cmp.Or(c.ReaderQueue, local.DefaultReaderQueue)
	c.ReserveBytes = cmp.Or(c.ReserveBytes, local.DefaultReserveBytes)
	c.TickEvery = cmp.Or(c.TickEvery, local.DefaultTickEvery)
	c.HangAfter = cmp.Or(c.HangAfter, local.DefaultHangAfter)
	c.StoreCacheBytes = cmp.Or(c.StoreCacheBytes, store.DefaultCacheBytes)
	c.StoreMemTableBytes = cmp.Or(c.StoreMemTableBytes, store.DefaultMemTableBytes)
	return c, nil
}

// share is one log's part of what all logs may take together.
func share[T int | int64](all T, logs int) T { return max(all/T(logs), 1) }

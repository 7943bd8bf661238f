package index

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Limits that are not configured.
const (
	maxFlights = 8    // batches committed but not yet durable
	maxRing    = 1024 // publications of one channel in RAM
)

// MaxDue is how many channels one Expire looks at.
const MaxDue = 128

// Config is what an Index needs. Every number must be set.
type Config struct {
	Store  store.Config // its callbacks are the index's own
	Logger *slog.Logger
	Now    func() time.Time
	// OnFatal is told once why the index cannot go on. Called on any goroutine.
	OnFatal func(reason string)
	// OnCommit is told of each batch that became durable: how many publications
	// are in it, and how long it took from its write. Called on the finisher.
	OnCommit func(publications int, took time.Duration)
	// Tell hands a publication to the Follower, in the order of the log. Called on
	// the finisher, without locks.
	Tell func(ch channel.ID, epoch string, pub *engine.Publication)
	// Create gives a channel that has no position one, through the log.
	Create func(req *engine.HistoryRequest, done func(engine.PublishResult, error)) error

	HotChannels  int   // channels whose state is kept in RAM
	CacheBytes   int64 // recent publications of them
	Readers      int   // history reads from disk at a time
	ReaderQueue  int   // and waiting; more are refused with ErrBusy
	ReserveBytes int64 // free space below which nothing is to be stored
	HangAfter    time.Duration
}

// Index holds the channels of one log.
type Index struct {
	// Static after Open.
	cfg     Config
	store   *store.Store
	lanes   *lanes
	flights chan *Flight
	opened  time.Time

	cache  Budget       // rings
	uses   atomic.Int64 // a clock that counts uses of channels
	health health
	count  counters

	finisher sync.WaitGroup
	readers  sync.WaitGroup
	reading  struct {
		mu     sync.RWMutex // held for reading while a read is handed in
		closed bool
		queue  chan read
	}
}

// ErrFailed answers what was in flight when the store broke.
var ErrFailed = errors.New("the store failed")

// Open opens the store and starts the index. Errors are those of store.Open.
func Open(cfg Config) (*Index, error) {
	x := &Index{cfg: cfg, lanes: newLanes(), flights: make(chan *Flight, maxFlights), opened: time.Now()}
	x.cache.Limit = cfg.CacheBytes
	x.reading.queue = make(chan read, cfg.ReaderQueue)
	x.cfg.Store.OnFatal, x.cfg.Store.OnCorrupt, x.cfg.Store.Logger = x.fail, x.corrupt, cfg.Logger
	s, err := store.Open(x.cfg.Store)
	if err != nil {
		return nil, err
	}
	x.store = s
	x.health.logTime.Store(s.Time())
	x.CheckSpace()
	x.finisher.Go(x.finishLoop)
	for range cfg.Readers {
		x.readers.Go(x.readLoop)
	}
	return x, nil
}

// Store is where the channels lie. What it shows need not be durable yet.
func (x *Index) Store() *store.Store { return x.store }

func (x *Index) now() int64 { return x.cfg.Now().UnixMilli() }

// readTime is the log time that reads go by: an idle log has not been told yet
// how late it is.
func (x *Index) readTime() int64 { return max(x.health.logTime.Load(), x.now()) }

// StopReading answers the reads that were taken and refuses those that come.
// Readers may hand entries to the log, so it comes before the end of that.
func (x *Index) StopReading() {
	x.reading.mu.Lock()
	if !x.reading.closed {
		x.reading.closed = true
		close(x.reading.queue)
	}
	x.reading.mu.Unlock()
	x.readers.Wait()
}

// Close lands what is in flight and gives the store back. Whoever launches
// flights has ended; nobody reads. It fails with ErrFailed if the store broke.
func (x *Index) Close() error {
	x.StopReading()
	close(x.flights)
	x.finisher.Wait()
	err := x.store.Close()
	if x.health.failed.Load() {
		return fmt.Errorf("close index: %w", errors.Join(ErrFailed, err))
	}
	return err
}

// counters are what Counters is made of; every field only rises.
type counters struct {
	batches, committed     atomic.Uint64
	syncNanos              atomic.Uint64
	duplicates             atomic.Uint64
	readerQueueFull        atomic.Uint64
	cacheHits, cacheMisses atomic.Uint64
	expired                atomic.Uint64
}

// Counters is what the index counted since it opened, and what it holds now.
type Counters struct {
	Batches         uint64        // batches made durable
	Committed       uint64        // publications in them
	SyncTime        time.Duration // spent waiting for them, in sum
	Duplicates      uint64        // publishes answered from an idempotency key
	ReaderQueueFull uint64        // history reads refused: the readers' queue was full
	CacheHits       uint64        // history reads answered from RAM
	CacheMisses     uint64        // and from disk
	Expired         uint64        // channels looked at because something of them expired

	CacheBytes  int64
	HotChannels int    // channels whose state is in RAM
	UsedBytes   uint64 // on disk
	FreeBytes   uint64
	ReadOnly    bool
}

// Counters is a snapshot.
func (x *Index) Counters() Counters {
	c := &x.count
	s := Counters{
		Batches: c.batches.Load(), Committed: c.committed.Load(), SyncTime: time.Duration(c.syncNanos.Load()),
		Duplicates: c.duplicates.Load(), ReaderQueueFull: c.readerQueueFull.Load(),
		CacheHits: c.cacheHits.Load(), CacheMisses: c.cacheMisses.Load(), Expired: c.expired.Load(),
		CacheBytes: x.cache.Used.Load(), FreeBytes: x.health.free.Load(), UsedBytes: x.health.used.Load(),
		ReadOnly: x.health.readOnly.Load(),
	}
	for i := range x.lanes.all {
		l := &x.lanes.all[i]
		l.mu.Lock()
		s.HotChannels += len(l.hot)
		l.mu.Unlock()
	}
	return s
}

package local

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Engine is the engine of a single node.
type Engine struct {
	// Static after Open.
	cfg      Config
	store    *store.Store
	lanes    *lanes
	queue    *queue
	flights  chan *flight
	reads    chan read
	stop     chan struct{} // closed by Close: background goroutines end
	boot     string        // prefix of the epochs of memory channels
	opened   time.Time
	follower engine.Follower

	cache  budget       // rings of channels on disk
	memory budget       // publications of memory channels
	keys   budget       // idempotency keys in RAM
	uses   atomic.Int64 // a clock that counts uses of channels
	epochs atomic.Uint64

	committers sync.WaitGroup // committer and finisher
	background sync.WaitGroup // readers and watchers
	health     health
	count      counters

	closing struct {
		mu     sync.RWMutex // held for reading while work is handed in
		closed bool
	}
}

var _ engine.Engine = (*Engine)(nil)

// errFailed answers what was in flight when the store broke.
var errFailed = errors.New("the store failed")

// Open opens the data directory and starts the engine. Errors are those of
// store.Open.
func Open(cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg.withDefaults(), lanes: newLanes(), stop: make(chan struct{})}
	e.queue = newQueue(e.cfg.QueueEntries, e.cfg.QueueBytes)
	e.flights = make(chan *flight, maxFlights)
	e.reads = make(chan read, e.cfg.ReaderQueue)
	e.cache.limit, e.memory.limit, e.keys.limit = e.cfg.CacheBytes, e.cfg.MemoryBytes, int64(e.cfg.MemoryKeys)
	e.boot, e.opened = newBoot(), time.Now()
	s, err := store.Open(store.Config{
		Dir: e.cfg.Dir, FS: e.cfg.FS, Logger: e.cfg.Logger,
		CacheBytes: e.cfg.StoreCacheBytes, MemTableBytes: e.cfg.StoreMemTableBytes,
		OnFatal: e.fail, OnCorrupt: e.corrupt,
	})
	if err != nil {
		return nil, err
	}
	e.store = s
	e.health.logTime.Store(s.Time())
	e.checkSpace()
	e.committers.Go(e.commitLoop)
	e.committers.Go(e.finishLoop)
	for range e.cfg.Readers {
		e.background.Go(e.readLoop)
	}
	e.background.Go(e.watchLoop)
	return e, nil
}

// Attach implements engine.Interest.
func (e *Engine) Attach(f engine.Follower) { e.follower = f }

// Follow implements engine.Interest: on a single node the Follower is told of
// every channel.
func (e *Engine) Follow(channel.ID) {}

// Unfollow implements engine.Interest.
func (e *Engine) Unfollow(channel.ID) {}

// Control implements engine.Controller: this node is every node.
func (e *Engine) Control(c engine.Control, done func(error)) {
	if c.Node != "" {
		done(engine.ErrUnknownNode)
		return
	}
	if !e.enter() {
		done(engine.ErrClosed)
		return
	}
	e.follower.Control(c)
	e.leave()
	done(nil)
}

// enter reports whether the engine is open; leave must follow if it is. Close
// waits for everybody inside.
func (e *Engine) enter() bool {
	e.closing.mu.RLock()
	if e.closing.closed {
		e.closing.mu.RUnlock()
		return false
	}
	return true
}

func (e *Engine) leave() { e.closing.mu.RUnlock() }

// now is the node's clock in Unix milliseconds.
func (e *Engine) now() int64 { return e.cfg.Now().UnixMilli() }

// readTime is the log time that reads go by: an idle log has not been told yet
// how late it is.
func (e *Engine) readTime() int64 { return max(e.health.logTime.Load(), e.now()) }

// Close implements engine.Engine.
func (e *Engine) Close() error {
	e.closing.mu.Lock()
	if e.closing.closed {
		e.closing.mu.Unlock()
		return nil
	}
	e.closing.closed = true
	e.closing.mu.Unlock()
	close(e.stop)
	close(e.reads)
	e.background.Wait() // readers first: they may still hand entries to the committer
	e.queue.close()
	e.committers.Wait()
	err := e.store.Close()
	if e.health.failed.Load() {
		return fmt.Errorf("close engine: %w", errors.Join(errFailed, err))
	}
	return err
}

// Counters is a snapshot of what the engine counted.
func (e *Engine) Counters() Counters {
	c := &e.count
	s := Counters{
		Batches: c.batches.Load(), Committed: c.committed.Load(), SyncTime: time.Duration(c.syncNanos.Load()),
		Duplicates: c.duplicates.Load(), QueueFull: c.queueFull.Load(), ReaderQueueFull: c.readerQueueFull.Load(),
		CacheHits: c.cacheHits.Load(), CacheMisses: c.cacheMisses.Load(),
		MemoryTrimmed: c.memoryTrimmed.Load(), MemoryForgotten: c.memoryForgotten.Load(), KeysForgotten: c.keysForgotten.Load(), Expired: c.expired.Load(),
		QueueEntries: e.queue.len(), MemoryBytes: e.memory.used.Load(), CacheBytes: e.cache.used.Load(),
		FreeBytes: e.health.free.Load(), UsedBytes: e.health.used.Load(), ReadOnly: e.health.readOnly.Load(),
	}
	for i := range e.lanes.all {
		l := &e.lanes.all[i]
		l.mu.Lock()
		s.HotChannels += len(l.hot)
		s.MemoryChannels += len(l.memory)
		l.mu.Unlock()
	}
	return s
}

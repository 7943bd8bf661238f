package local

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/engine/keys"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Engine is the engine of a single node.
type Engine struct {
	engine.Alone

	// Static after Open.
	cfg      Config
	index    *index.Index
	lanes    *lanes
	queue    *index.Queue
	stop     chan struct{} // closed by Close: background goroutines end
	boot     string        // prefix of the epochs of memory channels
	follower engine.Follower

	memory index.Budget // publications of memory channels
	keys   *keys.Keys   // of publications that are not stored
	uses   atomic.Int64 // a clock that counts uses of channels
	epochs atomic.Uint64

	committer sync.WaitGroup
	watcher   sync.WaitGroup
	count     counters

	door engine.Door
}

var _ engine.Engine = (*Engine)(nil)

// errFailed answers what was in flight when the store broke.
var errFailed = index.ErrFailed

// Open opens the data directory and starts the engine. Errors are those of
// store.Open.
func Open(cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg.withDefaults(), lanes: newLanes(), stop: make(chan struct{}), boot: newBoot()}
	e.queue = index.NewQueue(e.cfg.QueueEntries, e.cfg.QueueBytes)
	e.memory.Limit, e.keys = e.cfg.MemoryBytes, keys.New(e.cfg.MemoryKeys)
	x, err := index.Open(index.Config{
		Store: store.Config{
			Dir: e.cfg.Dir, FS: e.cfg.FS, CacheBytes: e.cfg.StoreCacheBytes, MemTableBytes: e.cfg.StoreMemTableBytes,
		},
		Logger: e.cfg.Logger, Now: e.cfg.Now, OnFatal: e.cfg.OnFatal, OnCommit: e.cfg.OnCommit, Tell: e.tell, Create: e.create,
		HotChannels: e.cfg.HotChannels, CacheBytes: e.cfg.CacheBytes, Readers: e.cfg.Readers, ReaderQueue: e.cfg.ReaderQueue,
		ReserveBytes: e.cfg.ReserveBytes, HangAfter: e.cfg.HangAfter,
	})
	if err != nil {
		return nil, err
	}
	e.index = x
	e.committer.Go(e.commitLoop)
	e.watcher.Go(e.watchLoop)
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
	if !e.door.Enter() {
		done(engine.ErrClosed)
		return
	}
	e.follower.Control(c)
	e.door.Leave()
	done(nil)
}

// now is the node's clock in Unix milliseconds.
func (e *Engine) now() int64 { return e.cfg.Now().UnixMilli() }

// Close implements engine.Engine.
func (e *Engine) Close() error {
	if !e.door.Close() {
		return nil
	}
	close(e.stop)
	e.watcher.Wait()
	e.index.StopReading() // readers may still hand entries to the committer
	e.queue.Close()
	e.committer.Wait()
	return e.index.Close()
}

// Counters is a snapshot of what the engine counted.
func (e *Engine) Counters() Counters {
	c := &e.count
	s := Counters{
		Counters:      e.index.Counters(),
		QueueFull:     c.queueFull.Load(),
		MemoryTrimmed: c.memoryTrimmed.Load(), MemoryForgotten: c.memoryForgotten.Load(), KeysForgotten: e.keys.Forgotten(),
		QueueEntries: e.queue.Len(), MemoryBytes: e.memory.Used.Load(),
	}
	s.Duplicates += c.duplicates.Load()
	for i := range e.lanes.all {
		l := &e.lanes.all[i]
		l.mu.Lock()
		s.MemoryChannels += len(l.memory)
		l.mu.Unlock()
	}
	return s
}

// Taken is how many bytes of history on disk an App has.
func (e *Engine) Taken(app string) int64 { return e.index.Taken(app) }

// Status implements engine.Engine.
func (e *Engine) Status() engine.Status { return e.index.Status() }

// watchLoop looks at the disk, and lets time pass on an idle log.
func (e *Engine) watchLoop() {
	tick := time.NewTicker(e.cfg.TickEvery)
	defer tick.Stop()
	for lane := 0; ; lane++ {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
		if e.index.Failed() {
			continue
		}
		e.index.CheckSpace()
		e.sweepMemory(lane)
		e.queue.Wake()
	}
}

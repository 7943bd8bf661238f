package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/journal"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// partition is one log and what this node has made of it.
type partition struct {
	// Static after newPartition.
	e        *Engine
	name     string // for people, and in the names of stream and subject
	memory   bool
	dir      string
	journal  *journal.Journal
	queue    *index.Queue
	barriers barriers
	ctx      context.Context // ends when nothing is waited for any more
	cancel   context.CancelFunc
	turn     chan struct{} // capacity 1: full while a message is under way, or none may be
	writer   sync.WaitGroup
	others   sync.WaitGroup // who follows and who watches

	index   atomic.Pointer[index.Index] // nil: it has none now
	applied atomic.Uint64               // number of the last message applied
	lease   sync.Mutex                  // held by who works on the index's store, and by who closes it
	// refusing says that the log has taken nothing for so long that whoever comes
	// now need not wait.
	refusing atomic.Bool

	// Owned by who follows.
	ram       store.FS  // of a memory log
	fruitless int       // how often in a row nobody had an index to copy
	previous  uint64    // incarnation of the log that was joined last
	beyond    time.Time // since when the log ends before the index; zero: it does not

	// Owned by the writer.
	left   []index.Request // taken from the queue, not yet in a message
	made   uint64          // count of the last message made
	window []*message      // made and maybe not applied
	pace   time.Duration   // that it takes to store a message, of late

	count struct { // every field only rises
		queueFull, overdue, resent atomic.Uint64
	}

	mu          sync.Mutex
	incarnation uint64              // of the log; 0: not known
	pending     map[uint64]*message // made here and not yet applied, by count
	stopTail    context.CancelCauseFunc
	health      partitionHealth
}

// partitionHealth is what is known of the log; partition.mu guards it.
type partitionHealth struct {
	joining  string    // why there is no index; "": there is
	since    time.Time // there has been none since
	told     string    // what the operator was told of it
	stuck    time.Time // since when a message cannot be appended; zero: none waits
	silent   time.Time // since when the leader does not answer; zero: it does
	minority bool      // the leader has not heard of a majority of late
	leader   string    // of the log, when it last answered
	last     uint64    // number of the last message, as it said then
	// The last message that the log held at some time, kept until it is applied.
	known   uint64
	knownAt time.Time
	alarmed bool
	ahead   int // how often in a row the log held less than was applied
}

func newPartition(e *Engine, memory bool, number int) (*partition, error) {
	kind, age, bytes := "disk", e.cfg.LogAge, e.cfg.LogBytes
	if memory {
		kind, bytes = "memory", e.cfg.MemoryLogBytes
	}
	p := &partition{e: e, name: fmt.Sprintf("%s-%d", kind, number), memory: memory, turn: make(chan struct{}, 1), pending: make(map[uint64]*message)}
	p.barriers.p = p
	p.dir = path.Join(e.cfg.Dir, p.name)
	p.health.joining = "not joined yet"
	p.queue = index.NewQueue(share(e.cfg.QueueEntries, e.cfg.Logs), share(e.cfg.QueueBytes, e.cfg.Logs))
	var err error
	p.journal, err = journal.New(journal.Config{
		Conn: e.cfg.Conn, Stream: e.cfg.Name + "-" + p.name, Subject: e.cfg.Name + ".log." + p.name,
		Logs: e.cfg.Logs, Memory: memory, Replicas: e.cfg.Replicas, MaxBytes: bytes, MaxAge: age, Logger: e.cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.writer.Go(p.write)
	p.others.Go(p.follow)
	p.others.Go(p.watch)
	return p, nil
}

// submit queues an entry for the log; while the log takes nothing it waits so
// long. A returned error was not told to Done.
func (p *partition) submit(r index.Request, wait time.Duration) error {
	if p.refusing.Load() {
		p.count.overdue.Add(1)
		return engine.ErrBusy
	}
	if x := p.index.Load(); x != nil {
		takesSpace := r.Entry.Kind == store.Publish || r.Entry.Kind == store.Create
		if err := x.Writable(takesSpace && !r.FromReserve); err != nil {
			return err
		}
	}
	r.Until = time.Now().Add(wait)
	err := p.queue.Put(r)
	if errors.Is(err, engine.ErrBusy) {
		p.count.queueFull.Add(1)
	}
	return err
}

// openIndex opens the index of a log of that incarnation.
func (p *partition) openIndex(incarnation uint64) (*index.Index, error) {
	c := &p.e.cfg
	cfg := index.Config{
		Store: p.storeConfig(incarnation), Logger: c.Logger, Now: c.Now, OnFatal: c.OnFatal, OnCommit: c.OnCommit,
		Tell: p.tell,
		Create: func(req *engine.HistoryRequest, done func(engine.PublishResult, error)) error {
			return p.submit(index.Request{
				Entry: entry(store.Create, req.Channel, req.Retention), Done: within(c.BarrierWait, done),
			}, c.BarrierWait)
		},
		HotChannels: share(c.HotChannels, c.Logs), CacheBytes: share(c.CacheBytes, 2*c.Logs),
		Readers: share(c.Readers, 2*c.Logs), ReaderQueue: share(c.ReaderQueue, c.Logs),
		ReserveBytes: c.ReserveBytes, HangAfter: c.HangAfter,
	}
	if p.memory {
		cfg.ReserveBytes = cfg.Store.MaxBytes / 16
	}
	x, err := index.Open(cfg)
	if err != nil {
		return nil, err
	}
	return x, nil
}

// tell hands a publication on, here and to edges.
func (p *partition) tell(ch channel.ID, epoch string, pub *engine.Publication) {
	p.e.follower.Publication(ch, epoch, pub)
	if p.e.feeder != nil {
		p.e.feeder.Publication(p.memory, ch, epoch, pub)
	}
}

func (p *partition) storeConfig(incarnation uint64) store.Config {
	c := &p.e.cfg
	s := store.Config{
		Dir: p.dir, FS: c.FS, Logger: c.Logger, Incarnation: incarnation, Replayed: true,
		CacheBytes: share(c.StoreCacheBytes, 2*c.Logs), MemTableBytes: max(share(c.StoreMemTableBytes, c.Logs), minMemTable),
	}
	if p.memory {
		// What memory channels hold is rebuilt from their log or from another node,
		// so it is the same index on a disk that is RAM.
		s.FS, s.Replayed, s.Volatile, s.MaxBytes = p.ram, false, true, share(c.MemoryBytes, c.Logs)
		s.CacheBytes, s.MemTableBytes = minMemTable, minMemTable
	}
	return s
}

// fs is where the index lies.
func (p *partition) fs() store.FS {
	if p.memory {
		return p.ram
	}
	return p.e.cfg.FS
}

// minMemTable is less than which memtables are flushed all the time, in bytes.
const minMemTable = 4 << 20

// watch asks how the log is, and lets time pass on it.
func (p *partition) watch() {
	tick := time.NewTicker(p.e.cfg.TickEvery)
	defer tick.Stop()
	synced := uint64(0)
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		p.refuseOverdue()
		synced = p.tend(synced)
		p.ask()
	}
}

// tend looks after the index: its disk, and what is due.
func (p *partition) tend(synced uint64) uint64 {
	p.lease.Lock()
	defer p.lease.Unlock()
	x := p.index.Load()
	if x == nil {
		return synced
	}
	x.CheckSpace()
	if applied := p.applied.Load(); !p.memory && applied != synced && !x.Failed() {
		if err := x.Store().Sync(); err != nil {
			p.e.cfg.Logger.Error("cannot sync an index", "log", p.name, "error", err)
		}
		synced = applied
	}
	if x.Due(p.e.now()) {
		// Nodes do this all at once; what is due is looked at once.
		_ = p.submit(index.Request{Entry: entry(store.Tick, channel.ID{}, engine.Retention{})}, p.e.cfg.TickEvery) // the next turn tries again
	}
	return synced
}

// askTimeout is how long the leader of a log may take to say how it is.
const askTimeout = time.Second

// divergedAfter is how often in a row the log must hold less than was applied
// before it is taken for another one: a leader that has just come may not know
// all yet.
const divergedAfter = 5

// ask finds out how the log is.
func (p *partition) ask() {
	ctx, cancel := context.WithTimeout(p.ctx, askTimeout)
	defer cancel()
	began := time.Now()
	b, err := p.journal.Bounds(ctx)
	if err != nil {
		p.remake(began, p.silentSince(began))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &p.health
	h.silent, h.minority = time.Time{}, !b.Quorum
	h.leader, h.last = b.Leader, b.Last
	p.alarm(b)
	applied := p.applied.Load()
	if applied >= h.known {
		h.known, h.knownAt = b.Last, began
	}
	if h.joining == "" && b.Last < applied {
		h.ahead++
	} else {
		h.ahead = 0
	}
	if h.ahead >= divergedAfter && p.stopTail != nil {
		p.stopTail(errDiverged)
		h.ahead = 0
	}
}

// silentSince is when the leader was asked first that has not answered since.
func (p *partition) silentSince(asked time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.health.silent.IsZero() {
		p.health.silent = asked
	}
	return p.health.silent
}

// remake gives a memory log up that has had no leader for long, though those who
// could lead it are there: the servers that had its messages in RAM are gone, or
// have lost them, and NATS waits for all of them before it takes an empty log for
// the right one. One node decides, or later any: that one may be an edge node, which has
// no logs.
func (p *partition) remake(now, silent time.Time) {
	after := p.e.cfg.RemakeAfter
	if _, mine := p.e.bus.Owner(p.name); !mine {
		after *= 2
	}
	if !p.memory || now.Sub(silent) < after {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, joinTimeout)
	defer cancel()
	leaderless, err := p.journal.Leaderless(ctx)
	if err != nil {
		return
	}
	if leaderless {
		p.e.cfg.Logger.Warn("a memory log without a leader begins anew", "log", p.name, "since", silent)
		if err := p.journal.Delete(ctx); err != nil {
			p.e.cfg.Logger.Error("cannot begin a memory log anew", "log", p.name, "error", err)
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.health.silent = time.Time{} // the next log has time to elect
}

// alarm says, once, that the log is about to drop what is not applied here.
func (p *partition) alarm(b journal.Bounds) {
	h, applied := &p.health, p.applied.Load()
	near := h.joining == "" && b.First > 1 && applied < b.Last && applied < b.First+(b.Last-b.First)/4
	if near && !h.alarmed {
		p.e.cfg.Logger.Error("the log will soon drop what this node has not applied", "log", p.name,
			"applied", applied, "first", b.First, "last", b.Last)
	}
	h.alarmed = near
}

// unready says why the partition cannot do its job now; "": it can.
func (p *partition) unready() string {
	if x := p.index.Load(); x != nil && (!p.memory || x.Failed()) { // RAM that is full is no fault of the node
		if s := x.Status(); !s.Ready {
			return s.Reason
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	h, lag := &p.health, p.e.cfg.MaxLag
	switch applied := p.applied.Load(); {
	case h.joining != "":
		return h.joining
	case h.minority:
		return "no quorum: its leader does not hear of a majority"
	case !h.stuck.IsZero() && time.Since(h.stuck) > lag:
		return "nothing can be appended: no quorum, or it has no leader"
	case !h.silent.IsZero() && time.Since(h.silent) > lag+askTimeout:
		return "no quorum, or it has no leader: nobody answers for it"
	case applied < h.known && time.Since(h.knownAt) > lag+p.e.cfg.TickEvery:
		return fmt.Sprintf("%d messages behind", h.known-applied)
	case time.Since(p.journal.CaughtUp()) > lag+askTimeout:
		return "behind: nothing is heard of it"
	}
	return ""
}

// close answers what is in flight, until the deadline.
func (p *partition) close(deadline time.Time) error {
	if x := p.index.Load(); x != nil {
		x.StopReading()
	}
	p.queue.Close()
	stop := time.AfterFunc(time.Until(deadline), p.cancel)
	p.writer.Wait()
	for m := p.oldest(); m != nil && p.ctx.Err() == nil; m = p.oldest() {
		select {
		case <-m.settled:
		case <-p.ctx.Done():
		}
	}
	stop.Stop()
	p.cancel()
	p.others.Wait()
	p.journal.Close()
	p.abandon(math.MaxUint64, engine.ErrClosed)
	for _, r := range p.left {
		answer(&r, engine.ErrClosed)
	}
	for {
		rest, _, open := p.queue.Take(nil)
		if !open {
			break
		}
		for i := range rest {
			answer(&rest[i], engine.ErrClosed)
		}
	}
	return p.closeIndex()
}

// closeIndex gives the index up, if there is one.
func (p *partition) closeIndex() error {
	x := p.index.Swap(nil)
	if x == nil {
		return nil
	}
	p.lease.Lock()
	defer p.lease.Unlock()
	p.e.copies.Drop(p.name)
	if err := x.Close(); err != nil && !errors.Is(err, index.ErrFailed) {
		return err
	}
	return nil
}

func answer(r *index.Request, err error) {
	if r.Done != nil {
		r.Done(engine.PublishResult{}, err)
	}
}

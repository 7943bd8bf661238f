package local

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// The crash audit. A generation is one engine on a crashable file system, under
// load. At random operations of that file system a crash is taken: what a
// machine that lost power there would find on its disk, and how much of the
// world's memory (see crash_memory_test.go) had been written by then. Each crash is
// opened and held against that memory; one of them is the next generation.
//
// FANFARE_CRASHES asks for that many crashes, however long they take;
// FANFARE_CRASH_SEED replays the choices of a run, though not how its goroutines
// were scheduled.

const (
	lineages          = 2 // at a time, independent of each other
	fewestCrashes     = 10
	auditTime         = 5 * time.Second // of a run without FANFARE_CRASHES
	crashesPerRound   = 30
	opsBetweenCrashes = 20 // on average
	auditPublishers   = 6
)

var auditRetention = map[string]engine.Retention{
	"plain":   {Size: 40, MetaTTL: 1000 * time.Hour},
	"big":     {Size: 300, TTL: 1000 * time.Hour, MetaTTL: 1000 * time.Hour},
	"ttl":     {Size: 500, TTL: 20 * time.Second, MetaTTL: 1000 * time.Hour},
	"meta":    {Size: 10, TTL: 20 * time.Second, MetaTTL: 30 * time.Second},
	"removed": {Size: 200, MetaTTL: 1000 * time.Hour},
}

var auditChannels = []string{"plain", "plain2", "big", "ttl", "meta", "removed"}

func auditChannel(name string) (channel.ID, engine.Retention) {
	ret, ok := auditRetention[name]
	if !ok {
		ret = auditRetention["plain"]
	}
	return channel.ID{App: "default", Name: name}, ret
}

func TestCrashAudit(t *testing.T) {
	want, _ := strconv.Atoi(os.Getenv("FANFARE_CRASHES"))
	seed, err := strconv.ParseUint(os.Getenv("FANFARE_CRASH_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("FANFARE_CRASH_SEED=%d", seed)
	deadline := time.Now().Add(auditTime)
	for i := range uint64(lineages) {
		t.Run(strconv.FormatUint(i, 10), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, i))
			a := &audit{t: t, rng: rng, clock: newClock(), disk: vfs.NewCrashableMem(), past: newMemory()}
			a.enough = func() bool {
				if want > 0 {
					return a.crashes >= want/lineages
				}
				return a.saysSomething() && time.Now().After(deadline)
			}
			for !t.Failed() && !a.enough() {
				a.round()
			}
			a.report()
		})
	}
}

type audit struct {
	t     *testing.T
	rng   *rand.Rand
	clock *clock
	disk  *vfs.MemFS // where the next generation starts
	past  *memory    // what is known of it

	enough func() bool

	rounds, crashes, nested, repeats int
}

func (a *audit) report() {
	a.t.Helper()
	a.t.Logf("%d crashes, %d of them while opening after a crash, in %d generations; %d publications acknowledged, %d told, %d read, %d repeats asked for, %d epochs ended",
		a.crashes, a.nested, a.rounds, a.past.acks, a.past.tolds, a.past.reads, a.repeats, a.past.ended)
	if !a.saysSomething() {
		a.t.Error("this is too little to say anything")
	}
}

// saysSomething reports whether enough was lived through, however busy the machine is.
func (a *audit) saysSomething() bool {
	return a.past.acks > 0 && a.past.tolds > 0 && a.past.reads > 0 && a.repeats > 0 && a.crashes >= fewestCrashes
}

// crash is a disk after a crash, and how much had happened by then.
type crash struct {
	disk   *vfs.MemFS
	events int
}

func auditConfig(fsys vfs.FS, c *clock) Config {
	return Config{
		FS: fsys, Now: c.now, TickEvery: time.Millisecond, Readers: 2, ReserveBytes: 1,
		HotChannels: 1, CacheBytes: 30_000, // most reads go to the disk
		StoreMemTableBytes: 128 << 10, StoreCacheBytes: 1 << 20,
	}
}

// round runs a generation and examines its crashes.
func (a *audit) round() {
	a.rounds++
	w := &world{clock: a.clock, stop: make(chan struct{})}
	if a.rng.IntN(4) == 0 { // time passes while nobody is there
		a.clock.advance(time.Duration(a.rng.IntN(400)) * time.Second)
	}
	a.past.forgetOld(a.clock.ms.Load())
	fsys := newCrashFS(a.disk, a.rng.Uint64(), crashesPerRound, w.length)
	e := open(a.t, auditConfig(fsys, a.clock), w)
	w.engine = e
	w.run(a.rng, a.past.pending)
	select {
	case <-fsys.done:
	case <-time.After(patience):
		a.t.Error("the disk is not used")
	}
	close(w.stop)
	w.people.Wait()
	if err := e.Close(); err != nil {
		a.t.Error(err)
	}
	a.examineAll(fsys.crashes, w.events)
}

// examineAll opens each crash, in the order of their time.
func (a *audit) examineAll(crashes []crash, events []event) {
	next := a.rng.IntN(len(crashes))
	known, upTo := a.past, 0
	for i, c := range crashes {
		for _, ev := range events[upTo:c.events] {
			if fault := known.learn(ev); fault != "" {
				a.t.Errorf("generation %d, before crash %d: %s", a.rounds, i, fault)
			}
		}
		upTo = c.events
		if i == next {
			a.past = known.clone()
			a.disk = c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: a.rng})
		}
		a.crashes++
		if again := a.examine(c.disk, known, i); again != nil {
			a.crashes++
			a.nested++
			a.examine(again, known, i)
		}
		if a.t.Failed() || a.enough() {
			return
		}
	}
}

// examine opens what a crash left and holds it against what is known. Some of
// the time there is a crash while it does so, and its disk is yielded.
func (a *audit) examine(disk *vfs.MemFS, known *memory, i int) *vfs.MemFS {
	a.t.Helper()
	fsys := newCrashFS(disk, a.rng.Uint64(), a.rng.IntN(2), func() int { return 0 })
	e, err := Open(withDir(auditConfig(fsys, a.clock)))
	if err != nil {
		a.t.Errorf("generation %d, crash %d: %v", a.rounds, i, err)
		return nil
	}
	e.Attach(&listener{})
	for _, name := range auditChannels {
		ch, ret := auditChannel(name)
		res := history(a.t, e, ch, ret)
		for _, fault := range known.compare(name, &res, a.clock.ms.Load()) {
			a.t.Errorf("generation %d, crash %d, channel %s: %s", a.rounds, i, name, fault)
		}
	}
	for _, k := range known.someKeys(a.rng, 4, a.clock.ms.Load()) {
		ch, ret := auditChannel(k.name)
		a.repeats++
		if r := publish(a.t, e, ch, ret, k.key, k.key); !r.Duplicate || r.Position != k.at {
			a.t.Errorf("generation %d, crash %d: key %s was answered %+v, now %+v", a.rounds, i, k.key, k.at, r)
		}
	}
	if err := e.Close(); err != nil {
		a.t.Error(err)
	}
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	if len(fsys.crashes) == 0 {
		return nil
	}
	return fsys.crashes[0].disk
}

func withDir(c Config) Config {
	c.Dir = "/data"
	return c
}

// world is who uses the engine of a generation: publishers that repeat, read and
// remove, a Follower, and time. Whatever one of them sees becomes an event at
// once.
type world struct {
	engine *Engine
	clock  *clock
	stop   chan struct{}
	people sync.WaitGroup

	mu     sync.Mutex
	events []event
}

func (w *world) length() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events)
}

func (w *world) happened(ev event) {
	ev.at = w.clock.ms.Load()
	w.mu.Lock()
	w.events = append(w.events, ev)
	w.mu.Unlock()
}

func (w *world) Publication(ch channel.ID, epoch string, p *engine.Publication) {
	w.saw(evTold, ch.Name, epoch, p)
}

func (w *world) saw(kind eventKind, name, epoch string, p *engine.Publication) {
	key := p.Tags["key"]
	w.happened(event{
		kind: kind, name: name, key: key, pos: engine.Position{Epoch: epoch, Offset: p.Offset}, time: p.Time,
		damage: !bytes.Equal(p.Data, auditData(key)),
	})
}

func (*world) Join(channel.ID, *engine.ClientInfo, bool)  {}
func (*world) Leave(channel.ID, *engine.ClientInfo, bool) {}
func (*world) Control(engine.Control)                     {}

func (w *world) stopped() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}

// run starts everybody. pending are keys whose publishers never got an answer.
func (w *world) run(rng *rand.Rand, pending map[string]string) {
	generation := rng.Uint32()
	again := make([][2]string, 0, len(pending))
	for key, name := range pending {
		again = append(again, [2]string{name, key})
	}
	for i := range auditPublishers {
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		w.people.Go(func() { w.publisher(own, fmt.Sprintf("%08x-%d", generation, i), again, i) })
	}
}

// publisher first repeats its part of what was left over, then publishes, every
// now and then twice with the same key while the first is in flight, and reads
// and removes in between.
func (w *world) publisher(rng *rand.Rand, who string, again [][2]string, turn int) {
	for i := turn; i < len(again); i += auditPublishers {
		w.publish(again[i][0], again[i][1], 1)
	}
	for n := 0; !w.stopped(); n++ {
		name := auditChannels[rng.IntN(len(auditChannels))]
		times := 1 + rng.IntN(8)/7
		w.publish(name, fmt.Sprintf("%s-%d", who, n), times)
		if rng.IntN(3) == 0 {
			w.read(rng)
		}
		if rng.IntN(40) == 0 {
			w.remove()
		}
		if rng.IntN(20) == 0 {
			w.clock.advance(time.Duration(rng.IntN(1000)) * time.Millisecond)
		}
	}
}

// publish publishes the key as data, so that what is stored tells of its key.
// The data are of all sizes, some larger than a block of the log.
func (w *world) publish(name, key string, times int) {
	ch, ret := auditChannel(name)
	w.happened(event{kind: evAsked, name: name, key: key})
	answers := make(chan reply, times)
	for range times {
		e := w.engine
		e.Publish(engine.PublishRequest{
			Channel: ch, Retention: ret, IdempotencyKey: key,
			Publication: engine.Publication{Data: auditData(key), Tags: map[string]string{"key": key}},
		}, func(res engine.PublishResult, err error) {
			if err == nil {
				w.happened(event{kind: evAcked, name: name, key: key, pos: res.Position})
			}
			answers <- reply{res, err}
		})
	}
	for range times {
		<-answers
	}
}

var padding = bytes.Repeat([]byte{'.'}, 40_000)

func auditData(key string) []byte {
	n := 0
	for _, c := range key {
		n = n*31 + int(c)
	}
	size := 20 + n&0x7f
	if n%200 == 0 {
		size = len(padding)
	}
	return append(append(make([]byte, 0, len(key)+size), key...), padding[:size]...)
}

// read reads some history from either end.
func (w *world) read(rng *rand.Rand) {
	name := auditChannels[rng.IntN(len(auditChannels))]
	ch, ret := auditChannel(name)
	req := engine.HistoryRequest{Channel: ch, Retention: ret, Limit: 1 + rng.IntN(50), Reverse: rng.IntN(2) == 0}
	done := make(chan struct{})
	w.engine.History(req, func(res engine.HistoryResult, err error) {
		if err == nil {
			w.happened(event{kind: evTop, name: name, pos: res.Top})
			for _, p := range res.Publications {
				w.saw(evRead, name, res.Top.Epoch, p)
			}
		}
		close(done)
	})
	<-done
}

// remove removes the history of one channel.
func (w *world) remove() {
	ch, ret := auditChannel("removed")
	top := make(chan engine.Position, 1)
	w.engine.History(engine.HistoryRequest{Channel: ch, Retention: ret}, func(res engine.HistoryResult, _ error) { top <- res.Top })
	before := <-top
	done := make(chan struct{})
	w.engine.RemoveHistory(ch, ret, func(err error) {
		if err == nil {
			w.happened(event{kind: evRemoved, name: ch.Name, pos: before})
		}
		close(done)
	})
	<-done
}

// crashFS takes crashes at random operations.
type crashFS struct {
	*vfs.MemFS

	events func() int    // how much has happened
	done   chan struct{} // closed once all crashes are taken
	left   atomic.Int64  // operations until the next

	mu      sync.Mutex
	rng     *rand.Rand
	want    int
	crashes []crash
}

func newCrashFS(fsys *vfs.MemFS, seed uint64, want int, events func() int) *crashFS {
	c := &crashFS{MemFS: fsys, rng: rand.New(rand.NewPCG(seed, 1)), want: want, events: events, done: make(chan struct{})}
	c.left.Store(c.rng.Int64N(2*opsBetweenCrashes) + 1)
	return c
}

// op is called before an operation.
func (c *crashFS) op() {
	if c.left.Add(-1) != 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.crashes) == c.want {
		return
	}
	// What has happened is asked first: all of it must be on the disk.
	n := c.events()
	percent := [...]int{0, 0, 20, 50, 100}[c.rng.IntN(5)]
	c.crashes = append(c.crashes, crash{c.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}), n})
	c.left.Store(c.rng.Int64N(2*opsBetweenCrashes) + 1)
	if len(c.crashes) == c.want {
		close(c.done)
	}
}

func (c *crashFS) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	c.op()
	return c.file(c.MemFS.Create(name, cat))
}

func (c *crashFS) ReuseForWrite(from, to string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	c.op()
	return c.file(c.MemFS.ReuseForWrite(from, to, cat))
}

func (c *crashFS) OpenDir(name string) (vfs.File, error) { return c.file(c.MemFS.OpenDir(name)) }

func (c *crashFS) Remove(name string) error { c.op(); return c.MemFS.Remove(name) }

func (c *crashFS) Rename(from, to string) error { c.op(); return c.MemFS.Rename(from, to) }

func (c *crashFS) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &crashFile{f, c}, nil
}

type crashFile struct {
	vfs.File

	fs *crashFS
}

func (f *crashFile) Write(b []byte) (int, error) { f.fs.op(); return f.File.Write(b) }

func (f *crashFile) Sync() error { f.fs.op(); return f.File.Sync() }

func (f *crashFile) SyncData() error { f.fs.op(); return f.File.SyncData() }

func (f *crashFile) SyncTo(n int64) (bool, error) { f.fs.op(); return f.File.SyncTo(n) }

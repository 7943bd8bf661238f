package local

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	room   = channel.ID{App: "default", Name: "room:1"}
	onDisk = engine.Retention{Size: 100, TTL: time.Hour, MetaTTL: 24 * time.Hour}
	inRAM  = engine.Retention{Size: 100, TTL: time.Hour, MetaTTL: 24 * time.Hour, Durability: channel.Memory}
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// listener is a Follower that keeps what it is told.
type listener struct {
	mu   sync.Mutex
	pubs []told
	on   func(told) // called with mu released, nil: nothing
}

type told struct {
	ch    channel.ID
	epoch string
	pub   *engine.Publication
}

func (l *listener) Publication(ch channel.ID, epoch string, pub *engine.Publication) {
	l.mu.Lock()
	l.pubs = append(l.pubs, told{ch, epoch, pub})
	l.mu.Unlock()
	if l.on != nil {
		l.on(told{ch, epoch, pub})
	}
}

func (*listener) Join(channel.ID, *engine.ClientInfo, bool)  {}
func (*listener) Leave(channel.ID, *engine.ClientInfo, bool) {}
func (*listener) Control(engine.Control)                     {}

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pubs)
}

// clock is a node's clock that a test moves.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// open opens an engine on a file system in memory unless cfg names one. The end
// of the test closes it.
func open(tb testing.TB, cfg Config, f engine.Follower) *Engine {
	tb.Helper()
	if cfg.FS == nil {
		cfg.FS = vfs.NewMem()
	}
	cfg.Dir = or(cfg.Dir, "/data")
	cfg.StoreMemTableBytes = or(cfg.StoreMemTableBytes, 1<<20)
	e, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if f == nil {
		f = &listener{}
	}
	e.Attach(f)
	tb.Cleanup(func() {
		if err := e.Close(); err != nil && !errors.Is(err, errFailed) {
			tb.Error(err)
		}
	})
	return e
}

// reply is what a Publish was answered with.
type reply struct {
	engine.PublishResult
	err error
}

// send publishes and yields where the answer will come.
func send(e *Engine, ch channel.ID, ret engine.Retention, data, key string) <-chan reply {
	c := make(chan reply, 1)
	e.Publish(engine.PublishRequest{
		Channel: ch, Retention: ret, IdempotencyKey: key, Publication: engine.Publication{Data: []byte(data)},
	}, func(res engine.PublishResult, err error) { c <- reply{res, err} })
	return c
}

// publish publishes and waits for success.
func publish(tb testing.TB, e *Engine, ch channel.ID, ret engine.Retention, data, key string) engine.PublishResult {
	tb.Helper()
	r := await(tb, send(e, ch, ret, data, key))
	if r.err != nil {
		tb.Fatalf("publish %q: %v", data, r.err)
	}
	return r.PublishResult
}

// answer is what a history read was answered with.
type answer struct {
	res engine.HistoryResult
	err error
}

func readAll(e *Engine, ch channel.ID, ret engine.Retention) <-chan answer {
	c := make(chan answer, 1)
	e.History(engine.HistoryRequest{Channel: ch, Retention: ret, Limit: -1}, func(res engine.HistoryResult, err error) {
		c <- answer{res, err}
	})
	return c
}

func history(tb testing.TB, e *Engine, ch channel.ID, ret engine.Retention) engine.HistoryResult {
	tb.Helper()
	a := await(tb, readAll(e, ch, ret))
	if a.err != nil {
		tb.Fatalf("history: %v", a.err)
	}
	return a.res
}

func await[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

// eventually waits for a condition.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("it does not come to be that %s", what)
		}
	}
}

// dataOf lists offsets and data: "1:a 2:b".
func dataOf(pubs []*engine.Publication) string {
	var b strings.Builder
	for i, p := range pubs {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d:%s", p.Offset, p.Data)
	}
	return b.String()
}

// disk is a file system that a test can stop, break and fill. Only the files
// and directories of the write-ahead log and what else is written are affected.
type disk struct {
	vfs.FS

	free atomic.Uint64 // bytes; 0: what FS says
	// write and sync are asked before each of a file whose name ends in .log; nil:
	// all go well. They may block.
	write, sync atomic.Pointer[func() error]
}

func (d *disk) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if free := d.free.Load(); free != 0 {
		return vfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 40}, nil
	}
	return d.FS.GetDiskUsage(path)
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(name)(d.FS.Create(name, c))
}

func (d *disk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(to)(d.FS.ReuseForWrite(from, to, c))
}

func (d *disk) wrap(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil || !strings.HasSuffix(name, ".log") {
			return f, err
		}
		return &diskFile{f, d}, nil
	}
}

type diskFile struct {
	vfs.File

	d *disk
}

func ask(p *atomic.Pointer[func() error]) error {
	if f := p.Load(); f != nil {
		return (*f)()
	}
	return nil
}

func (f *diskFile) Write(b []byte) (int, error) {
	if err := ask(&f.d.write); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *diskFile) Sync() error {
	if err := ask(&f.d.sync); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *diskFile) SyncData() error {
	if err := ask(&f.d.sync); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *diskFile) SyncTo(n int64) (bool, error) {
	if err := ask(&f.d.sync); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}

// hold makes every sync wait until release is called.
func (d *disk) hold() (release func()) {
	held := make(chan struct{})
	wait := func() error { <-held; return nil }
	d.sync.Store(&wait)
	return sync.OnceFunc(func() { d.sync.Store(nil); close(held) })
}

var errBroken = &os.PathError{Op: "write", Path: "disk", Err: errors.New("input/output error")}

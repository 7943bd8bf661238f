package local

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

func TestNothingIsSeenBeforeItsSync(t *testing.T) {
	d := &disk{FS: vfs.NewMem()}
	f := &listener{}
	e := open(t, Config{FS: d}, f)
	publish(t, e, room, onDisk, "a", "")
	release := d.hold()
	defer release()
	answered := send(e, room, onDisk, "b", "k")
	repeated := send(e, room, onDisk, "b", "k")
	skipped := make(chan reply, 1)
	e.Publish(engine.PublishRequest{Channel: room, Retention: onDisk, SkipHistory: true, Publication: engine.Publication{Data: []byte("s")}},
		func(res engine.PublishResult, err error) { skipped <- reply{res, err} })
	eventually(t, "Pebble shows b", func() bool {
		rec, err := e.index.Store().Record(room)
		return err == nil && rec.Top == 2
	})
	eventually(t, "the committer has taken all", func() bool { return e.queue.Len() == 0 })
	if got := dataOf(history(t, e, room, onDisk).Publications); got != "1:a" {
		t.Errorf("the ring shows %s", got)
	}
	e.index.Cool(room) // no ring: from disk
	res := history(t, e, room, onDisk)
	if got := dataOf(res.Publications); got != "1:a" || res.Top.Offset != 1 {
		t.Errorf("the disk shows %s, top %v", got, res.Top)
	}
	if n := f.count(); n != 1 || len(answered)+len(repeated)+len(skipped) > 0 {
		t.Errorf("%d told, %d %d %d answered", n, len(answered), len(repeated), len(skipped))
	}
	release()
	first, again := await(t, answered), await(t, repeated)
	if first.err != nil || first.Offset != 2 || again.err != nil || again.Offset != 2 || !again.Duplicate {
		t.Errorf("%+v, then %+v", first, again)
	}
	if r := await(t, skipped); r.err != nil || r.Offset != 0 {
		t.Errorf("%+v", r)
	}
	if got := dataOf(history(t, e, room, onDisk).Publications); got != "1:a 2:b" || f.count() != 3 {
		t.Errorf("%s, %d told", got, f.count())
	}
}

// What is on its way to the disk when its App becomes full is neither denied nor
// promised: who repeats it is to ask again.
func TestRepeatOfWhatIsNotYetDurable(t *testing.T) {
	d := &disk{FS: vfs.NewMem()}
	e := open(t, Config{FS: d}, &listener{})
	release := d.hold()
	defer release()
	answered := send(e, room, onDisk, "a", "k")
	eventually(t, "Pebble shows it", func() bool {
		rec, err := e.index.Store().Record(room)
		return err == nil && rec.Top == 1
	})
	again := func(key string) reply {
		repeated := make(chan reply, 1)
		e.Publish(engine.PublishRequest{Channel: room, Retention: onDisk, IdempotencyKey: key, Quota: 1},
			func(res engine.PublishResult, err error) { repeated <- reply{res, err} })
		return await(t, repeated)
	}
	if r := again("k"); !errors.Is(r.err, engine.ErrBusy) {
		t.Errorf("%+v", r)
	}
	if r := again("l"); !errors.Is(r.err, engine.ErrQuota) {
		t.Errorf("another key: %+v", r)
	}
	release()
	first := await(t, answered)
	if r := again("k"); first.err != nil || r.err != nil || r.Position != first.Position || !r.Duplicate {
		t.Errorf("%+v, then %+v", first, r)
	}
}

func TestCommitsAreObserved(t *testing.T) {
	type commit struct {
		publications int
		took         time.Duration
	}
	commits := make(chan commit, 100)
	d := &disk{FS: vfs.NewMem()}
	e := open(t, Config{FS: d, OnCommit: func(n int, took time.Duration) { commits <- commit{n, took} }}, nil)
	publish(t, e, room, inRAM, "in RAM", "")
	release := d.hold()
	defer release()
	pending := []<-chan reply{send(e, room, onDisk, "a", "")}
	eventually(t, "the committer has taken it", func() bool { return e.queue.Len() == 0 })
	for range 5 {
		pending = append(pending, send(e, room, onDisk, "b", ""))
	}
	release()
	for _, c := range pending {
		await(t, c)
	}
	for seen := 0; seen < len(pending); {
		c := await(t, commits)
		if seen += c.publications; c.publications < 1 || c.took <= 0 {
			t.Errorf("%+v", c)
		}
	}
}

// brokenDisk opens an engine, breaks its disk, and yields what it says then.
func brokenDisk(t *testing.T, breakIt func(*disk)) (e *Engine, f *listener, d *disk, reasons chan string) {
	t.Helper()
	reasons = make(chan string, 10)
	d = &disk{FS: vfs.NewCrashableMem()}
	f = &listener{}
	e = open(t, Config{FS: d, OnFatal: func(reason string) { reasons <- reason }}, f)
	publish(t, e, room, onDisk, "a", "ka")
	breakIt(d)
	return e, f, d, reasons
}

func TestFailingDiskNeverAcknowledges(t *testing.T) {
	fails := func() error { return errBroken }
	tests := []struct {
		name    string
		breakIt func(*disk)
	}{
		{"write", func(d *disk) { d.write.Store(&fails) }},
		{"sync", func(d *disk) { d.sync.Store(&fails) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, f, d, reasons := brokenDisk(t, tt.breakIt)
			var pending []<-chan reply
			for i := range 50 {
				pending = append(pending, send(e, room, onDisk, "b", fmt.Sprintf("k%d", i/2)))
			}
			for _, c := range pending {
				if r := await(t, c); !errors.Is(r.err, errFailed) {
					t.Fatalf("answered %+v", r)
				}
			}
			reason := await(t, reasons)
			for _, part := range []string{"/data", "input/output error", "start again"} {
				if !strings.Contains(reason, part) {
					t.Errorf("%q does not say %q", reason, part)
				}
			}
			if len(reasons) > 0 {
				t.Errorf("told again: %q", <-reasons)
			}
			if s := e.Status(); s.Ready || !strings.Contains(s.Reason, "input/output error") {
				t.Errorf("%+v", s)
			}
			if f.count() != 1 {
				t.Errorf("%d told", f.count())
			}
			nothingNewIsReadable(t, e)
			if err := e.Close(); !errors.Is(err, errFailed) {
				t.Errorf("Close: %v", err)
			}
			// Afterwards: what was acknowledged is there.
			after := open(t, Config{FS: d.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})}, nil)
			if got := dataOf(history(t, after, room, onDisk).Publications); got != "1:a" {
				t.Errorf("after a restart: %s", got)
			}
			if r := publish(t, after, room, onDisk, "a", "ka"); !r.Duplicate || r.Offset != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// nothingNewIsReadable asks the ring, and the disk once nothing is in RAM.
func nothingNewIsReadable(t *testing.T, e *Engine) {
	t.Helper()
	for range 2 {
		a := await(t, readAll(e, room, onDisk))
		if got := dataOf(a.res.Publications); a.err == nil && got != "1:a" || a.err != nil && !errors.Is(a.err, errFailed) {
			t.Errorf("readable: %s, %v", got, a.err)
		}
		e.index.Cool(room)
	}
}

func TestHangingDiskIsNotReady(t *testing.T) {
	d := &disk{FS: vfs.NewMem()}
	e := open(t, Config{FS: d, HangAfter: time.Millisecond}, nil)
	publish(t, e, room, onDisk, "a", "")
	if s := e.Status(); !s.Ready {
		t.Fatalf("%+v", s)
	}
	release := d.hold()
	defer release()
	answered := send(e, room, onDisk, "b", "")
	eventually(t, "it is not ready", func() bool { return strings.Contains(e.Status().Reason, "hangs") })
	release()
	await(t, answered)
	eventually(t, "it is ready", func() bool { return e.Status().Ready })
}

func TestFreeSpaceReserve(t *testing.T) {
	d := &disk{FS: vfs.NewMem()}
	d.free.Store(1 << 30)
	e := open(t, Config{FS: d, ReserveBytes: 1 << 20, TickEvery: time.Millisecond}, nil)
	publish(t, e, room, onDisk, "a", "")
	d.free.Store(1<<20 - 1)
	eventually(t, "it is not ready", func() bool { return strings.Contains(e.Status().Reason, "no space") })
	if r := await(t, send(e, room, onDisk, "b", "")); !errors.Is(r.err, engine.ErrReadOnly) {
		t.Errorf("%+v", r)
	}
	other := channel.ID{App: "default", Name: "new"}
	if a := await(t, readAll(e, other, onDisk)); !errors.Is(a.err, engine.ErrReadOnly) {
		t.Errorf("a new channel: %+v", a)
	}
	if got := dataOf(history(t, e, room, onDisk).Publications); got != "1:a" {
		t.Errorf("history %s", got)
	}
	urgent := engine.PublishRequest{Channel: room, Retention: onDisk, Publication: engine.Publication{Data: []byte("u")}, FromReserve: true}
	if res, err := engine.Await(t.Context(), func(done func(engine.PublishResult, error)) { e.Publish(urgent, done) }); err != nil || res.Offset != 2 {
		t.Errorf("what the reserve is for: %+v %v", res, err)
	}
	publish(t, e, other, inRAM, "m", "") // what takes no space goes on
	publish(t, e, other, engine.Retention{}, "n", "")
	d.free.Store(1<<20 + 1) // at the edge it does not flap
	eventually(t, "it has looked", func() bool { return e.Counters().FreeBytes == 1<<20+1 })
	if !e.Counters().ReadOnly {
		t.Error("it takes publications at the very edge")
	}
	d.free.Store(1 << 21)
	eventually(t, "it is ready", func() bool { return e.Status().Ready })
	publish(t, e, room, onDisk, "b", "")
}

func TestRemoveGivesSpaceBackThoughReadOnly(t *testing.T) {
	d := &disk{FS: vfs.NewMem()}
	e := open(t, Config{FS: d, ReserveBytes: 1 << 20, TickEvery: time.Millisecond}, nil)
	publish(t, e, room, onDisk, "a", "")
	d.free.Store(1)
	eventually(t, "it is read-only", func() bool { return e.Counters().ReadOnly })
	done := make(chan error, 1)
	e.RemoveHistory(room, onDisk, func(err error) { done <- err })
	if err := await(t, done); err != nil {
		t.Error(err)
	}
	if res := history(t, e, room, onDisk); len(res.Publications) > 0 || res.Top.Offset != 1 || res.Oldest != 2 {
		t.Errorf("%+v", res)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
	}{
		{"entries", Config{QueueEntries: 10}},
		{"bytes", Config{QueueBytes: 5_000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &disk{FS: vfs.NewMem()}
			tt.cfg.FS = d
			f := &listener{}
			e := open(t, tt.cfg, f)
			publish(t, e, room, onDisk, "a", "")
			release := d.hold()
			defer release()
			var pending []<-chan reply
			for busy := false; !busy; {
				c := send(e, room, onDisk, "b", "")
				select {
				case r := <-c:
					if !errors.Is(r.err, engine.ErrBusy) {
						t.Fatalf("%+v", r)
					}
					busy = true
				default:
					pending = append(pending, c)
				}
				if len(pending) > 1<<15 {
					t.Fatal("the queue takes anything")
				}
			}
			if n := e.Counters().QueueFull; n != 1 {
				t.Errorf("%d counted", n)
			}
			release()
			for _, c := range pending {
				if r := await(t, c); r.err != nil {
					t.Fatal(r.err)
				}
			}
			if got, want := f.count(), len(pending)+1; got != want {
				t.Errorf("%d told, want %d", got, want)
			}
		})
	}
}

func TestCloseStoresWhatItTook(t *testing.T) {
	fsys := vfs.NewMem()
	e := open(t, Config{FS: fsys}, nil)
	var pending []<-chan reply
	for i := range 200 {
		pending = append(pending, send(e, room, onDisk, fmt.Sprint(i), ""))
	}
	var closers sync.WaitGroup
	closers.Go(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	closers.Wait()
	for i, c := range pending {
		if r := await(t, c); r.err != nil || r.Offset != uint64(i+1) {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	if err := e.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if r := await(t, send(e, room, onDisk, "late", "")); !errors.Is(r.err, engine.ErrClosed) {
		t.Errorf("publish: %+v", r)
	}
	if a := await(t, readAll(e, room, onDisk)); !errors.Is(a.err, engine.ErrClosed) {
		t.Errorf("history: %+v", a)
	}
	again := open(t, Config{FS: fsys}, nil)
	if res := history(t, again, room, onDisk); res.Top.Offset != 200 || len(res.Publications) != 100 {
		t.Errorf("%+v, %d publications", res.Top, len(res.Publications))
	}
}

func TestCloseAnswersReads(t *testing.T) {
	fsys := vfs.NewMem()
	e := open(t, Config{FS: fsys, Readers: 1}, nil)
	publish(t, e, room, onDisk, "a", "")
	var pending []<-chan answer
	for i := range 100 {
		pending = append(pending, readAll(e, channel.ID{App: "default", Name: fmt.Sprint(i)}, onDisk))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range pending {
		if a := await(t, c); a.err != nil && !errors.Is(a.err, engine.ErrClosed) {
			t.Errorf("%+v", a)
		}
	}
}

package index

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

var (
	room = channel.ID{App: "default", Name: "room:1"}
	keep = engine.Retention{Size: 100, TTL: time.Hour, MetaTTL: 24 * time.Hour}
)

// open opens an index on a file system in memory; the end of the test closes it.
func open(t *testing.T, change func(*Config)) *Index {
	t.Helper()
	cfg := Config{
		Store: store.Config{Dir: "/data", FS: vfs.NewMem(), MemTableBytes: 1 << 20}, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		OnFatal: func(reason string) { t.Error(reason) }, OnCommit: func(int, time.Duration) {},
		Tell:        func(channel.ID, string, *engine.Publication) {},
		HotChannels: 1000, CacheBytes: 1 << 20, Readers: 1, ReaderQueue: 1, HangAfter: time.Minute,
	}
	change(&cfg)
	x, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// publish launches one publication and waits for its answer.
func publish(t *testing.T, x *Index, data string) engine.PublishResult {
	t.Helper()
	return await(t, send(t, x, data))
}

func send(t *testing.T, x *Index, data string) <-chan engine.PublishResult {
	t.Helper()
	answers := make(chan engine.PublishResult, 1)
	f := x.Begin()
	f.Apply(&Request{
		Entry: store.Entry{
			Version: store.EntryVersion, Kind: store.Publish, Time: time.Now().UnixMilli(), Channel: room, Retention: keep,
			Pub: &engine.Publication{Data: []byte(data)},
		},
		Done: func(res engine.PublishResult, err error) {
			if err != nil {
				t.Error(err)
			}
			answers <- res
		},
	})
	f.Launch()
	return answers
}

type reading struct {
	res engine.HistoryResult
	err error
}

func readAll(x *Index) <-chan reading {
	c := make(chan reading, 1)
	x.History(engine.HistoryRequest{Channel: room, Retention: keep, Limit: -1}, func(res engine.HistoryResult, err error) {
		c <- reading{res, err}
	})
	return c
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// While the Follower is told, the publication is already durable, readable and
// in the ring, and its publisher has not been answered.
func TestOrderOfFinish(t *testing.T) {
	var x *Index
	var answers <-chan engine.PublishResult
	sent, got := make(chan struct{}), ""
	x = open(t, func(cfg *Config) {
		cfg.Tell = func(ch channel.ID, _ string, pub *engine.Publication) {
			<-sent
			h := x.lanes.of(ch).hot[ch]
			got = fmt.Sprintf("top %d, ring %d, told %d, answers %d", h.durable.Top, len(h.ring.Pubs), pub.Offset, len(answers))
		}
	})
	answers = send(t, x, "a")
	close(sent)
	await(t, answers)
	if want := "top 1, ring 1, told 1, answers 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFullReaderQueueRefuses(t *testing.T) {
	x := open(t, func(*Config) {})
	publish(t, x, "a")
	x.Cool(room)
	h := x.pin(room)
	h.load.Lock() // the reader waits
	first := readAll(x)
	for deadline := time.Now().Add(patience); len(x.reading.queue) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the reader does not take it")
		}
	}
	second := readAll(x)
	if r := await(t, readAll(x)); !errors.Is(r.err, engine.ErrBusy) {
		t.Errorf("%+v", r)
	}
	if n := x.Counters().ReaderQueueFull; n != 1 {
		t.Errorf("%d counted", n)
	}
	h.load.Unlock()
	x.unpin(h)
	for _, c := range []<-chan reading{first, second} {
		if r := await(t, c); r.err != nil || len(r.res.Publications) != 1 {
			t.Errorf("%+v", r)
		}
	}
}

func TestReadsEndBeforeTheLog(t *testing.T) {
	x := open(t, func(*Config) {})
	publish(t, x, "a")
	x.Cool(room)
	x.StopReading()
	if r := await(t, readAll(x)); !errors.Is(r.err, engine.ErrClosed) {
		t.Errorf("%+v", r)
	}
}

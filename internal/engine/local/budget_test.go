package local

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
)

func numbered(i int) channel.ID { return channel.ID{App: "default", Name: fmt.Sprintf("c:%d", i)} }

func TestMemoryBudget(t *testing.T) {
	const limit = 200_000
	e := open(t, Config{MemoryBytes: limit}, nil)
	data := strings.Repeat("x", 1000)
	first := publish(t, e, numbered(0), inRAM, data, "")
	for i := range 50 {
		for range 10 {
			publish(t, e, numbered(i), inRAM, data, "")
			if used := e.Counters().MemoryBytes; used > limit {
				t.Fatalf("%d bytes are used", used)
			}
		}
	}
	c := e.Counters()
	if c.MemoryTrimmed == 0 || c.MemoryForgotten == 0 || c.MemoryBytes < limit/2 {
		t.Errorf("%+v", c)
	}
	if res := history(t, e, numbered(49), inRAM); len(res.Publications) != 10 {
		t.Errorf("the latest channel has %d", len(res.Publications))
	}
	// Whoever returns to a forgotten channel learns that it cannot be recovered.
	answered := make(chan error, 1)
	e.History(engine.HistoryRequest{Channel: numbered(0), Retention: inRAM, Since: &first.Position, Limit: -1},
		func(_ engine.HistoryResult, err error) { answered <- err })
	if err := await(t, answered); !errors.Is(err, engine.ErrUnrecoverable) {
		t.Errorf("recovery: %v", err)
	}
}

// A channel with many keys does not make another one forget its few.
func TestKeyBudgetForgetsTheOldest(t *testing.T) {
	c := newClock()
	e := open(t, Config{MemoryKeys: 100, Now: c.now}, nil)
	for i := range 300 {
		publish(t, e, numbered(0), inRAM, "a", fmt.Sprint(i))
		c.advance(time.Millisecond)
	}
	quiet := channel.ID{App: "default", Name: "quiet"}
	publish(t, e, quiet, engine.Retention{}, "a", "mine")
	if r := publish(t, e, quiet, engine.Retention{}, "a", "mine"); !r.Duplicate {
		t.Error("the newest key was forgotten")
	}
	if r := publish(t, e, numbered(0), inRAM, "a", "299"); !r.Duplicate || r.Offset != 300 {
		t.Errorf("%+v", r)
	}
	if r := publish(t, e, numbered(0), inRAM, "a", "0"); r.Duplicate {
		t.Errorf("%+v", r)
	}
	if n := e.Counters().KeysForgotten; n < 200 {
		t.Errorf("%d forgotten", n)
	}
	if used := e.keys.Len(); used > 100 {
		t.Errorf("%d keys are kept", used)
	}
}

func TestHotChannelsAndCacheAreBounded(t *testing.T) {
	e := open(t, Config{HotChannels: laneCount, CacheBytes: 20_000}, nil)
	data := strings.Repeat("x", 1000)
	for i := range 2000 {
		publish(t, e, numbered(i%700), onDisk, data, "")
	}
	c := e.Counters()
	if c.HotChannels > laneCount || c.HotChannels == 0 {
		t.Errorf("%d channels are hot", c.HotChannels)
	}
	eventually(t, "the cache is within its budget", func() bool { return e.Counters().CacheBytes <= 20_000 })
	for i := range 700 { // what went is still on disk, with its position
		if res := history(t, e, numbered(i), onDisk); len(res.Publications) != int(res.Top.Offset) || res.Top.Offset < 2 {
			t.Fatalf("channel %d: %+v", i, res.Top)
		}
	}
	if c := e.Counters(); c.CacheMisses == 0 {
		t.Errorf("%+v", c)
	}
}

func TestMemoryBeginsNewEpochs(t *testing.T) {
	a := publish(t, open(t, Config{}, nil), room, inRAM, "a", "")
	b := publish(t, open(t, Config{}, nil), room, inRAM, "a", "")
	if a.Epoch == b.Epoch || a.Epoch == "" {
		t.Errorf("%q, then %q", a.Epoch, b.Epoch)
	}
}

// More channels than one batch takes expire in one go, publishers in between.
func TestManyChannelsExpire(t *testing.T) {
	c := newClock()
	e := open(t, Config{Now: c.now, TickEvery: time.Millisecond}, nil)
	short := engine.Retention{Size: 10, TTL: 5 * time.Second, MetaTTL: 10 * time.Second}
	const n = 3*index.MaxDue + 7
	var pending []<-chan reply
	for i := range n {
		pending = append(pending, send(e, numbered(i), short, "a", ""))
	}
	for _, p := range pending {
		await(t, p)
	}
	c.advance(time.Minute)
	publish(t, e, room, onDisk, "a", "")
	eventually(t, "all have expired", func() bool {
		left := 0
		for i := range n {
			rec, err := e.index.Store().Record(numbered(i))
			if err != nil {
				t.Fatal(err)
			}
			if rec.Exists() {
				left++
			}
		}
		return left == 0
	})
	if got := e.Counters().Expired; got < n {
		t.Errorf("%d expired", got)
	}
}

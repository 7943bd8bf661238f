package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// piece is offsets first to last of a channel that ended at top in another log.
func piece(ch channel.ID, top, first, last uint64) []byte {
	a := &store.Adoption{Epoch: "foreign", Top: top, Last: time.Now().UnixMilli(), First: first}
	for o := first; o <= last; o++ {
		a.Pubs = append(a.Pubs, &engine.Publication{Data: fmt.Append(nil, "old", o), Time: time.Now().UnixMilli() - 1000})
	}
	return store.AppendEntry(nil, &store.Entry{Kind: store.Adopt, Channel: ch, Retention: keep(1000, channel.Disk), Adoption: a})
}

func adopt(t *testing.T, e *Engine, piece []byte) (engine.PublishResult, error) {
	t.Helper()
	return engine.Await(t.Context(), func(done func(engine.PublishResult, error)) { e.Adopt(piece, done) })
}

// A channel of another log goes on where it was, on every node, while its pieces come
// and after a node has lost its index.
func TestAdoptedChannelGoesOn(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 3, Config{Logs: 1, LogBytes: 16 << 20})
	r := keep(1000, channel.Disk)
	ch := channel.ID{App: "a", Name: "moved"}
	history(t, c.engines[2], ch, r, c.truth) // a look makes a channel, which gives way
	if res, err := adopt(t, c.engines[0], piece(ch, 100, 61, 100)); err != nil || res.Duplicate || res.Position != (engine.Position{Epoch: "foreign", Offset: 100}) {
		t.Fatalf("%+v %v", res, err)
	}
	for _, p := range [][2]uint64{{61, 100}, {31, 60}, {31, 60}, {1, 30}} {
		res := publish(t, c.engines[1], ch, r, fmt.Sprint("new", p))
		if res.Epoch != "foreign" || res.Offset <= 100 {
			t.Errorf("published at %+v", res.Position)
		}
		if got, err := adopt(t, c.engines[2], piece(ch, 100, p[0], p[1])); err != nil || got.Offset != res.Offset {
			t.Errorf("%v: %+v %v", p, got, err)
		}
	}
	if _, err := adopt(t, c.engines[0], piece(channel.ID{App: "a", Name: "hole"}, 100, 31, 60)); !errors.Is(err, ErrNotNext) {
		t.Errorf("a hole: %v", err)
	}
	own := channel.ID{App: "a", Name: "own"}
	publish(t, c.engines[1], own, r, "here")
	if _, err := adopt(t, c.engines[0], piece(own, 100, 61, 100)); !errors.Is(err, ErrOtherChannel) {
		t.Errorf("a channel that is another: %v", err)
	}
	c.away(2)
	c.discardIndex(2)
	c.back(2)
	ready(t, c.engines...)
	for i, e := range c.engines {
		eventually(t, fmt.Sprintf("node %d has all", i+1), func() bool {
			got := history(t, e, ch, r, c.truth)
			return got.Oldest == 1 && got.Top == engine.Position{Epoch: "foreign", Offset: 104} && len(got.Publications) == 104
		})
		got := history(t, e, ch, r, c.truth)
		if first, last := string(got.Publications[0].Data), string(got.Publications[99].Data); first != "old1" || last != "old100" {
			t.Errorf("node %d has %q to %q", i+1, first, last)
		}
	}
}

func TestWhatIsNoPieceIsRefused(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 1, Config{Logs: 1})
	ch := channel.ID{App: "a", Name: "c"}
	inRAM := store.AppendEntry(nil, &store.Entry{
		Kind: store.Adopt, Channel: ch, Retention: keep(1, channel.Memory), Adoption: &store.Adoption{Epoch: "e", Top: 1, First: 2},
	})
	tick := store.AppendEntry(nil, &store.Entry{Kind: store.Tick})
	whole := piece(ch, 3, 1, 3)
	newer := append([]byte{store.EntryVersion + 1}, whole[1:]...)
	for name, b := range map[string][]byte{"nothing": nil, "in RAM": inRAM, "a tick": tick, "cut off": whole[:len(whole)-1], "too long": append(whole, 0), "newer": newer} {
		if _, err := adopt(t, c.engines[0], b); !errors.Is(err, ErrNoPiece) {
			t.Errorf("%s: %v", name, err)
		}
	}
	huge := store.AppendEntry(nil, &store.Entry{Kind: store.Adopt, Channel: ch, Retention: keep(1, channel.Disk), Adoption: &store.Adoption{
		Epoch: "e", Top: 1, First: 1, Pubs: []*engine.Publication{{Data: make([]byte, 9<<20), Binary: true}},
	}})
	if _, err := adopt(t, c.engines[0], huge); !errors.Is(err, ErrTooLarge) {
		t.Errorf("larger than a message: %v", err)
	}
}

package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// walkTaken is what Taken should say, by a look at everything.
func walkTaken(t *testing.T, s *Store) map[string]int64 {
	t.Helper()
	all := make(map[string]int64)
	err := s.Channels(func(ch channel.ID, rec Record) error {
		pubs, err := s.Read(Range{ID: rec.ID, To: math.MaxUint64, Limit: -1})
		for _, p := range pubs {
			all[ch.App] += int64(size(p))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// mixer makes entries at random of some channels.
type mixer struct {
	*rand.Rand

	t    *testing.T
	s    *Store
	now  int64
	recs map[channel.ID]*Record
}

// chosen is a channel of one of three Apps: each keeps another number of publications.
func (m *mixer) chosen() (channel.ID, engine.Retention) {
	n := m.IntN(9)
	r := engine.Retention{Size: []int{1, 2, 40, 200, 5}[n%5], TTL: time.Duration(n%4) * time.Minute, MetaTTL: time.Hour}
	return channel.ID{App: fmt.Sprint("app", n%3), Name: fmt.Sprint(n)}, r
}

func (m *mixer) rec(ch channel.ID) *Record {
	if m.recs[ch] == nil {
		rec, err := m.s.Record(ch)
		if err != nil {
			m.t.Fatal(err)
		}
		m.recs[ch] = &rec
	}
	return m.recs[ch]
}

func (m *mixer) publication() *engine.Publication {
	p := &engine.Publication{Data: bytes.Repeat([]byte("x"), m.IntN(300)), Time: m.now}
	switch m.IntN(6) {
	case 0:
		p.Tags, p.Event = map[string]string{"key": "value"}, "event"
	case 1:
		p.Info = &engine.ClientInfo{User: "ann", Client: "c", ConnInfo: []byte("{}")}
	}
	return p
}

func (m *mixer) entry() Entry {
	ch, r := m.chosen()
	e := Entry{Version: EntryVersion, Kind: Publish, Time: m.now, Channel: ch, Retention: r}
	switch m.IntN(400) {
	case 0:
		e.Kind = Remove
	case 1:
		e.Kind = Create
	case 2: // a piece, below what is there where something was adopted
		e.Kind, e.Channel = Adopt, channel.ID{App: "app1", Name: "moved"}
		rec := m.rec(e.Channel)
		a := &Adoption{Epoch: "e", Top: 900, First: 890, Last: m.now}
		if rec.Exists() {
			a.First = max(rec.Adopted, 11) - 10
		}
		end := a.First + 10
		if !rec.Exists() {
			end = a.Top + 1
		}
		for o := a.First; o < end; o++ {
			p := m.publication()
			p.Offset = o
			a.Pubs = append(a.Pubs, p)
		}
		e.Adoption, e.Retention = a, engine.Retention{Size: 2000, MetaTTL: time.Hour}
	default:
		e.Pub = m.publication()
		if m.IntN(10) == 0 {
			e.Key = fmt.Sprint(m.IntN(50))
		}
	}
	return e
}

func (m *mixer) commit(fill func(b *Batch)) {
	m.t.Helper()
	b := m.s.NewBatch()
	fill(b)
	if err := errors.Join(b.Commit(), b.Wait()); err != nil {
		m.t.Fatal(err)
	}
}

// What Apps take is what a walk finds, after whatever happens to their channels, in
// whatever batches, and after the store was opened again.
func TestTaken(t *testing.T) {
	fsys := vfs.NewMem()
	s, closeIt := mustOpen(t, fsys, testDir)
	m := &mixer{Rand: rand.New(rand.NewPCG(7, 7)), t: t, s: s, now: 1_000_000, recs: map[channel.ID]*Record{}}
	adopted, seen := 0, int64(0)
	for round := range 90 {
		m.commit(func(b *Batch) {
			for range 1 + m.IntN(400) {
				e := m.entry()
				out, err := b.Apply(&e, m.rec(e.Channel))
				if err == nil && e.Kind == Adopt && !out.Duplicate {
					adopted++
				}
			}
		})
		m.now += m.Int64N(20_000)
		if round%45 == 44 { // longer than any channel is kept idle
			m.now += 2 * time.Hour.Milliseconds()
		}
		if round%7 == 0 {
			m.commit(func(b *Batch) {
				if _, err := b.Apply(&Entry{Version: EntryVersion, Kind: Tick, Time: m.now}, &Record{}); err != nil {
					t.Fatal(err)
				}
				due, err := s.Due(m.now, 100)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range due {
					if err := b.Expire(d, m.rec(d.Channel)); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
		if round%20 == 19 {
			closeIt()
			s, closeIt = mustOpen(t, fsys, testDir)
			m.s = s
			clear(m.recs)
		}
		if round%3 != 0 {
			continue
		}
		want := walkTaken(t, s)
		for app := range 3 {
			name := fmt.Sprint("app", app)
			if got := s.Taken(name); got != want[name] {
				t.Fatalf("round %d: %s takes %d, a walk finds %d", round, name, got, want[name])
			}
			seen = max(seen, want[name])
		}
	}
	if adopted < 2 || seen < 100_000 {
		t.Errorf("%d pieces and %d bytes were little to count", adopted, seen)
	}
	m.commit(func(b *Batch) {
		for ch := range maps.Clone(m.recs) {
			e := Entry{Version: EntryVersion, Kind: Remove, Time: m.now, Channel: ch}
			if _, err := b.Apply(&e, m.rec(ch)); err != nil {
				t.Fatal(err)
			}
		}
		err := s.Channels(func(ch channel.ID, _ Record) error {
			_, err := b.Apply(&Entry{Version: EntryVersion, Kind: Remove, Time: m.now, Channel: ch}, m.rec(ch))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if len(s.taken.bytes) != 0 {
		t.Errorf("nothing is left, but counted: %v", s.taken.bytes)
	}
	it, err := s.table(tableApp)
	if err != nil {
		t.Fatal(err)
	}
	if it.First() {
		t.Errorf("a count of nothing is kept: %q", it.Key())
	}
	if err := it.Close(); err != nil {
		t.Error(err)
	}
}

// What was stored before sums were is not counted, and never makes less of what is.
func TestTakenBesideWhatIsNotCounted(t *testing.T) {
	s, _ := mustOpen(t, vfs.NewMem(), testDir)
	m := &mixer{Rand: rand.New(rand.NewPCG(1, 1)), t: t, s: s, now: 1000, recs: map[channel.ID]*Record{}}
	const before, after = 30, 600
	m.commit(func(b *Batch) {
		rec := m.rec(testChannel)
		for range before {
			e := Entry{Version: EntryVersion, Kind: Publish, Time: 1000, Channel: testChannel, Retention: engine.Retention{Size: 40, MetaTTL: time.Hour}, Pub: m.publication()}
			if _, err := b.Apply(&e, rec); err != nil {
				t.Fatal(err)
			}
			must(b.writes.Set(appendPubKey(nil, rec.ID, rec.Top), AppendPublication(nil, e.Pub), nil))
		}
		rec.Sum, rec.Freed = 0, 0
		clear(b.apps)
	})
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range after {
		m.commit(func(b *Batch) {
			e := Entry{Version: EntryVersion, Kind: Publish, Time: 1000, Channel: testChannel, Retention: engine.Retention{Size: 40, MetaTTL: time.Hour}, Pub: m.publication()}
			if _, err := b.Apply(&e, m.rec(testChannel)); err != nil {
				t.Fatal(err)
			}
		})
		if got := s.Taken(testChannel.App); got <= 0 {
			t.Fatalf("after %d: %d", i, got)
		}
	}
	if got, want := s.Taken(testChannel.App), walkTaken(t, s)[testChannel.App]; m.rec(testChannel).Deleted <= before || got != want {
		t.Errorf("once they are gone (below %d) %d is counted, a walk finds %d", m.rec(testChannel).Deleted, got, want)
	}
	if _, closer, err := s.db.Get(append([]byte{tableApp}, testChannel.App...)); err != nil {
		t.Error(errors.Is(err, pebble.ErrNotFound), err)
	} else if err := closer.Close(); err != nil {
		t.Error(err)
	}
}

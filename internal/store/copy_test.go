package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

const testLog = 77 // an incarnation

func openReplayed(t *testing.T, fs FS, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir, FS: fs, MemTableBytes: 1 << 20, Incarnation: testLog, Replayed: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// message applies one message of the replicated log that publishes a number to
// some channels, unless it was seen before.
func message(t *testing.T, s *Store, m Mark, time int64, recs map[string]*Record) (fresh bool) {
	t.Helper()
	b := s.NewBatch()
	if fresh = b.Message(m); fresh {
		for i := range 5 {
			name := fmt.Sprint("c", i)
			if recs[name] == nil {
				rec, err := s.Record(channel.ID{App: "a", Name: name})
				if err != nil {
					t.Fatal(err)
				}
				recs[name] = &rec
			}
			e := Entry{
				Version: EntryVersion, Kind: Publish, Time: time, Channel: channel.ID{App: "a", Name: name},
				Retention: engine.Retention{Size: 100}, Key: fmt.Sprint(m.Count), Pub: &engine.Publication{Data: fmt.Append(nil, m.Seq)},
			}
			if _, err := b.Apply(&e, recs[name]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(); err != nil {
		t.Fatal(err)
	}
	return fresh
}

func TestMessagesHaveTheirEffectOnce(t *testing.T) {
	fs := vfs.NewMem()
	s, recs := openReplayed(t, fs, "d"), map[string]*Record{}
	const day = int64(24 * 3600 * 1000)
	for i, m := range []struct {
		writer string
		count  uint64
		time   int64
		fresh  bool
	}{
		{"one", 1, 1, true},
		{"one", 1, 2, false},
		{"two", 1, 3, true},
		{"one", 2, 4, true},
		{"one", 1, 5, false},
		{"reopen", 0, 0, false},
		{"one", 2, 6, false},
		{"one", 3, 7, true},
		{"two", 2, 2 * day, true},
		{"two", 3, 4 * day, true}, // and nobody has heard of one for days
		{"one", 3, 4 * day, true},
		{"reopen", 0, 0, false},
		{"two", 3, 4 * day, false},
	} {
		if m.writer == "reopen" {
			closeStore(t, s)
			s, recs = openReplayed(t, fs, "d"), map[string]*Record{}
			continue
		}
		mark := Mark{Seq: uint64(i + 1), Writer: m.writer, Count: m.count}
		if fresh := message(t, s, mark, m.time, recs); fresh != m.fresh {
			t.Errorf("message %d, the writer %s's %d: fresh %t", i, m.writer, m.count, fresh)
		}
		if s.Mark() != mark {
			t.Errorf("the log is at %+v, want %+v", s.Mark(), mark)
		}
	}
	closeStore(t, s)
}

func TestOtherLogIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	closeStore(t, openReplayed(t, fs, "d"))
	if _, err := Open(Config{Dir: "d", FS: fs, Incarnation: testLog + 1}); !errors.Is(err, ErrOtherLog) {
		t.Errorf("%v", err)
	}
}

// chunks copies a store while it goes on.
func chunks(t *testing.T, s *Store, meanwhile func()) (list [][]byte, sum uint32) {
	t.Helper()
	c, err := s.Copy()
	if err != nil {
		t.Fatal(err)
	}
	meanwhile()
	for {
		chunk, err := c.Next(nil, 200)
		if err != nil {
			t.Fatal(err)
		}
		if len(chunk) == 0 {
			break
		}
		list = append(list, chunk)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return list, c.Sum()
}

func importOf(t *testing.T, fs FS, dir string, list [][]byte, sum uint32) error {
	t.Helper()
	m, err := NewImport(Config{Dir: dir, FS: fs, MemTableBytes: 1 << 20, Incarnation: testLog})
	if err != nil {
		t.Fatal(err)
	}
	for _, chunk := range list {
		if err := m.Add(chunk); err != nil {
			return errors.Join(err, m.Abort())
		}
	}
	return m.Finish(sum)
}

func TestCopy(t *testing.T) {
	fs := vfs.NewMem()
	s, recs := openReplayed(t, fs, "from"), map[string]*Record{}
	defer func() { closeStore(t, s) }()
	for i := range uint64(20) {
		message(t, s, Mark{Seq: i + 1, Writer: "w", Count: i + 1}, 1, recs)
	}
	list, sum := chunks(t, s, func() { message(t, s, Mark{Seq: 21, Writer: "w", Count: 21}, 1, recs) })
	if len(list) < 10 {
		t.Fatalf("%d chunks", len(list))
	}
	if err := importOf(t, fs, "to", list, sum); err != nil {
		t.Fatal(err)
	}
	to := openReplayed(t, fs, "to")
	defer func() { closeStore(t, to) }()
	if to.Mark() != (Mark{Seq: 20, Writer: "w", Count: 20}) {
		t.Errorf("%+v", to.Mark())
	}
	again := map[string]*Record{}
	if message(t, to, Mark{Seq: 21, Writer: "w", Count: 20}, 1, again) {
		t.Error("the copy does not know the writer")
	}
	message(t, to, Mark{Seq: 22, Writer: "w", Count: 21}, 1, again)
	for name, rec := range recs {
		copied, err := to.Record(channel.ID{App: "a", Name: name})
		if err != nil || copied.Position() != rec.Position() || rec.Top != 21 {
			t.Errorf("%s is at %+v, %v, want %+v", name, copied.Position(), err, rec.Position())
		}
		pubs, err := to.Read(Range{ID: copied.ID, From: 1, To: 20, Limit: -1})
		if err != nil || len(pubs) != 20 || string(pubs[19].Data) != "20" {
			t.Errorf("%s: %d publications, %v", name, len(pubs), err)
		}
	}
}

func TestDamagedCopyIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	s := openReplayed(t, fs, "from")
	defer closeStore(t, s)
	for i := range uint64(20) {
		message(t, s, Mark{Seq: i + 1, Writer: "w", Count: i + 1}, 1, map[string]*Record{})
	}
	list, sum := chunks(t, s, func() {})
	flipped := slices.Clone(list[3])
	flipped[len(flipped)/2] ^= 1
	for name, bad := range map[string][][]byte{
		"a bit":       slices.Replace(slices.Clone(list), 3, 4, flipped),
		"cut":         list[:len(list)-1],
		"left out":    slices.Delete(slices.Clone(list), 3, 4),
		"another way": slices.Replace(slices.Clone(list), 3, 5, list[4], list[3]),
		"empty chunk": {{}},
		"nothing":     nil,
	} {
		dir := "to " + name
		if err := importOf(t, fs, dir, bad, sum); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Open(Config{Dir: dir, FS: fs, Incarnation: testLog}); err == nil {
			t.Errorf("%s: it can be opened", name)
		}
	}
}

// A directory that is finished can be opened whatever was lost, also of a store that
// does not wait for its batches.
func TestNewReplayedDirectoryIsThereAfterACrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openReplayed(t, fs, testDir)
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	closeStore(t, s)
	closeStore(t, openReplayed(t, crashed, testDir))
}

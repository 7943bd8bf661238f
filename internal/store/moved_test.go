package store

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// toMove opens a directory to be moved; the caller closes it.
func toMove(t *testing.T, fsys vfs.FS) *Store {
	t.Helper()
	s, err := OpenToMove(Config{Dir: testDir, FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// files are those below a directory.
func files(t *testing.T, fsys vfs.FS, dir string) (names []string) {
	t.Helper()
	list, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		path := fsys.PathJoin(dir, name)
		info, err := fsys.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, path)
		if info.IsDir() {
			names = append(names, files(t, fsys, path)...)
		}
	}
	slices.Sort(names)
	return names
}

func TestToMoveReadsAndWritesNothing(t *testing.T) {
	fsys := vfs.NewCrashableMem()
	s, _ := mustOpen(t, fsys, testDir)
	want := publish(t, s, 3)
	killed := fsys.CrashClone(vfs.CrashCloneCfg{}) // its last entries are in no table yet
	before := files(t, killed, testDir)
	m := toMove(t, killed)
	found := 0
	err := m.Channels(func(ch channel.ID, rec Record) error {
		found++
		if ch != testChannel || rec.Position() != want.Position() {
			t.Errorf("%v at %+v, want %+v", ch, rec.Position(), want.Position())
		}
		pubs, err := m.Read(Range{ID: rec.ID, From: rec.Low, To: rec.Top, Limit: -1})
		if err != nil || len(pubs) != 3 {
			t.Errorf("%d publications, %v", len(pubs), err)
		}
		return nil
	})
	if err != nil || found != 1 {
		t.Errorf("%d channels, %v", found, err)
	}
	closeStore(t, m)
	if after := files(t, killed, testDir); !slices.Equal(after, before) {
		t.Errorf("files were %v\nand are %v", before, after)
	}
}

// A directory that was moved is used again only in new epochs.
func TestMovedIsNotUsedAgain(t *testing.T) {
	fsys := vfs.NewMem()
	s, closeNow := mustOpen(t, fsys, testDir)
	was := publish(t, s, 1)
	closeNow()
	for range 2 { // a move can be done again
		m := toMove(t, fsys)
		if err := m.MarkMoved(); err != nil {
			t.Fatal(err)
		}
		closeStore(t, m)
	}
	if _, err := Open(Config{Dir: testDir, FS: fsys}); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "rename its file MOVED to RESTORED") {
		t.Errorf("it opens: %v", err)
	}
	if err := fsys.Rename(fsys.PathJoin(testDir, movedFile), fsys.PathJoin(testDir, restoredFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenToMove(Config{Dir: testDir, FS: fsys}); err == nil {
		t.Error("positions that are about to be new ones can be moved")
	}
	s, _ = mustOpen(t, fsys, testDir)
	if is := publish(t, s, 1); is.Epoch == was.Epoch || is.Top != 2 {
		t.Errorf("%+v after %+v", is.Position(), was.Position())
	}
}

func TestWhatIsNoDirectoryIsNotMoved(t *testing.T) {
	fsys := vfs.NewMem()
	if _, err := OpenToMove(Config{Dir: testDir, FS: fsys}); err == nil {
		t.Error("nothing was opened")
	}
	if _, err := fsys.Stat(testDir); err == nil {
		t.Error("a directory was made")
	}
	s, _ := mustOpen(t, fsys, testDir)
	publish(t, s, 1)
	if _, err := OpenToMove(Config{Dir: testDir, FS: fsys}); !errors.Is(err, ErrInUse) {
		t.Errorf("one in use: %v", err)
	}
}

// The epoch of another log holds in the log that took the channel over, and in none
// that follows it.
func TestForeignEpochEndsWithTheLog(t *testing.T) {
	rec := Record{ID: 8, Epoch: "foreign", Top: 9, Low: 4, Deleted: 4, Adopted: 4}
	for incarnation, want := range map[uint64]string{5: "foreign", 6: epoch(6, 8)} {
		got, err := decodeRecord(rec.append(nil, 5), incarnation)
		if err != nil || got.Epoch != want {
			t.Errorf("epoch %q in log %d, want %q: %v", got.Epoch, incarnation, want, err)
		}
	}
}

// A node that does not know this kind of entry must stop at it, and goes on for as
// long as there is none.
func TestOnlyAdoptionsNeedTheNewVersion(t *testing.T) {
	for _, e := range wireEntries() {
		want := byte(1)
		if e.Kind == Adopt {
			want = 2
		}
		b := AppendEntry(nil, &e)
		if b[0] != want {
			t.Errorf("kind %d is written in version %d", e.Kind, b[0])
		}
		if b[0] = 1; e.Kind == Adopt {
			if _, err := DecodeEntry(b); err == nil {
				t.Error("an adoption of version 1 is read")
			}
		}
	}
}

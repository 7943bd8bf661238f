package store

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

const testDir = "/var/data"

var (
	testChannel   = channel.ID{App: "default", Name: "room:1"}
	testRetention = engine.Retention{Size: 100, TTL: time.Hour, MetaTTL: 24 * time.Hour}
)

// mustOpen opens a store that the test closes, or its end does.
func mustOpen(tb testing.TB, fsys vfs.FS, dir string) (s *Store, closeNow func()) {
	tb.Helper()
	s, err := Open(Config{Dir: dir, FS: fsys})
	if err != nil {
		tb.Fatal(err)
	}
	open := true
	closeNow = func() {
		if open {
			open = false
			if err := s.Close(); err != nil {
				tb.Error(err)
			}
		}
	}
	tb.Cleanup(closeNow)
	return s, closeNow
}

// publish stores n publications in a batch each.
func publish(tb testing.TB, s *Store, n int) Record {
	tb.Helper()
	rec, err := s.Record(testChannel)
	if err != nil {
		tb.Fatal(err)
	}
	for range n {
		b := s.NewBatch()
		_, err := b.Apply(&Entry{
			Version: EntryVersion, Kind: Publish, Time: 1_000, Channel: testChannel, Retention: testRetention,
			Pub: &engine.Publication{Data: []byte(strings.Repeat("x", 100))},
		}, &rec)
		if err != nil {
			tb.Fatal(err)
		}
		if err := b.Commit(); err != nil {
			tb.Fatal(err)
		}
		if err := b.Wait(); err != nil {
			tb.Fatal(err)
		}
	}
	return rec
}

func refused(t *testing.T, fsys vfs.FS, dir string, want error, says ...string) {
	t.Helper()
	s, err := Open(Config{Dir: dir, FS: fsys})
	if err == nil {
		s.Close()
		t.Fatal("it opens")
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("%v\nwant %v", err, want)
	}
	for _, part := range append(says, dir) {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\ndoes not say %q", err, part)
		}
	}
}

func TestReopenKeepsEpochAndOffset(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	s, closeNow := mustOpen(t, nil, dir)
	before := publish(t, s, 3)
	closeNow()
	s, _ = mustOpen(t, nil, dir)
	after, err := s.Record(testChannel)
	if err != nil || after.Position() != before.Position() || after.Top != 3 {
		t.Errorf("%+v %v, want %+v", after, err, before)
	}
	if s.Time() != 1_000 {
		t.Errorf("log time %d", s.Time())
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	_, closeNow := mustOpen(t, nil, dir)
	refused(t, nil, dir, ErrInUse)
	closeNow()
	mustOpen(t, nil, dir)
}

func TestNewerFormatIsRefused(t *testing.T) {
	fsys := vfs.NewMem()
	_, closeNow := mustOpen(t, fsys, testDir)
	closeNow()
	rewrite(t, fsys, fsys.PathJoin(testDir, formatFile), func([]byte) []byte { return []byte(formatPrefix + "2\nmore\n") })
	before := fsys.String()
	refused(t, fsys, testDir, ErrNewerFormat, "format 2", "up to 1")
	if after := fsys.String(); after != before {
		t.Errorf("the directory has changed from\n%s\nto\n%s", before, after)
	}
}

func TestDamageIsReported(t *testing.T) {
	rewritten := func(name, text string) func(*testing.T, *vfs.MemFS) {
		return func(t *testing.T, fsys *vfs.MemFS) {
			t.Helper()
			rewrite(t, fsys, fsys.PathJoin(testDir, name), func([]byte) []byte { return []byte(text) })
		}
	}
	removed := func(name string) func(*testing.T, *vfs.MemFS) {
		return func(t *testing.T, fsys *vfs.MemFS) {
			t.Helper()
			remove(t, fsys, fsys.PathJoin(testDir, name))
		}
	}
	flipped := func(part string) func(*testing.T, *vfs.MemFS) {
		return func(t *testing.T, fsys *vfs.MemFS) {
			t.Helper()
			rewrite(t, fsys, newest(t, fsys, part), func(b []byte) []byte { b[30] ^= 4; return b })
		}
	}
	removedNewest := func(part string) func(*testing.T, *vfs.MemFS) {
		return func(t *testing.T, fsys *vfs.MemFS) {
			t.Helper()
			remove(t, fsys, newest(t, fsys, part))
		}
	}
	tests := []struct {
		name   string
		damage func(t *testing.T, fsys *vfs.MemFS)
	}{
		{"format is nonsense", rewritten(formatFile, "\x00\x00")},
		{"format is gone", removed(formatFile)},
		{"log is gone", removed(logDir)},
		{"write-ahead log has a flipped bit", flipped(".log")},
		{"manifest has a flipped bit", flipped("MANIFEST-")},
		{"manifest is gone", removedNewest("MANIFEST-")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := vfs.NewCrashableMem()
			s, closeNow := mustOpen(t, fsys, testDir)
			publish(t, s, 20)
			crashed := fsys.CrashClone(vfs.CrashCloneCfg{})
			closeNow()
			tt.damage(t, crashed)
			for range 2 { // it stays so: nothing makes it look well
				refused(t, crashed, testDir, ErrUnreadable, "restore a backup", "move it away")
			}
		})
	}
}

func TestDamagedTableFailsOnlyItsReads(t *testing.T) {
	fsys := vfs.NewMem()
	var reports []string
	s, closeNow := mustOpen(t, fsys, testDir)
	rec := publish(t, s, 50)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	closeNow()
	name := newest(t, fsys, ".sst")
	rewrite(t, fsys, name, func(b []byte) []byte { b[20] ^= 0xff; return b })
	s, err := Open(Config{Dir: testDir, FS: fsys, OnCorrupt: func(reason string) { reports = append(reports, reason) }})
	if err != nil {
		if !errors.Is(err, ErrUnreadable) {
			t.Fatal(err)
		}
		return
	}
	defer s.Close()
	if pubs, err := s.Read(Range{ID: rec.ID, From: 1, To: rec.Top, Limit: -1}); err == nil {
		t.Errorf("%d publications were read", len(pubs))
	}
	if len(reports) == 0 {
		t.Error("nobody was told")
	}
}

func TestUnreachableIsNotCalledDamaged(t *testing.T) {
	err := unreadable(testDir, &fs.PathError{Op: "open", Path: "x", Err: os.ErrPermission})
	if errors.Is(err, ErrUnreadable) || !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

func TestDirectoryThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, nil, filepath.Join(file, "data"), nil, "make data directory")
}

func TestRestoredBackupBeginsNewEpochs(t *testing.T) {
	fsys := vfs.NewMem()
	s, closeNow := mustOpen(t, fsys, testDir)
	before := publish(t, s, 3)
	closeNow()
	marker := fsys.PathJoin(testDir, restoredFile)
	if err := writeFile(fsys, marker, ""); err != nil {
		t.Fatal(err)
	}
	var epoch string
	for i := range 2 {
		s, closeNow = mustOpen(t, fsys, testDir)
		after, err := s.Record(testChannel)
		if err != nil || after.Epoch == before.Epoch || after.Top != 3 {
			t.Errorf("%+v %v, want another epoch than %+v", after, err, before)
		}
		if _, err := fsys.Stat(marker); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the marker is still there: %v", err)
		}
		if i > 0 && after.Epoch != epoch {
			t.Errorf("epoch %s, then %s", epoch, after.Epoch)
		}
		epoch = after.Epoch
		closeNow()
	}
}

// A crash while a directory is made leaves one that can be opened.
func TestCrashWhileMaking(t *testing.T) {
	for seed := range uint64(200) {
		fsys := vfs.NewCrashableMem()
		rng := rand.New(rand.NewPCG(seed, 1))
		stopAt, made := rng.IntN(40), 0
		var crashed *vfs.MemFS
		watched := &countingFS{FS: fsys, before: func() {
			if made++; made == stopAt {
				crashed = fsys.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			}
		}}
		_, closeNow := mustOpen(t, watched, testDir)
		closeNow()
		if crashed == nil {
			continue
		}
		s, err := Open(Config{Dir: testDir, FS: crashed})
		if err != nil {
			t.Fatalf("seed %d, crash before change %d: %v", seed, stopAt, err)
		}
		publish(t, s, 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// countingFS tells of every change of a directory before it is made.
type countingFS struct {
	vfs.FS

	before func()
}

func (c *countingFS) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	c.before()
	return c.FS.Create(name, cat)
}

func (c *countingFS) Rename(from, to string) error {
	c.before()
	return c.FS.Rename(from, to)
}

func (c *countingFS) OpenDir(name string) (vfs.File, error) {
	c.before()
	return c.FS.OpenDir(name)
}

func (c *countingFS) MkdirAll(name string, mode os.FileMode) error {
	c.before()
	return c.FS.MkdirAll(name, mode)
}

// newest is the last file of the log whose name contains part.
func newest(t *testing.T, fsys vfs.FS, part string) string {
	t.Helper()
	dir := fsys.PathJoin(testDir, logDir)
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, name := range names {
		if size := fileSize(t, fsys, fsys.PathJoin(dir, name)); strings.Contains(name, part) && size > 0 {
			found = max(found, fsys.PathJoin(dir, name))
		}
	}
	if found == "" {
		t.Fatalf("no %s among %q", part, names)
	}
	return found
}

func fileSize(t *testing.T, fsys vfs.FS, name string) int64 {
	t.Helper()
	info, err := fsys.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func remove(t *testing.T, fsys vfs.FS, name string) {
	t.Helper()
	if err := fsys.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func rewrite(t *testing.T, fsys vfs.FS, name string, change func([]byte) []byte) {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, fileSize(t, fsys, name))
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := writeFile(fsys, name, string(change(b))); err != nil {
		t.Fatal(err)
	}
}

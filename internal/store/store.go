package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Defaults and limits of Config.
const (
	DefaultCacheBytes    = 32 << 20
	DefaultMemTableBytes = 32 << 20
	maxMemTables         = 3 // the active one and those being flushed; then writes wait
	maxOpenFiles         = 1000
)

// FS is the filesystem below a store, so that those above need not know whose.
type FS = vfs.FS

// Config is what a Store needs. The zero value of the optional fields is good.
type Config struct {
	Dir           string
	FS            FS // nil: the operating system's
	Logger        *slog.Logger
	CacheBytes    int64 // block cache; 0: DefaultCacheBytes
	MemTableBytes int64 // 0: DefaultMemTableBytes
	MaxBytes      int64 // what FreeBytes is counted from; 0: the disk's size
	// Incarnation is that of the replicated log whose entries the store is to hold;
	// 0: the store is the log, and draws its own.
	Incarnation uint64
	// Replayed says that entries can be had again from a log after a crash: batches
	// are not waited for. Volatile says that nothing has to be there again.
	Replayed, Volatile bool
	// OnFatal is told, once or more, why the store cannot go on: a write or sync
	// failed, and what is in memory can no longer be trusted to be on disk. It
	// should end the process. Called on any goroutine.
	OnFatal func(reason string)
	// OnCorrupt is told of files found damaged while running. Reads of what they
	// hold fail, all else goes on. Called on any goroutine; must not block.
	OnCorrupt func(reason string)

	toMove bool // nothing is written
}

// Store is an open data directory. Reading is safe on any goroutine; batches are
// filled and committed by one at a time.
type Store struct {
	dir         string
	fs          vfs.FS
	lock        io.Closer
	db          *pebble.DB
	incarnation uint64
	unsynced    bool
	maxBytes    int64
	batches     sync.Pool
	taken       taken

	// Owned by whoever fills batches.
	log    Log
	recent recentKeys
	writes writers
	seq    uint64
	stuck  bool // a commit ended in a panic
}

// Open opens a data directory, making it if it is not there. Errors: ErrInUse,
// ErrNewerFormat, ErrUnreadable, ErrMoved; nothing is changed then.
func Open(cfg Config) (*Store, error) {
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	lock, err := lockDir(cfg.FS, cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: cfg.Dir, fs: cfg.FS, lock: lock, unsynced: cfg.Replayed || cfg.Volatile, maxBytes: cfg.MaxBytes}
	if err := s.open(&cfg); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(cfg *Config) error {
	if !cfg.toMove {
		if err := refuseMoved(s.fs, s.dir); err != nil {
			return err
		}
	}
	formatted, err := readFormat(s.fs, s.dir)
	if err != nil {
		return err
	}
	if s.db, err = openPebble(cfg, formatted); err != nil {
		return err
	}
	return s.begin(cfg, formatted)
}

func openPebble(cfg *Config, formatted bool) (db *pebble.DB, err error) {
	opts := pebbleOptions(cfg, formatted)
	defer func() {
		if r := recover(); r != nil { // Pebble's way to refuse a file it cannot make sense of
			db, err = nil, unreadable(cfg.Dir, fmt.Errorf("%v", r))
		}
	}()
	db, err = pebble.Open(cfg.FS.PathJoin(cfg.Dir, logDir), opts)
	if err != nil {
		return nil, unreadable(cfg.Dir, err)
	}
	return db, nil
}

func pebbleOptions(cfg *Config, formatted bool) *pebble.Options {
	opts := &pebble.Options{
		FS:                          manifestFS{cfg.FS},
		ReadOnly:                    cfg.toMove,
		DisableWAL:                  cfg.Volatile,
		Logger:                      &logger{log: cfg.Logger, fatal: cfg.OnFatal},
		EventListener:               events(cfg),
		ErrorIfNotExists:            formatted,
		FormatMajorVersion:          pebble.FormatWALSyncChunks, // tells a torn tail of the log from a damaged one
		CacheSize:                   orDefault(cfg.CacheBytes, DefaultCacheBytes),
		MemTableSize:                uint64(orDefault(cfg.MemTableBytes, DefaultMemTableBytes)),
		MemTableStopWritesThreshold: maxMemTables,
		MaxOpenFiles:                maxOpenFiles,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       64,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		opts.Levels[i].FilterType = pebble.TableFilter
	}
	return opts
}

func orDefault(v, otherwise int64) int64 {
	if v == 0 {
		return otherwise
	}
	return v
}

// begin reads the state of the log. A directory that has none was never
// finished: it is, then, and only then called formatted.
func (s *Store) begin(cfg *Config, formatted bool) error {
	v, found, err := s.get(logKey)
	if err == nil && found {
		s.log, err = decodeLog(v)
	}
	switch {
	case err != nil:
		return unreadable(s.dir, err)
	case formatted && !found:
		return unreadable(s.dir, errors.New("the state of the log is missing"))
	case formatted:
		err = s.reincarnate()
	case s.log.Number > 0:
		return unreadable(s.dir, fmt.Errorf("the file %s is missing though there are publications", formatFile))
	default:
		err = s.finish(cfg, found)
	}
	if err == nil && cfg.Incarnation != 0 && cfg.Incarnation != s.log.Incarnation {
		err = fmt.Errorf("data directory %s %w", s.dir, ErrOtherLog)
	}
	if err == nil {
		err = errors.Join(s.loadWriters(), s.loadTaken())
	}
	s.incarnation, s.recent = s.log.Incarnation, newRecentKeys(s.log)
	return err
}

// finish completes a new directory.
func (s *Store) finish(cfg *Config, found bool) error {
	if !found {
		if err := s.incarnate(cfg.Incarnation); err != nil {
			return err
		}
	}
	if !cfg.Volatile { // batches may be lost in a crash, but not whose they were
		if err := s.Sync(); err != nil {
			return err
		}
	}
	return writeFormat(s.fs, s.dir)
}

// reincarnate gives every channel of a restored backup a new epoch.
func (s *Store) reincarnate() error {
	if yes, err := restored(s.fs, s.dir); err != nil || !yes {
		return err
	}
	if err := s.incarnate(0); err != nil {
		return err
	}
	return forgetRestored(s.fs, s.dir)
}

// incarnate stores the identity of the log; 0: draws a new one.
func (s *Store) incarnate(id uint64) error {
	s.log.Incarnation = id
	if id == 0 {
		s.log.Incarnation = NewIncarnation()
	}
	if err := s.db.Set(logKey, s.log.append(nil), s.syncOptions()); err != nil {
		return fmt.Errorf("open data directory %s: %w", s.dir, err)
	}
	return nil
}

// NewIncarnation draws an identity for a log.
func NewIncarnation() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])                           // never fails
	return max(binary.BigEndian.Uint64(b[:])>>24, 1) // 40 bits: 8 digits of an epoch
}

func (s *Store) syncOptions() *pebble.WriteOptions {
	if s.unsynced {
		return pebble.NoSync
	}
	return pebble.Sync
}

// Sync makes durable what was committed unsynced, so that less of the log has to
// be applied again.
func (s *Store) Sync() error {
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync the store: %w", err)
	}
	return nil
}

// Mark is where the replicated log was at the last committed batch, for whoever
// fills batches.
func (s *Store) Mark() Mark { return s.log.Mark }

// NewRAM makes a file system in RAM.
func NewRAM() FS { return vfs.NewMem() }

// RemoveDir removes a data directory that no process has open, with all it holds.
func RemoveDir(fsys FS, dir string) error {
	if fsys == nil {
		fsys = vfs.Default
	}
	if err := fsys.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove data directory %s: %w", dir, err)
	}
	return nil
}

// RenameDir gives a data directory that no process has open another name, which a
// crash does not take back once it returns.
func RenameDir(fsys FS, from, to string) error {
	if fsys == nil {
		fsys = vfs.Default
	}
	err := fsys.Rename(from, to)
	if err == nil {
		err = syncDir(fsys, fsys.PathDir(to))
	}
	if err != nil {
		return fmt.Errorf("rename data directory %s: %w", from, err)
	}
	return nil
}

// Exists reports whether there is a finished data directory.
func Exists(fsys FS, dir string) (bool, error) {
	if fsys == nil {
		fsys = vfs.Default
	}
	return readFormat(fsys, dir)
}

// Time is the log time of the last committed batch, for whoever fills batches.
func (s *Store) Time() int64 { return s.log.Time }

// DiskUsage is what the store takes on disk.
func (s *Store) DiskUsage() uint64 { return s.db.Metrics().DiskSpaceUsage() }

// ErrUnsupported is what FreeBytes returns where the filesystem does not say.
var ErrUnsupported = vfs.ErrUnsupported

// FreeBytes is how much space is left for it: on its disk, or of MaxBytes.
func (s *Store) FreeBytes() (uint64, error) {
	if s.maxBytes > 0 {
		m := s.db.Metrics()
		return uint64(max(s.maxBytes-int64(m.DiskSpaceUsage()+m.MemTable.Size), 0)), nil
	}
	u, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	return u.AvailBytes, nil
}

// Close gives the directory back. Every batch has been waited for, every read
// has returned. Pebble that stopped in the middle of a commit holds its locks
// and cannot be closed: its goroutines end with the process.
func (s *Store) Close() error {
	var err error
	if s.db != nil && !s.stuck {
		if cerr := s.db.Close(); cerr != nil {
			err = fmt.Errorf("close data directory %s: %w", s.dir, cerr)
		}
	}
	if cerr := s.lock.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("unlock data directory %s: %w", s.dir, cerr)
	}
	return err
}

// Incarnation is the identity of the log whose entries the store holds.
func (s *Store) Incarnation() uint64 { return s.incarnation }

package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/pack"
)

// This file copies a store: everything it held at one moment leaves in chunks,
// each with its checksum, and becomes a store elsewhere.
//
//	chunk: crc32c:4 ( len(key) key len(value) value )*
//
// The sum of a copy is the crc32c over the checksums of its chunks.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged says that a copy has changed on its way.
var ErrDamaged = errors.New("copy of the store is damaged")

// Copy reads what a store holds at one moment, once, from front to back.
type Copy struct {
	log      Log
	snapshot *pebble.Snapshot
	it       *pebble.Iterator
	valid    bool
	sum      uint32
}

// Copy begins a copy of what is committed now. Close must follow.
func (s *Store) Copy() (*Copy, error) {
	c := &Copy{snapshot: s.db.NewSnapshot()}
	v, closer, err := c.snapshot.Get(logKey)
	if err == nil {
		if c.log, err = decodeLog(v); err == nil {
			err = closer.Close()
		}
	}
	if err == nil {
		c.it, err = c.snapshot.NewIter(nil)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copy the store: %w", err), c.snapshot.Close())
	}
	c.valid = c.it.First()
	return c, nil
}

// Mark is where the replicated log was at the moment of the copy.
func (c *Copy) Mark() Mark { return c.log.Mark }

// Next appends the next chunk to dst: at least one record, and no more once it
// is larger than size. Without a record left it yields an empty chunk.
func (c *Copy) Next(dst []byte, size int) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for c.valid && len(dst)-start < size {
		v, err := c.it.ValueAndErr()
		if err != nil {
			return nil, fmt.Errorf("copy the store: %w", err)
		}
		dst = pack.AppendString(pack.AppendString(dst, c.it.Key()), v)
		c.valid = c.it.Next()
	}
	if err := c.it.Error(); err != nil {
		return nil, fmt.Errorf("copy the store: %w", err)
	}
	if len(dst)-start == 4 {
		return dst[:start], nil
	}
	binary.BigEndian.PutUint32(dst[start:], crc32.Checksum(dst[start+4:], castagnoli))
	c.sum = crc32.Update(c.sum, castagnoli, dst[start:start+4])
	return dst, nil
}

// Sum is the sum of all chunks so far.
func (c *Copy) Sum() uint32 { return c.sum }

// Close lets the store forget the moment.
func (c *Copy) Close() error { return errors.Join(c.it.Close(), c.snapshot.Close()) }

// Import makes a data directory of a copy. It is one only once Finish returns.
type Import struct {
	s   *Store
	cfg Config
	sum uint32
}

// NewImport begins an import into a directory that must not hold anything.
func NewImport(cfg Config) (*Import, error) {
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
	s := &Store{dir: cfg.Dir, fs: cfg.FS, lock: lock}
	if s.db, err = openPebble(&cfg, false); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	// Half of a copy must not be taken for a directory that nothing was put into.
	half := Log{Incarnation: cfg.Incarnation, Number: 1}
	if err := s.db.Set(logKey, half.append(nil), pebble.NoSync); err != nil {
		return nil, errors.Join(fmt.Errorf("import: %w", err), s.Close())
	}
	return &Import{s: s, cfg: cfg}, nil
}

// Add takes the next chunk. It fails with ErrDamaged.
func (m *Import) Add(chunk []byte) error {
	if len(chunk) < 4 || crc32.Checksum(chunk[4:], castagnoli) != binary.BigEndian.Uint32(chunk) {
		return ErrDamaged
	}
	m.sum = crc32.Update(m.sum, castagnoli, chunk[:4])
	b := m.s.db.NewBatch()
	for r := read(chunk[4:]); len(r.B) > 0; {
		key, value := r.Bytes(), r.Bytes()
		if r.Failed || len(key) == 0 {
			return errors.Join(ErrDamaged, b.Close())
		}
		must(b.Set(key, value, nil))
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return b.Close()
}

// Finish completes the directory, which holds what was copied from the log of
// that incarnation with that sum, or fails with ErrDamaged. The import is closed
// in any case.
func (m *Import) Finish(sum uint32) error {
	err := m.finish(sum)
	return errors.Join(err, m.s.Close())
}

func (m *Import) finish(sum uint32) error {
	v, found, err := m.s.get(logKey)
	switch {
	case err != nil:
		return err
	case !found || sum != m.sum:
		return ErrDamaged
	}
	l, err := decodeLog(v)
	if err != nil || l.Incarnation != m.cfg.Incarnation {
		return ErrDamaged
	}
	if err := m.s.db.Flush(); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return writeFormat(m.s.fs, m.s.dir)
}

// Abort gives an import up.
func (m *Import) Abort() error { return m.s.Close() }

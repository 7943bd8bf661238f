package store

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// This file is for a directory whose channels move to another log. It is read and
// not written, and says afterwards that it was moved: were it used again, the same
// positions would mean one thing here and another there.

// OpenToMove opens a data directory that no process uses, to read what it holds;
// nothing in it is changed. Errors: those of Open but ErrMoved, as a move can be done
// again; and an error where there is no data directory.
func OpenToMove(cfg Config) (*Store, error) {
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	// Taking the lock would make a directory.
	formatted, err := readFormat(cfg.FS, cfg.Dir)
	switch {
	case err != nil:
		return nil, err
	case !formatted:
		return nil, fmt.Errorf("%s is no data directory of a node: there is no file %s", cfg.Dir, formatFile)
	}
	if yes, err := restored(cfg.FS, cfg.Dir); err != nil {
		return nil, err
	} else if yes {
		return nil, fmt.Errorf("data directory %s is a backup that was put back and not used since: start a node on it once, so that its positions are new ones", cfg.Dir)
	}
	cfg.toMove = true
	return Open(cfg)
}

// Channels calls fn for every channel there is, until it fails.
func (s *Store) Channels(fn func(ch channel.ID, rec Record) error) (err error) {
	it, err := s.table(tableChannel)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("read channels: %w", cerr)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		ch, err := decodeChannel(it.Key()[1:])
		if err != nil {
			return err
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read channels: %w", err)
		}
		rec, err := decodeRecord(v, s.incarnation)
		if err != nil {
			return fmt.Errorf("channel %s: %w", ch, err)
		}
		if err := fn(ch, rec); err != nil {
			return err
		}
	}
	return nil
}

// MarkMoved says in the directory that its channels are elsewhere, for good once it
// returns.
func (s *Store) MarkMoved() error {
	err := writeFile(s.fs, s.fs.PathJoin(s.dir, movedFile),
		"The channels of this directory were moved to a cluster, or a move has begun. To use it alone again, without what was published since: rename this file to "+restoredFile+".\n")
	if err == nil {
		err = syncDir(s.fs, s.dir)
	}
	if err != nil {
		return fmt.Errorf("mark data directory %s as moved: %w", s.dir, err)
	}
	return nil
}

// refuseMoved fails with ErrMoved.
func refuseMoved(fsys vfs.FS, dir string) error {
	_, err := fsys.Stat(fsys.PathJoin(dir, movedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open data directory %s: %w", dir, err)
	}
	return fmt.Errorf("data directory %s %w: start a node of the cluster with a directory of its own; to use this one alone again, without what was published since, rename its file %s to %s",
		dir, ErrMoved, movedFile, restoredFile)
}

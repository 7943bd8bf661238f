package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Why a data directory cannot be opened. The wrapped text says what to do.
var (
	ErrInUse       = errors.New("in use by another fanfare process")
	ErrNewerFormat = errors.New("written by a newer version")
	ErrUnreadable  = errors.New("cannot be read")
	ErrOtherLog    = errors.New("holds entries of another log")
	ErrMoved       = errors.New("was moved to a cluster")
)

const (
	formatFile = "FORMAT"
	// restoredFile says that the directory is a backup: what was published after
	// it was made is gone, so no position given out may be trusted.
	restoredFile = "RESTORED"
	movedFile    = "MOVED" // see MarkMoved
	lockFile     = "LOCK"
	logDir       = "log"

	formatPrefix = "fanfare data directory, format "
	maxFormat    = 1 << 10 // bytes of the file that are looked at
)

// Advice is what to do about a data directory that is damaged.
const Advice = "restore a backup of it and put an empty file " + restoredFile + " into it, or move it away to start with an empty one"

// unreadable says what to do about a directory; not where its files may be well
// and only cannot be reached.
func unreadable(dir string, cause error) error {
	if errors.Is(cause, fs.ErrPermission) || errors.Is(cause, syscall.ENOSPC) {
		return fmt.Errorf("open data directory %s: %w", dir, cause)
	}
	return fmt.Errorf("data directory %s %w: %w; %s", dir, ErrUnreadable, cause, Advice)
}

// Lock takes a directory for this process as a store takes its own, or fails
// with ErrInUse.
func Lock(dir string) (io.Closer, error) { return lockDir(vfs.Default, dir) }

// lockDir makes the directory if need be and takes it for this process.
func lockDir(fsys vfs.FS, dir string) (io.Closer, error) {
	if err := makeDir(fsys, dir); err != nil {
		return nil, fmt.Errorf("make data directory %s: %w", dir, err)
	}
	lock, err := fsys.Lock(fsys.PathJoin(dir, lockFile))
	if err == nil {
		return lock, nil
	}
	var path *fs.PathError
	if errors.As(err, &path) { // it is the file that cannot be made, not the lock that is taken
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return nil, fmt.Errorf("data directory %s is %w: %w", dir, ErrInUse, err)
}

// makeDir makes a directory that is still there after a crash.
func makeDir(fsys vfs.FS, dir string) error {
	var changed []string
	for d := dir; ; d = fsys.PathDir(d) {
		_, err := fsys.Stat(d)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		changed = append(changed, fsys.PathDir(d))
	}
	if err := fsys.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, d := range changed {
		if err := syncDir(fsys, d); err != nil {
			return err
		}
	}
	return nil
}

// Formatted reports whether a directory is that of a store. Errors: of a directory
// that cannot be read, or whose store is none that this program knows.
func Formatted(dir string) (bool, error) {
	return readFormat(vfs.Default, dir)
}

// readFormat reports whether the directory is a finished one of a format that
// this program reads.
func readFormat(fsys vfs.FS, dir string) (formatted bool, err error) {
	f, err := fsys.Open(fsys.PathJoin(dir, formatFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, unreadable(dir, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFormat))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return false, unreadable(dir, err)
	}
	format, ok := parseFormat(b)
	if !ok {
		line, _, _ := strings.Cut(string(b), "\n")
		return false, unreadable(dir, fmt.Errorf("the file %s says %q", formatFile, line))
	}
	if format > Format {
		return false, fmt.Errorf("data directory %s was %w of fanfare (format %d, this one reads up to %d): run that version, or name another directory",
			dir, ErrNewerFormat, format, Format)
	}
	return true, nil
}

// parseFormat reads the number out of the first line.
func parseFormat(b []byte) (format int, ok bool) {
	line, _, _ := strings.Cut(string(b), "\n")
	rest, ok := strings.CutPrefix(line, formatPrefix)
	if !ok {
		return 0, false
	}
	format, err := strconv.Atoi(rest)
	return format, err == nil && format >= 1
}

// writeFormat says that the directory is finished, once everything else of it is
// sure to be found after a crash.
func writeFormat(fsys vfs.FS, dir string) error {
	if err := syncDir(fsys, dir); err != nil {
		return fmt.Errorf("make data directory %s: %w", dir, err)
	}
	text := fmt.Sprintf("%s%d\nPublications and positions are in %s/. Change nothing here by hand.\n", formatPrefix, Format, logDir)
	temp := fsys.PathJoin(dir, formatFile+".new")
	if err := writeFile(fsys, temp, text); err != nil {
		return fmt.Errorf("make data directory %s: %w", dir, err)
	}
	if err := fsys.Rename(temp, fsys.PathJoin(dir, formatFile)); err != nil {
		return fmt.Errorf("make data directory %s: %w", dir, err)
	}
	if err := syncDir(fsys, dir); err != nil {
		return fmt.Errorf("make data directory %s: %w", dir, err)
	}
	return nil
}

// restored reports whether the directory is a backup that was put back.
func restored(fsys vfs.FS, dir string) (bool, error) {
	_, err := fsys.Stat(fsys.PathJoin(dir, restoredFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	return true, nil
}

// forgetRestored is done once the directory has positions of its own.
func forgetRestored(fsys vfs.FS, dir string) error {
	err := fsys.Remove(fsys.PathJoin(dir, restoredFile))
	if err == nil {
		err = syncDir(fsys, dir)
	}
	if err != nil {
		return fmt.Errorf("open data directory %s: %w", dir, err)
	}
	return nil
}

func writeFile(fsys vfs.FS, name, text string) error {
	f, err := fsys.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

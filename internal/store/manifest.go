package store

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// manifestFS makes sure that a new manifest of Pebble's can be found before
// anything refers to it. Pebble syncs the directory only once the marker that
// names the manifest is in it too; a file system that kept the marker and lost
// the manifest in a crash would leave a directory that cannot be opened.
type manifestFS struct{ vfs.FS }

// Create implements vfs.FS.
func (m manifestFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := m.FS.Create(name, c)
	if err != nil || !strings.HasPrefix(m.PathBase(name), "MANIFEST-") {
		return f, err
	}
	return &manifestFile{File: f, fs: m.FS, dir: m.PathDir(name)}, nil
}

type manifestFile struct {
	vfs.File

	fs    vfs.FS
	dir   string
	found bool // the directory was synced
}

// Sync implements vfs.File.
func (f *manifestFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *manifestFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *manifestFile) sync(file func() error) error {
	if err := file(); err != nil || f.found {
		return err
	}
	err := syncDir(f.fs, f.dir)
	f.found = err == nil
	return err
}

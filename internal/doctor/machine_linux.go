package doctor

import (
	"os"
	"path/filepath"
	"syscall"
)

// Types of filesystems in memory; see statfs(2).
const (
	tmpfs = 0x01021994
	ramfs = 0x858458f6
)

// Volatile implements Machine. A directory that is not there yet is as its nearest
// parent.
func (Here) Volatile(path string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	for ; filepath.Dir(path) != path; path = filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			break
		}
	}
	var s syscall.Statfs_t
	if syscall.Statfs(path, &s) != nil {
		return false
	}
	kind := uint32(s.Type)
	return kind == tmpfs || kind == ramfs
}

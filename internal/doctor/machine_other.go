//go:build !linux

package doctor

// Volatile implements Machine: only Linux is asked.
func (Here) Volatile(string) bool { return false }

//go:build unix

package doctor

import (
	"math"
	"syscall"
)

// Descriptors implements Machine. Go raises the soft limit to the hard one when a
// program starts.
func (Here) Descriptors() (n int, known bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return 0, false
	}
	return int(limit.Cur), true
}

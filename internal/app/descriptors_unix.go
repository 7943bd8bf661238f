//go:build unix

package app

import (
	"math"
	"syscall"
)

// maxDescriptors is how many files and connections the process may have open; Go
// raises the soft limit to the hard one when a program starts.
func maxDescriptors() (n int, known bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return 0, false
	}
	return int(limit.Cur), true
}

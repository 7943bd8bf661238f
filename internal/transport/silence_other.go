//go:build !linux

package transport

import (
	"net"
	"time"
)

// LimitSilence does nothing here: the system's own timers find a peer that is
// gone.
func LimitSilence(net.Conn, time.Duration) error { return nil }

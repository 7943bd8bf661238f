//go:build !linux

package transport

import (
	"crypto/tls"
	"net"
	"time"
)

// LimitSilence does nothing here: the system's own timers find a peer that is
// gone.
func LimitSilence(net.Conn, time.Duration) error { return nil }

// socketOf is the connection below TLS.
func socketOf(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

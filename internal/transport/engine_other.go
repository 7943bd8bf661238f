//go:build !linux

package transport

import (
	"crypto/tls"
	"net"
)

// New makes the engine that suits the system best.
func New(o Options) Engine { return NewGoroutines(o) }

// TLSListener wraps a listener in TLS.
func TLSListener(ln net.Listener, cfg *tls.Config) net.Listener { return tls.NewListener(ln, cfg) }

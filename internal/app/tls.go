package app

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// newTransport makes the engine that the settings name.
func newTransport(cfg *config.Config) transport.Engine {
	o := transport.Options{SendBuffer: int(cfg.Client.SendBufferSize)}
	if o.SendBuffer == 0 {
		o.SendBuffer = -1 // the system's own sizing
	}
	if cfg.Transport == "goroutine" {
		return transport.NewGoroutines(o)
	}
	return transport.New(o)
}

// secure wraps the listener in TLS where a certificate is set.
func (a *App) secure(l net.Listener) (net.Listener, error) {
	if a.cfg.TLS.CertFile == "" {
		return l, nil
	}
	cert, err := tls.LoadX509KeyPair(a.cfg.TLS.CertFile, a.cfg.TLS.KeyFile)
	if err != nil {
		return l, fmt.Errorf("tls: %w", err)
	}
	protocols := []string{"http/1.1"}
	if a.cfg.TLS.HTTP2 {
		protocols = []string{"h2", "http/1.1"}
	}
	return transport.TLSListener(l, &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   protocols,
	}), nil
}

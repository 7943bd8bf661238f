package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/certs"
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

// securePublic wraps the listener for clients in TLS where a certificate, or hosts
// to get one for, are set.
func (a *App) securePublic(l net.Listener) (net.Listener, error) {
	t := &a.cfg.TLS
	if len(t.ACMEHosts) == 0 {
		return a.secure(l, t.CertFile, t.KeyFile, "")
	}
	var err error
	a.acme, err = certs.NewACME(certs.ACMEConfig{
		Hosts: t.ACMEHosts, CacheDir: t.ACMECacheDir, Directory: t.ACMEDirectory, Email: t.ACMEEmail, CAFile: t.ACMECAFile,
		NextProtos: a.protocols(), Log: a.log, Loaded: a.loaded,
	})
	if err != nil {
		return l, fmt.Errorf("tls: %w", err)
	}
	return transport.TLSListener(l, a.acme.TLS()), nil
}

// protocols are offered in handshakes, the best first.
func (a *App) protocols() []string {
	if a.cfg.TLS.HTTP2 {
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}

// secure wraps a listener in TLS where a certificate is set.
func (a *App) secure(l net.Listener, certFile, keyFile, clientCAFile string) (net.Listener, error) {
	if certFile == "" {
		return l, nil
	}
	files, err := certs.NewFiles(certs.Config{
		CertFile: certFile, KeyFile: keyFile, ClientCAFile: clientCAFile, NextProtos: a.protocols(),
		Interval: a.cfg.TLS.ReloadInterval, Log: a.log, Loaded: a.loaded,
	})
	if err != nil {
		return l, fmt.Errorf("tls: %w", err)
	}
	a.certs = append(a.certs, files)
	return transport.TLSListener(l, files.TLS()), nil
}

// trusting is how backends over https are verified; nil for no file: by the system's
// authorities.
func trusting(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil
	}
	pool, err := certs.Authorities(caFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// loaded counts what became of changed files.
func (a *App) loaded(notAfter time.Time, err error) {
	if err != nil {
		a.metrics.CertFailures.Inc()
		return
	}
	a.metrics.CertExpiry.Set(notAfter.Unix())
}

// watchCerts looks at the files of certificates until ctx ends.
func (a *App) watchCerts(ctx context.Context, background *sync.WaitGroup) {
	if a.acme != nil {
		background.Go(func() { a.acme.Run(ctx) })
	}
	for _, files := range a.certs {
		background.Go(func() { files.Run(ctx) })
	}
}

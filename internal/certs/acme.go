package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEConfig is what ACME is made of. Hosts and CacheDir are required.
type ACMEConfig struct {
	Hosts     []string // that certificates are asked for; handshakes for others fail
	CacheDir  string   // where certificates and keys are kept, readable for this user only
	Directory string   // of the authority, a URL; "": Let's Encrypt's
	Email     string   // whom the authority tells of trouble; "": nobody
	// CAFile holds the authorities, PEM, that the directory's own certificate is
	// verified by; "": the system's.
	CAFile     string
	NextProtos []string // offered by ALPN, the best first
	Log        *slog.Logger
	// Loaded is told of each look at the certificates: until when the first of them
	// is valid, or why one could not be had; nil: nobody.
	Loaded func(notAfter time.Time, err error)
}

const (
	acmeTimeout = 30 * time.Second // of one call to the authority
	// acmeInterval is the time between two looks at the certificates. One that could
	// not be had is asked for again then, and by handshakes: authorities allow few
	// failures in an hour.
	acmeInterval = time.Hour
)

// ACME answers handshakes with certificates that it gets and renews by itself
// (RFC 8555). That the hosts are ours is shown in handshakes on the same listener
// (TLS-ALPN-01, RFC 8737), which the authority makes to port 443.
type ACME struct {
	cfg     ACMEConfig
	manager *autocert.Manager
}

// NewACME makes an ACME; nothing is asked for before Run or the first handshake.
func NewACME(cfg ACMEConfig) (*ACME, error) {
	if len(cfg.Hosts) == 0 || cfg.CacheDir == "" {
		return nil, errors.New("acme: hosts and a directory for their certificates are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Loaded == nil {
		cfg.Loaded = func(time.Time, error) {}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: acmeTimeout}
	if cfg.CAFile != "" {
		pool, err := Authorities(cfg.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	directory := cfg.Directory
	if directory == "" {
		directory = autocert.DefaultACMEDirectory
	}
	return &ACME{cfg: cfg, manager: &autocert.Manager{
		Prompt:     autocert.AcceptTOS, // whoever names the hosts has agreed to the authority's terms
		Cache:      autocert.DirCache(cfg.CacheDir),
		HostPolicy: autocert.HostWhitelist(cfg.Hosts...),
		Email:      cfg.Email,
		Client: &acme.Client{
			DirectoryURL: directory, UserAgent: "fanfare",
			HTTPClient: &http.Client{Transport: transport, Timeout: acmeTimeout},
		},
	}}, nil
}

// TLS is the configuration of a listener.
func (a *ACME) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     append(slices.Clone(a.cfg.NextProtos), acme.ALPNProto),
		GetCertificate: a.manager.GetCertificate,
	}
}

// Run gets the certificates, looks after them until ctx ends, and says what became
// of each. The listener must serve meanwhile.
func (a *ACME) Run(ctx context.Context) {
	tick := time.NewTicker(acmeInterval)
	defer tick.Stop()
	known := map[string]time.Time{}
	for {
		a.look(ctx, known)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look gets what is not there; known is what was there before.
func (a *ACME) look(ctx context.Context, known map[string]time.Time) {
	var first time.Time
	for _, host := range a.cfg.Hosts {
		notAfter, err := a.certificate(ctx, host)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.cfg.Log.Error("no certificate could be had", "host", host, "error", err)
			a.cfg.Loaded(time.Time{}, err)
			continue
		case !known[host].Equal(notAfter):
			known[host] = notAfter
			a.cfg.Log.Info("certificate in use", "host", host, "not_after", notAfter)
		}
		if first.IsZero() || notAfter.Before(first) {
			first = notAfter
		}
	}
	if !first.IsZero() {
		a.cfg.Loaded(first, nil)
	}
}

// certificate has the manager get a host's certificate as a handshake would. It
// does not wait beyond ctx; what the manager has begun ends by its own timeouts.
func (a *ACME) certificate(ctx context.Context, host string) (notAfter time.Time, err error) {
	type result struct {
		cert *tls.Certificate
		err  error
	}
	done := make(chan result, 1)
	go func() {
		cert, err := a.manager.GetCertificate(&tls.ClientHelloInfo{
			ServerName: host, SupportedVersions: []uint16{tls.VersionTLS13},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
			SupportedCurves:  []tls.CurveID{tls.CurveP256},
			CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		})
		done <- result{cert, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return time.Time{}, r.err
		}
		return r.cert.Leaf.NotAfter, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

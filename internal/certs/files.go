package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what Files is made of. CertFile and KeyFile are required.
type Config struct {
	CertFile string // certificate chain, PEM
	KeyFile  string // its private key, PEM
	// ClientCAFile holds the authorities, PEM, one of which must have signed the
	// certificate of every client; "": clients are not asked for one.
	ClientCAFile string
	NextProtos   []string      // offered by ALPN (RFC 7301), the best first
	Interval     time.Duration // between two looks at the files
	Log          *slog.Logger
	// Loaded is told of every look at files that have changed: until when the
	// certificate is valid, or why it was not taken; nil: nobody.
	Loaded func(notAfter time.Time, err error)
}

// maxFile bounds a file, in bytes.
const maxFile = 1 << 20

// Files answers handshakes with a certificate from files, and reads them again
// when they change. Connections that are there already keep what they began with.
type Files struct {
	cfg     Config
	current atomic.Pointer[tls.Config]

	mu   sync.Mutex
	seen [sha256.Size]byte // of what was read last, taken or not
}

// NewFiles reads the files; it fails when they are not fit for use.
func NewFiles(cfg Config) (*Files, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Loaded == nil {
		cfg.Loaded = func(time.Time, error) {}
	}
	f := &Files{cfg: cfg}
	if _, err := f.load(true); err != nil {
		return nil, err
	}
	return f, nil
}

// TLS is the configuration of a listener. Each handshake uses what is current.
func (f *Files) TLS() *tls.Config {
	c := f.base()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current.Load(), nil }
	return c
}

func (f *Files) base() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: f.cfg.NextProtos,
		// A resumed session would be let in by the certificate of an authority that
		// is no longer trusted.
		SessionTicketsDisabled: f.cfg.ClientCAFile != "",
	}
}

// Run looks at the files now and then until ctx ends. What does not fit together
// is not taken, which is also what half a replacement looks like.
func (f *Files) Run(ctx context.Context) {
	tick := time.NewTicker(f.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.renew(false)
		}
	}
}

// Reload reads the files now, and says so also when nothing has changed.
func (f *Files) Reload() { f.renew(true) }

func (f *Files) renew(always bool) {
	switch changed, err := f.load(always); {
	case err != nil && changed:
		f.cfg.Log.Error("the new certificate was not taken; the one before stays in use", "file", f.cfg.CertFile, "error", err)
	case changed:
		f.cfg.Log.Info("certificate loaded", "file", f.cfg.CertFile)
	}
}

// load takes what is in the files, if it is not what was there before; changed
// says that there was something to take.
func (f *Files) load(always bool) (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := []string{f.cfg.CertFile, f.cfg.KeyFile}
	if f.cfg.ClientCAFile != "" {
		names = append(names, f.cfg.ClientCAFile)
	}
	texts := make([][]byte, len(names))
	sum := sha256.New()
	var failed error
	for i, name := range names {
		if texts[i], err = read(name); err != nil {
			failed = errors.Join(failed, err)
			texts[i] = []byte(err.Error()) // that is a state of the files, too
		}
		one := sha256.Sum256(texts[i])
		sum.Write(one[:])
	}
	digest := [sha256.Size]byte(sum.Sum(nil))
	if digest == f.seen && !always {
		return false, failed
	}
	f.seen = digest
	var notAfter time.Time
	if failed == nil {
		notAfter, failed = f.use(texts)
	}
	f.cfg.Loaded(notAfter, failed)
	return true, failed
}

// use makes the content of the files current.
func (f *Files) use(texts [][]byte) (notAfter time.Time, err error) {
	cert, err := tls.X509KeyPair(texts[0], texts[1])
	if err != nil {
		return notAfter, fmt.Errorf("%s and %s: %w", f.cfg.CertFile, f.cfg.KeyFile, err)
	}
	c := f.base()
	c.Certificates = []tls.Certificate{cert}
	if f.cfg.ClientCAFile != "" {
		if c.ClientCAs, err = pool(f.cfg.ClientCAFile, texts[2]); err != nil {
			return notAfter, err
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if notAfter = cert.Leaf.NotAfter; time.Now().After(notAfter) {
		f.cfg.Log.Warn("the certificate has expired; clients will refuse it", "file", f.cfg.CertFile, "not_after", notAfter)
	}
	f.current.Store(c)
	return notAfter, nil
}

// Authorities reads those that a peer's certificate is verified by, PEM.
func Authorities(file string) (*x509.CertPool, error) {
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	return pool(file, text)
}

func pool(file string, text []byte) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return p, nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return text, err
}

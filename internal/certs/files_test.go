package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair makes a certificate that signs itself, and its key.
func pair(t *testing.T, name string, notAfter time.Time) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-24 * 365 * time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func put(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// files are a certificate in a directory of its own, and what is told of it.
type files struct {
	Config

	log  strings.Builder
	told []error
}

func newFiles(t *testing.T, name string) *files {
	t.Helper()
	dir := t.TempDir()
	f := &files{Config: Config{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Interval: 10 * time.Second}}
	f.Log = slog.New(slog.NewTextHandler(&f.log, nil))
	f.Loaded = func(_ time.Time, err error) { f.told = append(f.told, err) }
	f.write(t, name)
	return f
}

func (f *files) write(t *testing.T, name string) {
	t.Helper()
	cert, key := pair(t, name, time.Now().Add(time.Hour))
	put(t, f.CertFile, cert)
	put(t, f.KeyFile, key)
}

// handshake gives the name in the certificate that a client is shown.
func handshake(t *testing.T, server, client *tls.Config) (name string, state tls.ConnectionState, err error) {
	t.Helper()
	here, there := net.Pipe()
	var done sync.WaitGroup
	var failed error
	done.Go(func() {
		s := tls.Server(there, server)
		failed = s.HandshakeContext(context.Background())
		_ = there.Close()
	})
	c := tls.Client(here, client)
	err = c.HandshakeContext(t.Context())
	if err == nil {
		_, _ = c.Read(make([]byte, 1)) // until the server's end has closed: tickets are on their way
	}
	state = c.ConnectionState()
	_ = here.Close()
	done.Wait()
	if len(state.PeerCertificates) > 0 {
		name = state.PeerCertificates[0].Subject.CommonName
	}
	return name, state, errors.Join(err, failed)
}

func blind() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func expectName(t *testing.T, f *Files, want string) {
	t.Helper()
	if name, _, err := handshake(t, f.TLS(), blind()); err != nil || name != want {
		t.Errorf("the certificate is of %q (%v), want %q", name, err, want)
	}
}

// Files are read again when they change, and a bad pair leaves the old in use.
func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := newFiles(t, "first")
		f, err := NewFiles(cfg.Config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { f.Run(ctx); close(done) }()
		wait := func() { time.Sleep(cfg.Interval + time.Second); synctest.Wait() }
		expectName(t, f, "first")

		cfg.write(t, "second")
		expectName(t, f, "first") // nobody has looked yet
		wait()
		expectName(t, f, "second")

		cert, _ := pair(t, "third", time.Now().Add(time.Hour)) // half a replacement
		put(t, cfg.CertFile, cert)
		wait()
		expectName(t, f, "second")
		wait() // it is said once
		if n := strings.Count(cfg.log.String(), "was not taken"); n != 1 {
			t.Errorf("said %d times:\n%s", n, cfg.log.String())
		}

		put(t, cfg.CertFile, []byte("nonsense"))
		wait()
		if err := os.Remove(cfg.KeyFile); err != nil {
			t.Fatal(err)
		}
		wait()
		wait()
		expectName(t, f, "second")
		cfg.write(t, "fourth")
		wait()
		expectName(t, f, "fourth")
		cancel()
		<-done
		failures := 0
		for _, err := range cfg.told {
			if err != nil {
				failures++
			}
		}
		if len(cfg.told) != 6 || failures != 3 {
			t.Errorf("told of %d looks, %d of them failures: %v", len(cfg.told), failures, cfg.told)
		}
	})
}

func TestReload(t *testing.T) {
	cfg := newFiles(t, "first")
	f, err := NewFiles(cfg.Config)
	if err != nil {
		t.Fatal(err)
	}
	cfg.write(t, "second")
	f.Reload()
	expectName(t, f, "second")
	f.Reload()
	if n := strings.Count(cfg.log.String(), "certificate loaded"); n != 2 {
		t.Errorf("said %d times that it was loaded, want one for each reload:\n%s", n, cfg.log.String())
	}
}

func TestUnfit(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*files)
		want  string
	}{
		{"no certificate", func(f *files) { f.CertFile += ".gone" }, "no such file"},
		{"no key", func(f *files) { f.KeyFile += ".gone" }, "no such file"},
		{"another's key", func(f *files) { _, key := pair(t, "other", time.Now().Add(time.Hour)); put(t, f.KeyFile, key) }, "private key does not match"},
		{"a key that is huge", func(f *files) { put(t, f.KeyFile, make([]byte, maxFile+1)) }, "larger than"},
		{"no authorities", func(f *files) { f.ClientCAFile = f.KeyFile }, "holds no certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newFiles(t, "first")
			tt.spoil(cfg)
			if _, err := NewFiles(cfg.Config); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestExpired(t *testing.T) {
	cfg := newFiles(t, "first")
	cert, key := pair(t, "old", time.Now().Add(-time.Hour))
	put(t, cfg.CertFile, cert)
	put(t, cfg.KeyFile, key)
	if _, err := NewFiles(cfg.Config); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(cfg.log.String(), "has expired") {
		t.Errorf("it is not said: %s", cfg.log.String())
	}
}

// TLS 1.1 and before are not spoken (RFC 8996).
func TestOldVersionsAreRefused(t *testing.T) {
	f, err := NewFiles(newFiles(t, "first").Config)
	if err != nil {
		t.Fatal(err)
	}
	old := blind()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, _, err := handshake(t, f.TLS(), old); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	old.MaxVersion = tls.VersionTLS12
	if _, state, err := handshake(t, f.TLS(), old); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("version %x, %v", state.Version, err)
	}
}

// Clients need a certificate of the authority, also one that was replaced since.
func TestClientCertificates(t *testing.T) {
	cfg := newFiles(t, "server")
	caCert, caKey := pair(t, "ours", time.Now().Add(time.Hour)) // its own authority
	otherCert, otherKey := pair(t, "ours", time.Now().Add(time.Hour))
	cfg.ClientCAFile = filepath.Join(t.TempDir(), "ca.pem")
	put(t, cfg.ClientCAFile, caCert)
	f, err := NewFiles(cfg.Config)
	if err != nil {
		t.Fatal(err)
	}
	with := func(cert, key []byte) *tls.Config {
		c := blind()
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		if cert != nil {
			p, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			// Whatever authorities the server names: an attacker does not care.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &p, nil }
		}
		return c
	}
	right := with(caCert, caKey)
	for range 2 { // the second would be a resumption
		if _, _, err := handshake(t, f.TLS(), right); err != nil {
			t.Errorf("the right certificate: %v", err)
		}
	}
	for name, c := range map[string]*tls.Config{"none": with(nil, nil), "another authority's": with(otherCert, otherKey)} {
		if _, _, err := handshake(t, f.TLS(), c); err == nil {
			t.Errorf("certificate: %s: let in", name)
		}
	}
	put(t, cfg.ClientCAFile, otherCert)
	f.Reload()
	if _, _, err := handshake(t, f.TLS(), right); err == nil {
		t.Error("an authority that was taken away still lets in")
	}
}

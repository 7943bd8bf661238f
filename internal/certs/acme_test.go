package certs

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestACMEIsIncomplete(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "empty.pem"), nil)
	for want, cfg := range map[string]ACMEConfig{
		"required":             {Hosts: []string{"a.example"}},
		"hosts":                {CacheDir: dir},
		"no such file":         {Hosts: []string{"a.example"}, CacheDir: dir, CAFile: filepath.Join(dir, "gone.pem")},
		"holds no certificate": {Hosts: []string{"a.example"}, CacheDir: dir, CAFile: filepath.Join(dir, "empty.pem")},
	} {
		if _, err := NewACME(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error with %q", cfg, err, want)
		}
	}
}

// An authority is asked for the named hosts only, whatever names clients make up;
// one that cannot be reached is told of, and nobody waits for it when all is over.
func TestACMEHosts(t *testing.T) {
	told := make(chan error, 1)
	a, err := NewACME(ACMEConfig{
		Hosts: []string{"a.example"}, CacheDir: t.TempDir(), Directory: "https://127.0.0.1:1/directory", NextProtos: []string{"h2"},
		Loaded: func(_ time.Time, err error) { told <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "b.example", "b.a.example", "127.0.0.1", "../a.example"} {
		_, _, err := handshake(t, a.TLS(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err == nil || strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("for %q the authority is asked: %v", name, err)
		}
	}
	if got := a.TLS(); got.MinVersion != tls.VersionTLS12 || strings.Join(got.NextProtos, " ") != "h2 acme-tls/1" {
		t.Errorf("TLS %x, %v", got.MinVersion, got.NextProtos)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { a.Run(ctx); close(done) }()
	if err := <-told; err == nil {
		t.Error("a certificate of nobody")
	}
	cancel()
	<-done
}

package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/test/acme"
)

// The server gets a certificate from an authority, proves its host to it, keeps it
// across a restart, and gets none for hosts that are not named.
func TestACME(t *testing.T) {
	authority, err := acme.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer authority.Close()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "ca.pem"), authority.PEM())
	config := anonymous + `
tls:
  acme_hosts: [push.example]
  acme_cache_dir: certificates
  acme_email: admin@push.example
  acme_directory: ` + authority.Directory() + `
  acme_ca_file: ca.pem
`
	srv := start(t, dir, config)
	authority.Find(srv.Addr())
	until(t, "the certificate", func() bool { return strings.Contains(srv.Output(), "certificate in use") })
	expectHost(t, srv.Addr(), authority.Root())

	for _, host := range []string{"evil.example", "www.push.example", ""} {
		if c, err := (&tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", srv.Addr()); err == nil {
			t.Errorf("a certificate for %q", host)
			_ = c.Close()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if code, err := srv.Stop(ctx); err != nil || code != 0 {
		t.Fatalf("stop: %d, %v", code, err)
	}
	again := start(t, dir, config)
	until(t, "the certificate", func() bool { return strings.Contains(again.Output(), "certificate in use") })
	expectHost(t, again.Addr(), authority.Root())
	if n, fault := authority.Orders(); n != 1 || fault != nil {
		t.Errorf("%d orders, want one; %v", n, fault)
	}
}

// A certificate near its end is renewed while the server runs, and what is connected
// stays; the new one is kept, too.
func TestACMERenewal(t *testing.T) {
	authority, err := acme.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer authority.Close()
	authority.Ending(24 * time.Hour)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "ca.pem"), authority.PEM())
	config := anonymous + `
tls:
  acme_hosts: [push.example]
  acme_cache_dir: certificates
  acme_directory: ` + authority.Directory() + `
  acme_ca_file: ca.pem
`
	srv := start(t, dir, config)
	pool := x509.NewCertPool()
	pool.AddCert(authority.Root())
	trust := &tls.Config{RootCAs: pool, ServerName: "push.example"}
	dial := func() (*tls.Conn, error) {
		c, err := (&tls.Dialer{Config: trust}).DialContext(t.Context(), "tcp", srv.Addr())
		if err != nil {
			return nil, err
		}
		return c.(*tls.Conn), nil
	}
	authority.Find(srv.Addr())

	var old *tls.Conn
	until(t, "the first certificate", func() bool { old, err = dial(); return err == nil })
	defer func() { _ = old.Close() }()
	until(t, "the renewed certificate", func() bool {
		c, err := dial()
		if err != nil {
			t.Fatalf("while it is renewed: %v", err)
		}
		defer func() { _ = c.Close() }()
		return time.Until(c.ConnectionState().PeerCertificates[0].NotAfter) > 30*24*time.Hour
	})
	if n, fault := authority.Orders(); n != 2 || fault != nil {
		t.Errorf("%d orders, want two; %v", n, fault)
	}
	if _, err := io.WriteString(old, "GET /health HTTP/1.1\r\nHost: push.example\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(old); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("the connection of before: %q, %v", answer, err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if code, err := srv.Stop(ctx); err != nil || code != 0 {
		t.Fatalf("stop: %d, %v", code, err)
	}
	srv = start(t, dir, config)
	until(t, "the certificate", func() bool { return strings.Contains(srv.Output(), "certificate in use") })
	if n, _ := authority.Orders(); n != 2 {
		t.Errorf("%d orders after the restart, want two", n)
	}
}

// expectHost asks over HTTPS as a client does that trusts the authority.
func expectHost(t *testing.T, addr string, root *x509.Certificate) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(root)
	client := browser(t, &tls.Config{RootCAs: pool, ServerName: "push.example"})
	if got := status(t, client, http.MethodGet, "https://"+addr+"/health", ""); got != http.StatusOK {
		t.Errorf("HTTP %d", got)
	}
}

// An authority that cannot be reached leaves the server running, and is told of.
func TestACMEOutage(t *testing.T) {
	srv := start(t, t.TempDir(), anonymous+`
tls:
  acme_hosts: [push.example]
  acme_cache_dir: certificates
  acme_directory: https://127.0.0.1:1/directory
`)
	until(t, "the log", func() bool { return strings.Contains(srv.Output(), "no certificate could be had") })
	if c, err := (&tls.Dialer{Config: &tls.Config{ServerName: "push.example", InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", srv.Addr()); err == nil {
		t.Error("it has a certificate nevertheless")
		_ = c.Close()
	}
}

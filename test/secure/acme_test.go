package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

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

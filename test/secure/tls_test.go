package secure

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const encrypted = anonymous + `
tls:
  cert_file: server.pem
  key_file: server.key
  reload_interval: 1s
`

// shown is the name in the certificate that a new connection is shown.
func shown(t *testing.T, addr string) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

// A certificate that is replaced is shown to whoever comes next; a WebSocket from
// before lives on, and what is not fit for use changes nothing.
func TestCertificateReplaced(t *testing.T) {
	dir := t.TempDir()
	issue(t, "first", nil).write(t, dir, "server")
	srv := start(t, dir, encrypted)
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	c, err := d.DialContext(t.Context(), "tcp", srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	old := newSocket(t, c)
	old.upgrade("")
	old.connect("")
	if got := shown(t, srv.Addr()); got != "first" {
		t.Errorf("shows %s", got)
	}

	issue(t, "second", nil).write(t, dir, "server")
	if err := srv.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "the second certificate", func() bool { return shown(t, srv.Addr()) == "second" })
	old.ping()

	put(t, filepath.Join(dir, "server.pem"), []byte("nonsense"))
	if err := srv.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "the log", func() bool { return strings.Contains(srv.Output(), "was not taken") })
	if got := shown(t, srv.Addr()); got != "second" {
		t.Errorf("with a bad file it shows %s", got)
	}

	issue(t, "third", nil).write(t, dir, "server") // nobody tells the server
	until(t, "the third certificate", func() bool { return shown(t, srv.Addr()) == "third" })
	old.ping()
	a, err := ask(t, browser(t, &tls.Config{InsecureSkipVerify: true}), http.MethodGet, "https://"+srv.Addr()+"/metrics", "", "X-API-Key", apiKey)
	if err != nil || strings.Contains(a.body, "fanfare_tls_reload_failures_total 0\n") || strings.Contains(a.body, "fanfare_tls_certificate_expiry_seconds 0\n") {
		t.Errorf("%v: the metrics know nothing of it", err)
	}
	if strings.Contains(srv.Output(), "PRIVATE KEY") {
		t.Error("the log holds a key")
	}
}

func TestStrictTransport(t *testing.T) {
	dir := t.TempDir()
	ours := issue(t, "ours", nil)
	ours.write(t, dir, "server")
	client := browser(t, ours.trust())
	const name = "Strict-Transport-Security"
	for config, want := range map[string]string{encrypted: "max-age=31536000", encrypted + "  hsts_max_age: 0\n": ""} {
		srv := start(t, t.TempDir(), strings.ReplaceAll(config, "_file: ", "_file: "+dir+"/"))
		for _, path := range []string{"/", "/health", "/api/info", "/nowhere"} {
			a, err := ask(t, client, http.MethodGet, "https://"+srv.Addr()+path, "")
			if err != nil || a.Header.Get(name) != want {
				t.Errorf("%s: %q (%v), want %q", path, a.Header.Get(name), err, want)
			}
		}
	}
	plain := start(t, t.TempDir(), anonymous)
	if a, err := ask(t, client, http.MethodGet, "http://"+plain.Addr()+"/", ""); err != nil || a.Header.Get(name) != "" {
		t.Errorf("without TLS: %q (%v)", a.Header.Get(name), err)
	}
}

// The listener for backends wants a certificate of the authority, and the key
// besides; nothing of what is there is found at the public one.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	ours, others := issue(t, "ours", nil), issue(t, "others", nil)
	issue(t, "server", ours).write(t, dir, "internal")
	ours.write(t, dir, "ca")
	srv := start(t, dir, anonymous+`
internal:
  listen: 127.0.0.1:0
  cert_file: internal.pem
  key_file: internal.key
  client_ca_file: ca.pem
`)
	with := func(client *authority) *http.Client {
		cfg := ours.trust()
		if client != nil {
			cert := tls.Certificate{Certificate: [][]byte{client.cert.Raw}, PrivateKey: client.key}
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		}
		return browser(t, cfg)
	}
	url := "https://" + internal(t, srv) + "/api/info"
	backend := with(issue(t, "backend", ours))
	if got := status(t, backend, http.MethodPost, url, "{}", "X-API-Key", apiKey); got != http.StatusOK {
		t.Errorf("with certificate and key: %d", got)
	}
	if got := status(t, backend, http.MethodPost, url, "{}"); got != http.StatusUnauthorized {
		t.Errorf("with the certificate alone: %d", got)
	}
	for name, client := range map[string]*http.Client{"no certificate": with(nil), "another authority's": with(issue(t, "backend", others)), "one of its own making": with(issue(t, "ours", nil))} {
		for _, path := range []string{"/api/info", "/health", "/", "/connection/websocket"} {
			if a, err := ask(t, client, http.MethodGet, "https://"+internal(t, srv)+path, "", "X-API-Key", apiKey); err == nil {
				t.Errorf("%s: %s answers %d", name, path, a.StatusCode)
			}
		}
	}
	for _, path := range []string{"/api/info", "/metrics", "/admin/channels", "/", "/apps/1/channels"} {
		if got := status(t, backend, http.MethodGet, "http://"+srv.Addr()+path, "", "X-API-Key", apiKey); got != http.StatusNotFound {
			t.Errorf("%s at the public address: %d", path, got)
		}
	}
}

package secure

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
)

const (
	timeout = 20 * time.Second
	apiKey  = "an API key"
)

// bin is the binary under test, built once.
var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("secure")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// start runs a server in dir.
func start(t *testing.T, dir, config string, args ...string) *server.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: dir, Config: config, Args: args, APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if code, err := srv.Stop(ctx); err != nil || code != 0 {
			t.Errorf("stop: %d, %v\n%s", code, err, srv.Output())
		}
	})
	return srv
}

// until waits for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !cond(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// authority is a certificate and its key, which may sign others.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate for loopback addresses; by nil it signs itself.
func issue(t *testing.T, name string, by *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: by == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if by == nil {
		by = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// write puts the certificate into dir as name.pem and name.key.
func (a *authority) write(t *testing.T, dir, name string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	put(t, filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

func put(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// trust is what a client needs to believe a.
func (a *authority) trust() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool}
}

// browser is a client of HTTP with connections of its own.
func browser(t *testing.T, cfg *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: cfg}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: timeout}
}

// answer is what came back.
type answer struct {
	*http.Response

	body string
}

// ask makes a request; header are names and values in turn.
func ask(t *testing.T, client *http.Client, method, url, body string, header ...string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Cookie" && header[i+1] == "" {
			req.Header.Del("Cookie")
		}
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res, string(text)}, err
}

// status is the status of the answer to a request that must have one.
func status(t *testing.T, client *http.Client, method, url, body string, header ...string) int {
	t.Helper()
	a, err := ask(t, client, method, url, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode
}

var internalAddress = regexp.MustCompile(`\binternal_addr=([0-9.]+:[0-9]+)`)

// internal is the address of the server's listener for backends.
func internal(t *testing.T, srv *server.Server) string {
	t.Helper()
	m := internalAddress.FindStringSubmatch(srv.Output())
	if m == nil {
		t.Fatalf("no internal address is told:\n%s", srv.Output())
	}
	return m[1]
}

const anonymous = `
api:
  key: ` + apiKey + `
client:
  allow_anonymous: true
log:
  level: debug
`

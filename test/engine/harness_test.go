package engine

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
)

// patience bounds every wait; no test is decided by it.
const patience = 90 * time.Second

var (
	bin   string // the binary under test
	certs string // directory of cert.pem and key.pem
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fanfare-engine-")
	if err == nil {
		certs = dir
		err = certificate(dir)
	}
	if err == nil {
		bin, err = server.Build(context.Background(), dir)
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// certificate makes cert.pem and key.pem.
func certificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

const apiKey = "secret"

// namespaces that anybody may subscribe to; each says what happens to a slow
// client.
const namespaces = `
api:
  key: ` + apiKey + `
channel:
  namespaces:
    - {name: cut, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}
    - {name: oldest, slow_consumer: drop_oldest, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}
    - {name: latest, slow_consumer: latest, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}
    - {name: keyed, slow_consumer: latest, conflate_key: of, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}
`

// node is a running server.
type node struct {
	t   *testing.T
	srv *server.Server
	api *server.API
	tls bool
}

// modes are the ways to move bytes; each is a piece of configuration.
func modes() map[string]string {
	secure := fmt.Sprintf("tls: {cert_file: %q, key_file: %q}\n", filepath.Join(certs, "cert.pem"), filepath.Join(certs, "key.pem"))
	list := map[string]string{"goroutines": "transport: goroutine\n", "goroutines, TLS": "transport: goroutine\n" + secure}
	if runtime.GOOS == "linux" {
		list["loop"], list["loop, TLS"] = "", secure
	}
	return list
}

// eachMode runs fn against a server of its own in every mode. client are the
// settings below client:, in one line; more are whole lines.
func eachMode(t *testing.T, client, more string, fn func(n *node)) {
	t.Helper()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) { fn(start(t, client, mode+more, nil)) })
	}
}

func start(t *testing.T, client, more string, wrap []string) *node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	srv, err := server.Start(ctx, server.Options{
		Bin: bin, Dir: t.TempDir(), APIKey: apiKey, Wrap: wrap,
		Config: more + "client: {allow_anonymous: true, " + client + "}\n" + namespaces,
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, srv: srv, tls: strings.Contains(more, "cert_file")}
	transport := &http.Transport{TLSClientConfig: trusting()}
	n.api = srv.API(&http.Client{Transport: scheme{n.tls, transport}})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Kill()
		if t.Failed() {
			t.Logf("the server said:\n%s", srv.Output())
		}
	})
	return n
}

// trusting is how clients speak TLS: with the curve that costs least under the race
// detector, as their part of the handshake is not what is tested.
func trusting() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.CurveP256}}
}

// scheme asks over TLS where the server speaks it.
type scheme struct {
	tls bool
	via *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (s scheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.tls {
		r = r.Clone(r.Context())
		r.URL.Scheme = "https"
	}
	return s.via.RoundTrip(r)
}

func (n *node) publish(channel string, data any, tags map[string]string) {
	n.t.Helper()
	request := map[string]any{"channel": channel, "data": data}
	if tags != nil {
		request["tags"] = tags
	}
	if err := n.api.Do(n.t.Context(), "publish", request, nil); err != nil {
		n.t.Fatal(err)
	}
}

// metric reads one number, by its name and labels.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	v, err := n.read(name)
	if err != nil {
		n.t.Fatal(err)
	}
	return v
}

func (n *node) read(name string) (float64, error) {
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, "http://"+n.srv.Addr()+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-API-Key", apiKey)
	res, err := n.api.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// lookAgain is the time between two looks at a number of the server.
const lookAgain = 2 * time.Millisecond

// until looks again and again, each a round trip to the server, until a number is
// what it has to be.
func (n *node) until(name string, ok func(float64) bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		v := n.metric(name)
		if ok(v) {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s is %v and stays so", name, v)
		}
		<-time.After(lookAgain)
	}
}

const sessions = `fanfare_sessions{protocol="centrifuge",transport="websocket"}`

func (n *node) untilSessions(want int) {
	n.t.Helper()
	n.until(sessions, func(v float64) bool { return v == float64(want) })
}

// settled is the lowest that a number was while the garbage collector ran a few
// times: what is left when garbage is gone.
func (n *node) settled(name string) float64 {
	n.t.Helper()
	const collections = 3
	lowest, seen := n.metric(name), 0
	last := n.metric("go_memstats_last_gc_time_seconds")
	n.until("go_memstats_last_gc_time_seconds", func(at float64) bool {
		if at > last {
			last = at
			seen++
		}
		lowest = min(lowest, n.metric(name))
		return seen >= collections
	})
	return lowest
}

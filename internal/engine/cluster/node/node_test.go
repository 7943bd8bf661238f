package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

func start(t *testing.T, cfg Config) *Node {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Cluster = "test"
	n, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// three starts three core nodes; change may change their settings.
func three(t *testing.T, change func(i int, cfg *Config)) []*Node {
	t.Helper()
	ports := freePorts(t, 3)
	var nodes []*Node
	for i, name := range []string{"a", "b", "c"} {
		cfg := Config{Name: name, Listen: ports[i], Secret: "secret", Peers: slices.Delete(slices.Clone(ports), i, i+1)}
		change(i, &cfg)
		nodes = append(nodes, start(t, cfg))
	}
	return nodes
}

// freePorts are addresses on loopback that nobody listens on.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var list []string
	var open []net.Listener
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, l) // so that none is given twice
		list = append(list, l.Addr().String())
	}
	for _, l := range open {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	return list
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it does not come to be that %s", what)
		}
	}
}

func TestAlone(t *testing.T) {
	n := start(t, Config{Name: "a"})
	if s := n.Status(); !s.Ready || !n.Embedded() || n.Addr() != nil {
		t.Errorf("%+v, embedded %t, %v", s, n.Embedded(), n.Addr())
	}
}

func TestThreeFindEachOther(t *testing.T) {
	nodes := three(t, func(int, *Config) {})
	for _, n := range nodes {
		eventually(t, n.cfg.Name+" is ready", func() bool { return n.Status().Ready })
	}
	for _, n := range nodes[1:] {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the one that is left has no quorum", func() bool {
		s := nodes[0].Status()
		return !s.Ready && strings.Contains(s.Reason, "no quorum")
	})
}

// Who does not know the secret is neither a core node nor a client.
func TestSecret(t *testing.T) {
	nodes := three(t, func(i int, cfg *Config) {
		if i == 2 {
			cfg.Secret = "another"
		}
	})
	for _, n := range nodes[:2] {
		eventually(t, n.cfg.Name+" is ready", func() bool { return n.Status().Ready })
	}
	if s := nodes[2].Status(); s.Ready || !strings.Contains(s.Reason, "1 core nodes can be reached") {
		t.Errorf("the stranger: %+v", s)
	}
	url := nodes[0].server.ClientURL()
	for _, secret := range []string{"", "another", "secret"} {
		conn, err := nats.Connect(url, nats.Token(secret), nats.Timeout(patience))
		if (err == nil) != (secret == "secret") {
			t.Errorf("with %q: %v", secret, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
	if host, _, err := net.SplitHostPort(strings.TrimPrefix(url, "nats://")); err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("clients are listened to at %s", url)
	}
}

// certificate is one that signs itself, for loopback.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12,
		RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

// With TLS a node that has no certificate, or no TLS, stays outside.
func TestTLS(t *testing.T) {
	ours := certificate(t)
	nodes := three(t, func(i int, cfg *Config) {
		if cfg.TLS = ours.Clone(); i == 2 {
			cfg.TLS = nil
		}
		cfg.ListenClients = "127.0.0.1:0"
	})
	for _, n := range nodes[:2] {
		eventually(t, n.cfg.Name+" is ready", func() bool { return n.Status().Ready })
	}
	if s := nodes[2].Status(); s.Ready {
		t.Errorf("without TLS: %+v", s)
	}
	url := nodes[0].server.ClientURL()
	if conn, err := nats.Connect(strings.Replace(url, "tls://", "nats://", 1), nats.Token("secret"), nats.RootCAs()); err == nil {
		conn.Close()
		t.Error("a client without a certificate is let in")
	}
	edge, err := Start(Config{Name: "edge", URLs: []string{url}, Token: "secret", ClientTLS: ours.Clone()})
	if err != nil {
		t.Fatal(err)
	}
	if s := edge.Status(); !s.Ready || edge.Embedded() {
		t.Errorf("%+v, embedded %t", s, edge.Embedded())
	}
	if err := edge.Close(); err != nil {
		t.Error(err)
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Config{Name: "a", Dir: dir})
	if _, err := Start(Config{Name: "b", Dir: dir, Cluster: "test"}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("%v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	start(t, Config{Name: "b", Dir: dir})
}

// A node that starts before the servers waits for them, and says so.
func TestServersThatAreNotThereYet(t *testing.T) {
	n := start(t, Config{Name: "a", URLs: []string{"nats://" + freePorts(t, 1)[0]}})
	if s := n.Status(); s.Ready || s.Reason != "not connected to NATS" {
		t.Errorf("%+v", s)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		want string
	}{
		"two nodes":        {Config{Name: "a", Listen: "127.0.0.1:0", Secret: "s", Peers: []string{"x:1"}}, "1, 3 or 5"},
		"no secret":        {Config{Name: "a", Listen: "127.0.0.1:0", Peers: []string{"x:1", "y:1"}}, "secret"},
		"no address":       {Config{Name: "a", Peers: []string{"x:1", "y:1"}}, "address"},
		"half an address":  {Config{Name: "a", Listen: "127.0.0.1", Secret: "s", Peers: []string{"x:1", "y:1"}}, "address for core nodes"},
		"no peer":          {Config{Name: "a", Listen: "127.0.0.1:0", Secret: "s", Size: 3}, "peers"},
		"edge address bad": {Config{Name: "a", Listen: "127.0.0.1:0", Secret: "s", ListenClients: "x", Peers: []string{"x:1", "y:1"}}, "address for edge nodes"},
	} {
		tt.cfg.Dir = filepath.Join(t.TempDir(), "d")
		n, err := Start(tt.cfg)
		if err == nil {
			err = n.Close()
			t.Errorf("%s: started, %v", name, err)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q does not say %q", name, err, tt.want)
		}
	}
}

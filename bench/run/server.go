package main

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
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

const apiKey = "bench"

// serverConfig has a namespace for each kind of history, and one with presence;
// pushbench subscribes to channels as an anonymous client.
const serverConfig = `
log:
  level: warn
api:
  key: ` + apiKey + `
client:
  allow_anonymous: true
channel:
  without_namespace: {allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}
  namespaces:
    - {name: present, presence: true, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}
    - {name: memory, history_size: 100, history_ttl: 1h, history_durability: memory, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}
    - {name: disk, history_size: 100, history_ttl: 1h, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}
`

// subject is a server that is measured.
type subject struct {
	*server.Server
	api    *server.API
	client *http.Client
}

// start runs the server over an empty data directory, on its core with one
// processor of Go's, or on all of them.
func (b *bench) start(ctx context.Context, procs int, secure bool) (*subject, error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return nil, err
	}
	config := serverConfig
	if secure {
		if config, err = withCertificate(dir); err != nil {
			return nil, err
		}
	}
	return b.launch(ctx, dir, procs, secure, config)
}

// startWith is start with other settings, in the clear.
func (b *bench) startWith(ctx context.Context, procs int, config string) (*subject, error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return nil, err
	}
	return b.launch(ctx, dir, procs, false, config)
}

func (b *bench) launch(ctx context.Context, dir string, procs int, secure bool, config string) (*subject, error) {
	opts := server.Options{Bin: b.bin, Dir: dir, Config: config, APIKey: apiKey}
	if b.cpu != nil {
		opts.Wrap = b.pin(serverCore)
		if procs > 1 {
			opts.Wrap = b.pin(b.allCores())
		}
		opts.Env = []string{"GOMAXPROCS=" + strconv.Itoa(procs)}
	}
	srv, err := server.Start(ctx, opts)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: scheme{secure, &http.Transport{
		MaxIdleConnsPerHost: 256,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, // it is made for this run
	}}}
	return &subject{srv, srv.API(client), client}, nil
}

func (s *subject) end() {
	s.client.CloseIdleConnections()
	s.Kill()
}

// scheme asks over TLS where the server speaks it.
type scheme struct {
	tls bool
	*http.Transport
}

// RoundTrip implements http.RoundTripper.
func (s scheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.tls {
		r = r.Clone(r.Context())
		r.URL.Scheme = "https"
	}
	return s.Transport.RoundTrip(r)
}

// withCertificate is serverConfig with a certificate that it makes.
func withCertificate(dir string) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	cert, private := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, private: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%stls: {cert_file: %q, key_file: %q}\n", serverConfig, cert, private), nil
}

// metric reads one number of the server.
func (s *subject) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr()+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-API-Key", apiKey)
	res, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	for line := bufio.NewScanner(res.Body); line.Scan(); {
		if v, ok := strings.CutPrefix(line.Text(), name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("/metrics, HTTP %d, has no %s", res.StatusCode, name)
}

package badinput

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

// A client that sends a byte now and then costs the server a descriptor for a
// while, and not for ever.
const (
	dribble = 100 * time.Millisecond
	// slowest bounds how long any of it may go on: longer than the longest timeout
	// that is waited for here, the 10 s of the header.
	slowest = 60 * time.Second
)

// trickle writes before at once, then the bytes of after one by one, over and over,
// until the server ends the connection; it returns what the server has said.
func trickle(ctx context.Context, addr, before, after string) (string, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(slowest)); err != nil {
		return "", err
	}
	type answer struct {
		said string
		err  error
	}
	end := make(chan answer, 1)
	go func() {
		said, err := io.ReadAll(c)
		if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
			end <- answer{string(said), fmt.Errorf("still open after %s", slowest)}
			return
		}
		end <- answer{string(said), nil} // that the server resets is an end, too
	}()
	_, _ = c.Write([]byte(before)) // fails when the server has ended the connection
	every := time.NewTicker(dribble)
	defer every.Stop()
	for i := 0; ; i++ {
		select {
		case a := <-end:
			return a.said, a.err
		case <-every.C:
			_, _ = c.Write([]byte{after[i%len(after)]})
		}
	}
}

const upgrade = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// text is a client's text frame, masked with zeros (RFC 6455, 5.2).
func text(payload string) string {
	return string([]byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

// endless is the head of a frame of 100,000 bytes.
const endless = "\x81\xff\x00\x00\x00\x00\x00\x01\x86\xa0\x00\x00\x00\x00"

// closing reads the code of the close frame that ends what a WebSocket was told.
func closing(t *testing.T, said string) int {
	t.Helper()
	i := strings.LastIndexByte(said, 0x88)
	if i < 0 || len(said) < i+4 {
		t.Fatalf("no close frame in %q", said)
	}
	return int(said[i+2])<<8 | int(said[i+3])
}

// slow is a client and what it must be told.
type slow struct {
	name, before, after string
	tls                 bool
	status              int // of HTTP; 0: any
	code                int // of the close frame; 0: none
}

func slowClients() []slow {
	post := func(path string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
	}
	health := "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	connect := text(`{"id":1,"connect":{}}`)
	return []slow{
		{name: "a request line", after: "GET / HTTP/1.1"},
		{name: "header fields", before: "GET / HTTP/1.1\r\n", after: "X: y\r\n"},
		{name: "header fields of a handshake", before: strings.TrimSuffix(upgrade, "\r\n"), after: "X: y\r\n"},
		{name: "a second request", before: health, after: "GET /health HTTP/1.1", status: 200},
		{name: "body of a stream", before: post("/connection/http_stream"), after: " ", status: 408},
		{name: "body of a stream that only listens", before: post("/connection/uni_http_stream"), after: " ", status: 408},
		{name: "body of an emulated message", before: post("/emulation"), after: " ", status: 408},
		{name: "connect in a WebSocket", before: upgrade + endless, after: "x", status: 101, code: 3502},
		{name: "empty fragments in a WebSocket", before: upgrade + "\x01\x80\x00\x00\x00\x00", after: "\x00\x80\x00\x00\x00\x00", status: 101, code: 3502},
		{name: "a frame after connect", before: upgrade + connect + endless, after: "x", status: 101, code: 3012},
		{name: "WebSocket pings after connect", before: upgrade + connect, after: "\x89\x80\x00\x00\x00\x00", status: 101, code: 3012},
		// The head of a record that holds a ClientHello of 16 KiB.
		{name: "a TLS handshake", before: "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03", after: "x", tls: true},
	}
}

// All of them wait beside each other, and the server is well afterwards.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	config := strings.Replace(serverConfig, "connect_timeout: 1s", "connect_timeout: 1s\n  ping_interval: 1s\n  pong_timeout: 500ms", 1)
	plain := slowServer(t, t.TempDir(), config)
	dir := t.TempDir()
	certificate(t, dir)
	encrypted := slowServer(t, dir, config+fmt.Sprintf("tls:\n  cert_file: %q\n  key_file: %q\n", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")))
	clients := slowClients()
	said, errs := make([]string, len(clients)), make([]error, len(clients))
	var all sync.WaitGroup
	for i, c := range clients {
		addr := plain.Addr()
		if c.tls {
			addr = encrypted.Addr()
		}
		all.Go(func() { said[i], errs[i] = trickle(t.Context(), addr, c.before, c.after) })
	}
	all.Wait()
	for i, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			if c.status != 0 && !strings.HasPrefix(said[i], fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
				t.Errorf("%.200q, want HTTP %d", said[i], c.status)
			}
			if c.code != 0 && closing(t, said[i]) != c.code {
				t.Errorf("closed with %d, want %d", closing(t, said[i]), c.code)
			}
		})
	}
}

func slowServer(t *testing.T, dir, config string) *server.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: dir, Config: config, APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, srv) })
	return srv
}

// stop ends a server, which must be well.
func stop(t *testing.T, srv *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if code, err := srv.Stop(ctx); err != nil || code != 0 {
		t.Errorf("stop: exit code %d, %v\n%s", code, err, srv.Output())
	}
}

// certificate writes one and its key.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		var b bytes.Buffer
		if err := pem.Encode(&b, block); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), b.String())
	}
}

package badinput

import (
	"bufio"
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
	"net/http"
	"path/filepath"
	"strings"
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
func trickle(t *testing.T, addr, before, after string) string {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(slowest)); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		all, err := io.ReadAll(c)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			all = append(all, "STILL OPEN"...)
		}
		said <- string(all)
	}()
	_, _ = c.Write([]byte(before)) // when it fails the server has ended the connection
	every := time.NewTicker(dribble)
	defer every.Stop()
	for i := 0; ; i++ {
		select {
		case all := <-said:
			if strings.HasSuffix(all, "STILL OPEN") {
				t.Errorf("after %s the connection is still open", slowest)
			}
			return all
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

func TestSlowClients(t *testing.T) {
	config := strings.Replace(serverConfig, "connect_timeout: 1s", "connect_timeout: 1s\n  ping_interval: 1s\n  pong_timeout: 500ms", 1)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: t.TempDir(), Config: config, APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, srv) }) // after what runs in parallel
	post := func(path, contentType string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: " + contentType + "\r\nContent-Length: 100000\r\n\r\n"
	}
	status := func(want string) func(*testing.T, string) {
		return func(t *testing.T, said string) {
			t.Helper()
			if !strings.HasPrefix(said, "HTTP/1.1 "+want) {
				t.Errorf("%.200q, want HTTP %s", said, want)
			}
		}
	}
	code := func(want int) func(*testing.T, string) {
		return func(t *testing.T, said string) {
			t.Helper()
			if got := closing(t, said); got != want {
				t.Errorf("closed with %d, want %d", got, want)
			}
		}
	}
	ended := func(*testing.T, string) {}
	tests := []struct {
		name, before, after string
		check               func(t *testing.T, said string)
	}{
		{"nothing but a connection", "", "\r\n", ended},
		{"a request line", "", "GET / HTTP/1.1", ended},
		{"header fields", "GET / HTTP/1.1\r\n", "X: y\r\n", ended},
		{"header fields of a handshake", strings.TrimSuffix(upgrade, "\r\n"), "X: y\r\n", ended},
		{"body of a stream", post("/connection/http_stream", "application/json"), " ", status("408")},
		{"body of a stream that only listens", post("/connection/uni_http_stream", "application/json"), " ", status("408")},
		{"body of an emulated message", post("/emulation", "application/json"), " ", status("408")},
		{"connect in a WebSocket", upgrade + endless, "x", code(3502)},
		{"empty fragments in a WebSocket", upgrade + "\x01\x80\x00\x00\x00\x00", "\x00\x80\x00\x00\x00\x00", code(3502)},
		{"a frame after connect", upgrade + text(`{"id":1,"connect":{}}`) + endless, "x", code(3012)},
		{"WebSocket pings after connect", upgrade + text(`{"id":1,"connect":{}}`), "\x89\x80\x00\x00\x00\x00", code(3012)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { // they wait beside each other
			t.Parallel()
			tt.check(t, trickle(t, srv.Addr(), tt.before, tt.after))
		})
	}
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

// A TLS handshake has to come to its end, too.
func TestSlowTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	srv, err := server.Start(ctx, server.Options{
		Bin: bin, Dir: dir, APIKey: apiKey,
		Config: serverConfig + fmt.Sprintf("tls:\n  cert_file: %q\n  key_file: %q\n", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, srv)
	// The head of a record that holds a ClientHello of 16 KiB.
	trickle(t, srv.Addr(), "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03", "x")
}

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

// A connection that has been answered is kept for a next request, and closed when
// none comes whole.
func TestSlowSecondRequest(t *testing.T) {
	t.Parallel()
	f := limited(t, "")
	first := "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	said := trickle(t, f.srv.Addr(), first, "GET /health HTTP/1.1")
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(said)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("HTTP %d", res.StatusCode)
	}
}

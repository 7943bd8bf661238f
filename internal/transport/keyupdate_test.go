package transport

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// crypto/tls never asks for new keys, so that the client of this test speaks TLS
// 1.3 itself after the handshake, with the secrets that a key log tells.

// halfTLS is one direction of a TLS 1.3 connection (RFC 8446, 5.2, 7.3).
type halfTLS struct {
	hash   crypto.Hash
	keyLen int
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func newHalfTLS(suite uint16, secret []byte) (*halfTLS, error) {
	h := &halfTLS{secret: secret}
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
		h.hash, h.keyLen = crypto.SHA256, 16
	case tls.TLS_AES_256_GCM_SHA384:
		h.hash, h.keyLen = crypto.SHA384, 32
	default:
		return nil, fmt.Errorf("suite %#x", suite)
	}
	err := h.derive()
	return h, err
}

// expand is HKDF-Expand-Label without a context (RFC 8446, 7.1).
func (h *halfTLS) expand(label string, n int) ([]byte, error) {
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	return hkdf.Expand(h.hash.New, h.secret, string(append(info, 0)), n)
}

func (h *halfTLS) derive() error {
	key, err := h.expand("key", h.keyLen)
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	if h.aead, err = cipher.NewGCM(block); err != nil {
		return err
	}
	h.iv, err = h.expand("iv", 12)
	h.seq = 0
	return err
}

// update goes over to the next keys (RFC 8446, 7.2).
func (h *halfTLS) update() (err error) {
	if h.secret, err = h.expand("traffic upd", h.hash.Size()); err != nil {
		return err
	}
	return h.derive()
}

func (h *halfTLS) nonce() []byte {
	n := bytes.Clone(h.iv)
	last := n[len(n)-8:]
	binary.BigEndian.PutUint64(last, binary.BigEndian.Uint64(last)^h.seq)
	h.seq++
	return n
}

// The content types and messages of RFC 8446 that the test needs.
const (
	recordHandshake   = 22
	recordApplication = 23
	messageKeyUpdate  = 24
)

// seal makes one record.
func (h *halfTLS) seal(kind byte, text []byte) []byte {
	head := []byte{recordApplication, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(head[3:], uint16(len(text)+1+h.aead.Overhead()))
	return h.aead.Seal(head, h.nonce(), append(bytes.Clone(text), kind), head[:5:5])
}

// open reads one record.
func (h *halfTLS) open(r io.Reader) (kind byte, text []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	text, err = h.aead.Open(nil, h.nonce(), body, head)
	if err != nil {
		return 0, nil, err
	}
	text = bytes.TrimRight(text, "\x00")
	if len(text) == 0 {
		return 0, nil, errors.New("a record without a kind")
	}
	return text[len(text)-1], text[:len(text)-1], nil
}

// secretOf finds a secret in a key log.
func secretOf(t *testing.T, log, label string) []byte {
	t.Helper()
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == label {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
	}
	t.Fatalf("no %s in the key log", label)
	return nil
}

// bare does a handshake and leaves TLS to its caller.
func (f *fixture) bare(t *testing.T) (c net.Conn, server net.Conn, in, out *halfTLS) {
	t.Helper()
	var log strings.Builder
	f.client.KeyLogWriter = &log
	f.client.MinVersion = tls.VersionTLS13
	client, server := f.pair(t)
	conn := client.(*tls.Conn)
	suite := conn.ConnectionState().CipherSuite
	in, err := newHalfTLS(suite, secretOf(t, log.String(), "SERVER_TRAFFIC_SECRET_0"))
	if err != nil {
		t.Fatal(err)
	}
	out, err = newHalfTLS(suite, secretOf(t, log.String(), "CLIENT_TRAFFIC_SECRET_0"))
	if err != nil {
		t.Fatal(err)
	}
	return conn.NetConn(), server, in, out
}

// A peer may change its keys at any time and ask for others of ours (RFC 8446,
// 4.6.3): the answer is a write that crypto/tls makes while it reads.
func TestTLSKeyUpdate(t *testing.T) {
	secure(t, func(f *fixture) {
		t := f.t
		c, server, in, out := f.bare(t)
		rec := &recorder{onData: func(s Stream, p []byte) { _, _ = s.Write(p) }}
		f.adopt(t, server, nil, rec)
		for i := range 3 {
			const requested = 1
			write(t, c, string(out.seal(recordHandshake, []byte{messageKeyUpdate, 0, 0, 1, requested})))
			if err := out.update(); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("under keys %d", i)
			write(t, c, string(out.seal(recordApplication, []byte(want))))
			kind, text, err := in.open(c)
			if err != nil || kind != recordHandshake || !bytes.Equal(text, []byte{messageKeyUpdate, 0, 0, 1, 0}) {
				t.Fatalf("kind %d, %x, %v, want new keys of the server's", kind, text, err)
			}
			if err := in.update(); err != nil {
				t.Fatal(err)
			}
			kind, text, err = in.open(c)
			if err != nil || kind != recordApplication || string(text) != want {
				t.Fatalf("kind %d, %q, %v, want %q", kind, text, err, want)
			}
		}
	})
}

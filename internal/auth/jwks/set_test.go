package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func jwk(t *testing.T, key any, id, alg, use string) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: id, Algorithm: alg, Use: use})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func newKey(t *testing.T) ed25519.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestParse(t *testing.T) {
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := newKey(t)
	good := jwk(t, ed, "good", "", "")
	tests := []struct {
		name, body string
		want       string // algorithms, by key
		err        error
	}{
		{"Ed25519", set(good), "[EdDSA]", nil},
		{"RSA", set(jwk(t, &long.PublicKey, "r", "", "sig")), "[RS256 RS384 RS512 PS256 PS384 PS512]", nil},
		{"RSA for one algorithm", set(jwk(t, &long.PublicKey, "r", "PS384", "")), "[PS384]", nil},
		{"a curve", set(jwk(t, &curve.PublicKey, "c", "", "")), "[ES384]", nil},
		{"a curve for another's algorithm", set(jwk(t, &curve.PublicKey, "c", "ES256", "")), "", ErrNoKeys},
		{"RSA named a secret", set(jwk(t, &long.PublicKey, "r", "HS256", "")), "", ErrNoKeys},
		{"named none", set(jwk(t, ed, "r", "none", "")), "", ErrNoKeys},
		{"a secret", set(jwk(t, []byte(strings.Repeat("s", 64)), "s", "HS256", "")), "", ErrNoKeys},
		{"a secret beside", set(jwk(t, []byte(strings.Repeat("s", 64)), "s", "", ""), good), "[EdDSA]", nil},
		{"a private key", set(jwk(t, curve, "c", "", "")), "", ErrNoKeys},
		{"for encryption", set(jwk(t, &curve.PublicKey, "c", "", "enc")), "", ErrNoKeys},
		{"for signing only", set(strings.Replace(good, "{", `{"key_ops":["sign"],`, 1)), "", ErrNoKeys},
		{"for verifying", set(strings.Replace(good, "{", `{"key_ops":["verify"],`, 1)), "[EdDSA]", nil},
		{"a short modulus", set(`{"kty":"RSA","kid":"x","e":"AQAB","n":"` + strings.Repeat("q", 171) + `"}`), "", ErrNoKeys},
		{"a point off the curve", set(`{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 42) + `E","y":"` + strings.Repeat("A", 42) + `E"}`), "", ErrNoKeys},
		{"kinds to come", set(`{"kty":"QUANTUM","q":1}`, `{}`, `7`, good), "[EdDSA]", nil},
		{"a long kid", set(jwk(t, ed, strings.Repeat("k", MaxID+1), "", "")), "", ErrNoKeys},
		{"no keys", `{}`, "", ErrNoKeys},
		{"too many", set(strings.Split(strings.Repeat(good+"|", MaxKeys)+good, "|")...), "", ErrTooLarge},
		{"too long", `{"keys":[],"x":"` + strings.Repeat("x", MaxBody) + `"}`, "", ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := Parse(strings.NewReader(tt.body))
			got := ""
			for i := range keys {
				got += fmt.Sprint(keys[i].Algorithms())
			}
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
	for _, body := range []string{"", "[]", "keys", `{"keys":{}}`, strings.Repeat("[", 100_000)} {
		if keys, err := Parse(strings.NewReader(body)); err == nil {
			t.Errorf("%.20q: %v", body, keys)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	f.Add(`{"keys":[{"kty":"RSA","e":"AQAB","n":"AA"}]}`)
	f.Add(`{"keys":[{"kty":"oct","k":"AA"}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		keys, err := Parse(strings.NewReader(body))
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for i := range keys {
			for _, alg := range keys[i].Algorithms() {
				if strings.HasPrefix(alg, "HS") || alg == "none" {
					t.Errorf("%s from a key set", alg)
				}
			}
		}
	})
}

// What a server of keys may do, over a real connection.
func TestServers(t *testing.T) {
	good := set(jwk(t, newKey(t), "a", "", ""))
	release := make(chan struct{})
	tests := []struct {
		name    string
		trusted string
		answer  http.HandlerFunc
		want    error
	}{
		{"good", "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good) }, nil},
		{"huge", "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
			for range MaxBody/1024 + 64 {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1024)); err != nil {
					return
				}
			}
		}, ErrTooLarge},
		{"slow", "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, good[:10])
			_ = http.NewResponseController(w).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}, context.DeadlineExceeded},
		{"redirecting", "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		}, ErrStatus},
		{"failing", "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, ErrStatus},
		{"inflating", "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "" {
				t.Error("asks for compression")
			}
			_, _ = io.WriteString(w, good)
		}, nil},
		{"inside", "", func(http.ResponseWriter, *http.Request) { t.Error("reached") }, egress.ErrScheme},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.answer)
			defer server.Close()
			client := egress.New(egress.Config{Trusted: []string{tt.trusted}, Timeout: time.Second})
			defer client.CloseIdleConnections()
			s := New(Config{URL: server.URL, Client: client, Log: slog.New(slog.DiscardHandler)})
			if err := s.Refresh(t.Context()); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	close(release)
}

// provider is a server of keys without a network, so that time can be faked.
type provider struct {
	body  atomic.Pointer[string]
	calls atomic.Int32
}

func (p *provider) RoundTrip(*http.Request) (*http.Response, error) {
	p.calls.Add(1)
	body := p.body.Load()
	if body == nil {
		return nil, errors.New("out of order")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(*body))}, nil
}

func (p *provider) serve(body string) { p.body.Store(&body) }

// running keeps a set until the test ends.
func running(t *testing.T, p *provider) *Set {
	t.Helper()
	s := idle(p)
	s.start(t)
	return s
}

// idle has not begun to fetch.
func idle(p *provider) *Set {
	return New(Config{URL: "https://example.org/", Client: &http.Client{Transport: p}, Refresh: time.Hour, Log: slog.New(slog.DiscardHandler)})
}

func (s *Set) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (s *Set) expect(t *testing.T, id string, keys int, want error) {
	t.Helper()
	found, err := s.Find(id, "EdDSA")
	if len(found) != keys || !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Errorf("%q: %d keys, %v; want %d, %v", id, len(found), err, keys, want)
	}
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := jwk(t, newKey(t), "first", "", ""), jwk(t, newKey(t), "second", "", "")
		p := &provider{}
		p.serve(set(first))
		s := idle(p)
		s.expect(t, "first", 0, channel.ErrTokenKeys)
		s.start(t)
		synctest.Wait()
		s.expect(t, "first", 1, nil)
		s.expect(t, "", 1, nil)

		p.serve(set(first, second))
		s.expect(t, "second", 0, channel.ErrTokenKeys)
		pass(MinInterval - time.Second)
		s.expect(t, "second", 0, channel.ErrTokenKeys)
		pass(time.Second)
		s.expect(t, "second", 1, nil)

		p.serve(set(second))
		pass(time.Hour)
		pass(MinInterval)
		s.expect(t, "first", 0, channel.ErrTokenKeys)
		s.expect(t, "second", 1, nil)
		pass(0)
		s.expect(t, "first", 0, nil) // it was asked for, and is not there
	})
}

// Tokens that name keys which do not exist cost one fetch in MinInterval.
func TestUnknownKeysDoNotFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		p.serve(set(jwk(t, newKey(t), "a", "", "")))
		s := running(t, p)
		synctest.Wait()
		for i := range 100_000 {
			if _, err := s.Find(fmt.Sprint("stranger", i), "EdDSA"); !errors.Is(err, channel.ErrTokenKeys) {
				t.Fatal(err)
			}
			if i%1000 == 0 {
				pass(time.Second)
			}
		}
		if calls := p.calls.Load(); calls > 11 {
			t.Errorf("%d fetches in 100 s", calls)
		}
		if len(s.asked) > maxAsked {
			t.Errorf("%d ids are kept", len(s.asked))
		}
		s.expect(t, strings.Repeat("k", MaxID+1), 0, nil)
		s.expect(t, "a", 1, nil)
	})
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		s := running(t, p)
		pass(10 * time.Minute)
		if calls := p.calls.Load(); calls < 10 || calls > 20 {
			t.Errorf("%d fetches in ten minutes", calls)
		}
		s.expect(t, "a", 0, channel.ErrTokenKeys)
		p.serve(set(jwk(t, newKey(t), "a", "", "")))
		pass(maxBackoff)
		s.expect(t, "a", 1, nil)

		p.body.Store(nil)
		pass(MaxStale - time.Hour)
		s.expect(t, "a", 1, nil)
		pass(2 * time.Hour)
		s.expect(t, "a", 0, channel.ErrTokenKeys)
	})
}

func TestTokenThatNamesNoKey(t *testing.T) {
	var keys []string
	for i := range maxUnnamed + 1 {
		keys = append(keys, jwk(t, newKey(t), fmt.Sprint(i), "", ""))
	}
	p := &provider{}
	s := New(Config{URL: "https://example.org/", Client: &http.Client{Transport: p}, Log: slog.New(slog.DiscardHandler)})
	for n, want := range map[int]int{maxUnnamed: maxUnnamed, maxUnnamed + 1: 0} {
		p.serve(set(keys[:n]...))
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.expect(t, "", want, nil)
		s.expect(t, "0", 1, nil)
	}
}

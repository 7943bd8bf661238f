package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/test/wire"
)

// connectors is how many connect at a time.
const connectors = 16

// newcomer is a way of saying who a client is.
type newcomer struct {
	name    string
	config  string
	connect string // the connect command
}

// identities measures what a connect costs by how the server finds out who it is,
// with this program as the load, and as the backend of the hook.
func (b *bench) identities(ctx context.Context) (string, error) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"result":{"user":"ann"}}`)
	}))
	defer backend.Close()
	kinds, err := b.newcomers(backend.URL)
	if err != nil {
		return "", err
	}
	m, err := b.repeat(ctx, "connects", func(ctx context.Context) (numbers, error) { return b.identityRun(ctx, kinds) })
	if err != nil {
		return "", err
	}
	t := &table{head: []string{"who it is", "connects per CPU-second of the server", "CPU of one", "against anonymous"}}
	for _, k := range kinds {
		t.add(k.name, human(1/m[k.name]), fmt.Sprintf("%.0f µs", m[k.name]*1e6), fmt.Sprintf("%.2f", 1/m[k.name+"/ratio"]))
	}
	return fmt.Sprintf("\n## Connects by identity\n\nWebSocket handshake, connect, reply, and the loss of the connection, %d at a time; each kind has a server of its\n"+
		"own, and they take turns of %s. The hook asks over plain HTTP, unsigned, and the backend answers at once. Tokens have `sub` and `exp`.\n\n%s",
		connectors, b.dur/turnsOfARun, t), nil
}

// newcomers makes keys and tokens.
func (b *bench) newcomers(backend string) ([]newcomer, error) {
	const secret = "6f1d7cbe4a5f1e0f9b2c3d4e5f60718293a4b5c6" // of this run alone
	token := auth.Token{User: "ann", ExpireAt: time.Now().Add(24 * time.Hour)}
	shared, err := auth.Mint(secret, token)
	if err != nil {
		return nil, err
	}
	es, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	named := func(token string) string { return fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, token) }
	kinds := []newcomer{
		{"anonymous", "client: {allow_anonymous: true}\n", connectJSON},
		{"JWT, HS256", "app: {secret: " + secret + "}\n", named(shared)},
	}
	for _, k := range []struct {
		alg string
		key crypto.Signer
	}{{"ES256", es}, {"RS256", rs}} {
		file, signed, err := b.keyPair(k.alg, k.key, token)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, newcomer{"JWT, " + k.alg, fmt.Sprintf("tokens: {public_keys: [%q]}\n", file), named(signed)})
	}
	return append(kinds, newcomer{"connect hook", fmt.Sprintf("hooks: {connect_url: %q, trusted_hosts: [127.0.0.1]}\n", backend), connectJSON}), nil
}

// keyPair writes the public key to a file and signs a token with the private one.
func (b *bench) keyPair(alg string, key crypto.Signer, token auth.Token) (file, signed string, err error) {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", "", err
	}
	signer, err := auth.NewSigner("", alg, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	if err != nil {
		return "", "", err
	}
	if signed, err = signer.Mint(token); err != nil {
		return "", "", err
	}
	file = filepath.Join(b.dir, alg+".pem")
	return file, signed, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600)
}

func (b *bench) identityRun(ctx context.Context, kinds []newcomer) (numbers, error) {
	var list []contender
	var end ends
	defer end.run()
	for _, k := range kinds {
		srv, err := b.startWith(ctx, 1, "log: {level: warn}\n"+k.config)
		if err != nil {
			return nil, err
		}
		end.add(srv.end)
		list = append(list, contender{k.name, srv.PID(), func(ctx context.Context, d time.Duration) (int64, error) {
			return connectFor(ctx, srv.WebSocketURL(), k.connect, d)
		}})
	}
	return takeTurns(ctx, list, b.dur)
}

// connectFor connects and drops the connection again and again until d is over.
func connectFor(ctx context.Context, url, command string, d time.Duration) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := time.Now().Add(d)
	var n atomic.Int64
	var wg sync.WaitGroup
	for range connectors {
		wg.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				if err := connectOnce(ctx, url, command); err != nil {
					cancel(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return n.Load(), context.Cause(ctx)
}

func connectOnce(ctx context.Context, url, command string) error {
	c, err := wire.Dial(ctx, url, nil)
	if err != nil {
		return err
	}
	defer c.Drop()
	if err := c.Send(ctx, command); err != nil {
		return err
	}
	m, err := c.Reply(ctx, 1)
	if err == nil && m.Connect == nil {
		err = errors.New("connect: " + string(m.Raw))
	}
	return err
}

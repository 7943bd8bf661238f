package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/auth/jwks"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/egress"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// maxKeyFile bounds a file with a key, in bytes.
const maxKeyFile = 64 << 10

// NewVerifier makes what judges tokens of the default App by the settings. keys is
// nil without tokens.jwks_url; otherwise it is empty until its Refresh or Run.
func NewVerifier(cfg *config.Config, log *slog.Logger) (v *auth.Verifier, keys *jwks.Set, err error) {
	a, keys, err := verifierConfig(cfg, log)
	if err != nil {
		return nil, nil, err
	}
	fixed, err := fixedKeys(cfg.App.Keys, "app.keys")
	if err != nil {
		return nil, nil, err
	}
	a.Keys = append(a.Keys, signingKeys(&tenant.App{Keys: fixed}, "")...)
	return auth.New(a), keys, nil
}

// verifierConfig is what the settings say of tokens, but for the keys of Apps.
func verifierConfig(cfg *config.Config, log *slog.Logger) (a auth.Config, keys *jwks.Set, err error) {
	c := &cfg.Tokens
	static, err := tokenKeys(cfg)
	if err != nil {
		return a, nil, err
	}
	a = auth.Config{
		Secret: string(cfg.App.Secret), Keys: static, App: channel.DefaultApp,
		Audience: c.Audience, Issuer: c.Issuer, UserClaim: c.UserClaim, Leeway: c.Leeway,
	}
	if c.JWKSURL != "" {
		keys = jwks.New(jwks.Config{
			URL: c.JWKSURL, Refresh: c.JWKSRefresh, Log: log,
			Client: egress.New(egress.Config{Trusted: c.JWKSTrustedHosts, Timeout: c.JWKSTimeout}),
		})
		a.Source = keys
	}
	return a, keys, nil
}

// tokenKeys reads the keys beside app.secret.
func tokenKeys(cfg *config.Config) (keys []auth.Key, err error) {
	if previous := cfg.Tokens.PreviousSecret; previous != "" {
		keys = append(keys, auth.AppSecret("tokens.previous_secret", []byte(previous)))
	}
	for _, entry := range cfg.Tokens.SecretFiles {
		id, file := keyFile(entry)
		text, err := readKey(file)
		if err != nil {
			return nil, fmt.Errorf("tokens.secret_files: %w", err)
		}
		k, err := auth.SecretKey(id, "secret file "+file, []byte(strings.TrimRight(string(text), "\r\n")))
		if err != nil {
			return nil, fmt.Errorf("tokens.secret_files: %s: %w", file, err)
		}
		keys = append(keys, k)
	}
	for _, entry := range cfg.Tokens.PublicKeys {
		id, file := keyFile(entry)
		text, err := readKey(file)
		if err != nil {
			return nil, fmt.Errorf("tokens.public_keys: %w", err)
		}
		public, err := auth.ParsePublicPEM(text)
		if err != nil {
			return nil, fmt.Errorf("tokens.public_keys: %s: %w", file, err)
		}
		k, err := auth.PublicKey(id, "public key "+file, public)
		if err != nil {
			return nil, fmt.Errorf("tokens.public_keys: %s: %w", file, err)
		}
		keys = append(keys, k)
	}
	if len(keys) > auth.MaxKeys {
		return nil, fmt.Errorf("tokens: %d keys, at most %d are allowed", len(keys), auth.MaxKeys)
	}
	return keys, nil
}

// keyFile splits kid=path; a path alone may have = in what follows a slash.
func keyFile(entry string) (id, file string) {
	id, file, named := strings.Cut(entry, "=")
	if !named || strings.ContainsAny(id, `/\`) {
		return "", entry
	}
	return id, file
}

func readKey(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(text) > maxKeyFile {
		err = errors.New(file + " is too large for a key")
	}
	return text, err
}

// fetchKeys keeps the keys of tokens fresh until ctx ends; stopped is closed then.
func (a *App) fetchKeys(ctx context.Context) (stopped <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if a.keys != nil {
			a.keys.Run(ctx)
		}
	}()
	return done
}

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/config"
)

func tokenCommand() *cobra.Command {
	cmd := mintCommand("token")
	cmd.Short = "Make, check and explain tokens of clients"
	cmd.AddCommand(mintCommand("mint"), tokenCheckCommand(), tokenExplainCommand())
	return cmd
}

// minting is what the flags say of a new token.
type minting struct {
	settings
	user, channel, info, caps string
	allow                     []string
	expire                    time.Duration
	key, keyID, alg           string
}

func mintCommand(name string) *cobra.Command {
	m := &minting{}
	cmd := &cobra.Command{
		Use:   name,
		Short: "Make a token for a client",
		Long: `Make a token and print it: a connection token, or with --channel a subscription
token for that channel. It is signed with app.secret, from the file of --config or
from FANFARE_APP_SECRET; with --dev, with the secret of dev mode; with --key, with a
private key in PEM.`,
		Example: `  fanfare token --config fanfare.yaml --user 42
  fanfare token --config fanfare.yaml --user 42 --channel '$chat:room42' --expire 1h
  fanfare token --config fanfare.yaml --user 42 --caps '[{"channels":["chat:*"],"match":"wildcard","allow":["sub","pub"]}]'
  fanfare token --key private.pem --key-id 2026 --user 42
  fanfare token --dev --user ann --info '{"name":"Ann"}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := m.load()
			if err != nil {
				return err
			}
			token, err := m.mint(cfg)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	m.addFile(cmd)
	f := cmd.Flags()
	f.Bool("dev", false, "sign with the secret of dev mode")
	f.StringVarP(&m.user, "user", "u", "", "id of the user; empty: anonymous")
	f.StringVar(&m.channel, "channel", "", "make a subscription token for this channel")
	f.StringVar(&m.info, "info", "", "JSON that others are shown of the user")
	f.StringVar(&m.caps, "caps", "", "grants of a connection token, JSON; see docs/tokens.md")
	f.StringSliceVar(&m.allow, "allow", nil, "what a subscription token allows beside: pub, prs, hst")
	f.DurationVar(&m.expire, "expire", 24*time.Hour, "how long it is valid; 0: for ever")
	f.StringVar(&m.key, "key", "", "file with a private key in PEM to sign with")
	f.StringVar(&m.keyID, "key-id", "", "kid of the token; with --key")
	f.StringVar(&m.alg, "alg", "", "algorithm, such as PS256; with --key; empty: the first of its kind")
	return cmd
}

func (m *minting) mint(cfg config.Config) (string, error) {
	t := auth.Token{User: m.user, Channel: m.channel, Info: []byte(m.info)}
	var err error
	switch {
	case m.caps != "" && m.channel != "":
		return "", errors.New("--caps is for connection tokens; with --channel there is --allow")
	case len(m.allow) > 0 && m.channel == "":
		return "", errors.New("--allow is for subscription tokens, and needs --channel; without there is --caps")
	case m.caps != "":
		t.Grants, err = auth.ParseCaps([]byte(m.caps))
	default:
		t.Ops, err = auth.ParseOps(m.allow)
	}
	if err != nil {
		return "", err
	}
	if m.key == "" && (m.keyID != "" || m.alg != "") {
		return "", errors.New("--key-id and --alg need --key")
	}
	if m.key == "" {
		return mint(cfg, t, m.expire)
	}
	text, err := os.ReadFile(m.key)
	if err != nil {
		return "", err
	}
	signer, err := auth.NewSigner(m.keyID, m.alg, text)
	if err != nil {
		return "", fmt.Errorf("--key: %w", err)
	}
	if err := complete(cfg, &t, m.expire); err != nil {
		return "", err
	}
	return signer.Mint(t)
}

// mint signs a token with app.secret that is valid from now on for expire; 0: for
// ever.
func mint(cfg config.Config, t auth.Token, expire time.Duration) (string, error) {
	if err := complete(cfg, &t, expire); err != nil {
		return "", err
	}
	token, err := auth.Mint(string(cfg.App.Secret), t)
	if errors.Is(err, auth.ErrNoSecret) {
		return "", fmt.Errorf("%w: set app.secret in the file of --config, or FANFARE_APP_SECRET", err)
	}
	return token, err
}

// complete gives a token what the settings ask of every token.
func complete(cfg config.Config, t *auth.Token, expire time.Duration) error {
	if expire < 0 {
		return errors.New("--expire must not be negative")
	}
	if claim := cfg.Tokens.UserClaim; claim != "" && claim != "sub" {
		return errors.New("tokens.user_claim is " + claim + ", and this command writes sub: let your identity provider make the token")
	}
	t.Audience, t.Issuer = cfg.Tokens.Audience, cfg.Tokens.Issuer
	t.IssuedAt = time.Now()
	if expire > 0 {
		t.ExpireAt = t.IssuedAt.Add(expire)
	}
	return nil
}

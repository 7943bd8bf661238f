package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/config"
)

func tokenCommand() *cobra.Command {
	s := &settings{}
	var user, channel, info string
	var expire time.Duration
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token for a client",
		Long: `Make a token and print it: a connection token, or with --channel a subscription
token for that channel. It is signed with app.secret, from the file of --config or
from FANFARE_APP_SECRET; with --dev, with the secret of dev mode.`,
		Example: `  fanfare token --config fanfare.yaml --user 42
  fanfare token --config fanfare.yaml --user 42 --channel '$chat:room42' --expire 1h
  fanfare token --dev --user ann --info '{"name":"Ann"}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			token, err := mint(cfg, auth.Token{User: user, Channel: channel, Info: []byte(info)}, expire)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	s.addFile(cmd)
	cmd.Flags().Bool("dev", false, "sign with the secret of dev mode")
	cmd.Flags().StringVarP(&user, "user", "u", "", "id of the user; empty: anonymous")
	cmd.Flags().StringVar(&channel, "channel", "", "make a subscription token for this channel")
	cmd.Flags().StringVar(&info, "info", "", "JSON that others are shown of the user")
	cmd.Flags().DurationVar(&expire, "expire", 24*time.Hour, "how long it is valid; 0: for ever")
	return cmd
}

// mint signs a token that is valid from now on for expire; 0: for ever.
func mint(cfg config.Config, t auth.Token, expire time.Duration) (string, error) {
	if expire < 0 {
		return "", errors.New("--expire must not be negative")
	}
	t.IssuedAt = time.Now()
	if expire > 0 {
		t.ExpireAt = t.IssuedAt.Add(expire)
	}
	token, err := auth.Mint(string(cfg.App.Secret), t)
	if errors.Is(err, auth.ErrNoSecret) {
		return "", fmt.Errorf("%w: set app.secret in the file of --config, or FANFARE_APP_SECRET", err)
	}
	return token, err
}

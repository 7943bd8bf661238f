package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/client"
	"github.com/fanfare-push/fanfare/internal/config"
)

// target is the server that publish and subscribe talk to.
type target struct {
	settings
	server string
}

func (t *target) add(cmd *cobra.Command) {
	t.addFile(cmd)
	cmd.Flags().StringVarP(&t.server, "server", "s", os.Getenv(config.EnvServer),
		"address of the server: host:port or a URL (environment: "+config.EnvServer+"; default: listen of the settings)")
}

// resolve gives the settings, and the server's address: what was asked for, or
// what the settings say that it listens on.
func (t *target) resolve() (config.Config, string, error) {
	cfg, err := t.load()
	if err != nil {
		return cfg, "", err
	}
	if t.server != "" {
		return cfg, t.server, nil
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return cfg, "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens everywhere
	}
	return cfg, net.JoinHostPort(host, port), nil
}

// apiKey is the one that was given, or that of the settings, or of dev mode.
func apiKey(given string, cfg *config.Config) string {
	return cmp.Or(given, string(cfg.API.Key), "dev")
}

// explain says what to do about an error of the server at addr, or of its absence.
// credentials are the flags that give them.
func explain(err error, addr, credentials string) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no server at %s: start one with fanfare serve --dev, or name it with --server (%w)", addr, err)
	case client.CodeOf(err) == client.CodeUnauthorized:
		return fmt.Errorf("%w: give %s", err, credentials)
	}
	return err
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/bench/transports"
	"github.com/fanfare-push/fanfare/internal/app"
	"github.com/fanfare-push/fanfare/internal/config"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a server",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(benchTransportsCommand())
	return cmd
}

// comparison is one run of bench transports.
type comparison struct {
	target
	transports.Config
	json bool
}

func benchTransportsCommand() *cobra.Command {
	c := &comparison{}
	cmd := &cobra.Command{
		Use:   "transports",
		Short: "Compare WebSocket, Server-Sent Events, long poll and short poll",
		Long: `Publish messages and receive each of them over four transports at once: WebSocket,
Server-Sent Events, long poll and short poll. Prints for each how late messages
came, how many requests that took, and how many bytes.

Without --server and --config a server of its own is started for as long as it
takes, on this machine and in this process. The page /compare of a server shows the same as a
browser sees it.`,
		Example: `  fanfare bench transports
  fanfare bench transports --rate 1 --every 5s --messages 60
  fanfare bench transports --server https://push.example.org --api-key … --token …`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&c.APIKey, "api-key", "k", "", "X-API-Key to publish with (default: api.key of the settings, or that of dev mode)")
	f.StringVar(&c.Token, "token", os.Getenv(config.EnvToken), "connection token to receive with (environment: "+config.EnvToken+")")
	f.StringVar(&c.Channel, "channel", "bench-"+strings.ToLower(rand.Text()[:8]), "channel to use; without history, polls miss what comes between them")
	f.IntVarP(&c.Messages, "messages", "n", transports.DefaultMessages, "how many messages")
	f.Float64Var(&c.Rate, "rate", transports.DefaultRate, "messages a second, on average")
	f.IntVar(&c.Size, "size", transports.DefaultSize, "bytes of each message")
	f.DurationVar(&c.Every, "every", transports.DefaultEvery, "pause between short polls")
	f.BoolVar(&c.json, "json", false, "print the results as JSON")
	cmd.Flag("channel").DefValue = "a new one"
	return cmd
}

func (c *comparison) run(cmd *cobra.Command) error {
	if c.server != "" || c.file != "" {
		cfg, addr, err := c.resolve()
		if err != nil {
			return err
		}
		c.APIKey = apiKey(c.APIKey, &cfg)
		return c.compare(cmd, addr)
	}
	return withServer(cmd.Context(), func(addr, key string) error {
		c.APIKey = key
		return c.compare(cmd, addr)
	})
}

func (c *comparison) compare(cmd *cobra.Command, addr string) error {
	c.Server = addr
	results, err := transports.Run(cmd.Context(), c.Config)
	if err != nil {
		return explain(err, addr, "--api-key to publish, and --token to receive")
	}
	if c.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(results)
	}
	return transports.Write(cmd.OutOrStdout(), c.Config, results)
}

// withServer runs a server in dev mode, with data that is gone afterwards.
func withServer(ctx context.Context, work func(addr, key string) error) (err error) {
	dir, err := os.MkdirTemp("", "fanfare-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, err := config.Load(config.Sources{Flags: map[string]string{
		"dev": "true", "listen": "127.0.0.1:0", "data_dir": filepath.Join(dir, "data"),
	}})
	if err != nil {
		return err
	}
	a, err := app.New(cfg, version(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	err = work(a.Addr(), string(cfg.API.Key))
	stop()
	return errors.Join(err, <-ended)
}

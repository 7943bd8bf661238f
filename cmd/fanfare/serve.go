package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/internal/app"
	"github.com/fanfare-push/fanfare/internal/config"
)

func serveCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until SIGINT or SIGTERM, which stop it gracefully: clients are told
to come back, what was accepted is stored. A second signal ends it at once.

Settings come from flags, then from the environment (FANFARE_LISTEN, …), then from
the file, then from defaults. Outside --dev everything is shut until the settings
or a token allow it.`,
		Example: `  fanfare serve --dev
  fanfare serve --config fanfare.yaml
  FANFARE_API_KEY=… fanfare serve --listen :8000 --data-dir /var/lib/fanfare`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			return serve(cmd, cfg)
		},
	}
	s.addAll(cmd)
	return cmd
}

func serve(cmd *cobra.Command, cfg config.Config) error {
	log, announce := loggers(cmd.ErrOrStderr(), cfg.Log)
	a, err := app.New(cfg, version(), log)
	if err != nil {
		return err
	}
	if cfg.Dev {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), welcome, a.Addr(), cmp.Or(a.InternalAddr(), a.Addr())); err != nil {
			log.Debug("nobody reads the welcome", "error", err)
		}
	}
	where := []any{"addr", a.Addr(), "dev", cfg.Dev, "data_dir", cfg.DataDir, "version", version()}
	if internal := a.InternalAddr(); internal != "" {
		where = append(where, "internal_addr", internal)
	}
	announce.Info("listening", where...)
	defer onHangup(a)()
	return a.Run(cmd.Context())
}

// onHangup reads files again on SIGHUP until stop. Where there are none to read it
// ends the process, as it does when a terminal is closed.
func onHangup(a *app.App) (stop func()) {
	if !a.Reloads() {
		return func() {}
	}
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer close(done)
		for range hangups {
			a.Reload()
		}
	}()
	return func() { signal.Stop(hangups); close(hangups); <-done }
}

// welcome is what dev mode greets with: the address for clients, and the one for
// everything else.
const welcome = `
  Fanfare runs in dev mode: everything is allowed to everybody on this machine.

    Open       http://%[2]s/
    Connect    ws://%[1]s/connection/websocket
    Publish    curl http://%[2]s/api/publish -H 'X-API-Key: dev' -d '{"channel":"news","data":{"text":"hello"}}'

`

// loggers makes the server's log, and the one that says where it listens whatever
// the level is: who starts a server waits for that line.
func loggers(w io.Writer, cfg config.Log) (log, announce *slog.Logger) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		level = slog.LevelInfo // config has checked it
	}
	handler := func(level slog.Level) slog.Handler {
		if cfg.Format == "json" {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
		}
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	}
	return slog.New(handler(level)), slog.New(handler(min(level, slog.LevelInfo)))
}

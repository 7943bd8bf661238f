// Command fanfare is the server and the tools around it; see fanfare --help.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the next one ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fanfare:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fanfare",
		Short: "Push messages to browsers, phones and devices, and do not lose them",
		Long: `Fanfare pushes messages from your backend to browsers, phones and devices, in
real time, and does not lose them.

Start here:

  fanfare serve --dev                              a server where everything is allowed
  fanfare subscribe news                           listen to a channel
  fanfare publish news '{"text":"hello"}'          publish to it`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetVersionTemplate("fanfare {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, c.CommandPath())
	})
	cmd.AddCommand(serveCommand(), publishCommand(), subscribeCommand(), tokenCommand(), configCommand(), appCommand(), keyCommand(), namespaceCommand(), adminCommand(), doctorCommand(), clusterCommand(), drainCommand(), benchCommand(), versionCommand())
	return cmd
}

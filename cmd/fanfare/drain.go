package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/client"
)

// askDrainEvery is how often a drain is asked how far it is.
const askDrainEvery = 500 * time.Millisecond

func drainCommand() *cobra.Command {
	m := &managing{}
	rate, wait := 0, true
	cmd := m.command("drain", "Have a node release its clients to other nodes",
		`Have a node release its clients to the other nodes of its cluster, before it is
stopped: it refuses new connections (503, and /ready says "draining"), gives the
logs that it leads to other nodes, and tells its clients to come back, so many in a
second. Waits until none is left. There is no way back but a new start of the node.

SIGTERM does the same by itself, within shutdown_timeout.`, cobra.NoArgs,
		func(ctx context.Context, api *client.API, out io.Writer, _ []string) error {
			d, err := api.Drain(ctx, rate)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%d clients, %d of them released in a second\n", d.Clients, d.Rate); err != nil || !wait {
				return err
			}
			if err := untilDrained(ctx, api, d); err != nil {
				return err
			}
			_, err = fmt.Fprintln(out, "no client is left")
			return err
		})
	cmd.Example = `  fanfare drain --server 10.0.0.1:8000 --api-key …
  fanfare drain --rate 200 --wait=false`
	cmd.Flags().IntVar(&rate, "rate", 0, "clients in a second (0: drain_rate of the node's settings)")
	cmd.Flags().BoolVar(&wait, "wait", true, "until no client is left")
	return cmd
}

func untilDrained(ctx context.Context, api *client.API, d client.Drained) error {
	tick := time.NewTicker(askDrainEvery)
	defer tick.Stop()
	for d.Clients > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		var err error
		if d, err = api.Drain(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}

// printable is a row of a table without what a terminal would obey, since other
// nodes have a say in it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

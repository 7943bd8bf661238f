package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/client"
	"github.com/fanfare-push/fanfare/internal/move"
)

// clusterImportCommand is the way of a node that was alone into a cluster.
func clusterImportCommand() *cobra.Command {
	m, from := &managing{}, ""
	cmd := m.command("import --from DIR", "Move the history of a node that was alone to a cluster",
		`Move the channels of a node that was alone, with their positions and history, to a
cluster, and with them the Apps, keys and namespaces that were made at run time, and
what webhooks still have to tell. Whoever stood at a position there goes on at it.

The node has been stopped, the nodes of the cluster are running with data directories
of their own, and no client or backend uses them yet. The directory is read and not
changed, but for a file that keeps a node from being started on it again. What was
interrupted can be repeated: it goes on where it was.`, cobra.NoArgs,
		func(ctx context.Context, api *client.API, out io.Writer, _ []string) error {
			return importHistory(ctx, api, from, out, m.cmd.ErrOrStderr())
		})
	cmd.Example = "  fanfare cluster import --from /var/lib/fanfare --server 10.0.0.1:8000"
	cmd.Flags().StringVar(&from, "from", "", "data directory of the node that was alone")
	_ = cmd.MarkFlagRequired("from") // there is one
	return cmd
}

// progressEvery is how often progress is told.
const progressEvery = time.Second

func importHistory(ctx context.Context, api *client.API, from string, out, progress io.Writer) error {
	told := time.Now()
	r, err := move.Run(ctx, move.Config{
		Dir: from, Send: sender(api), Temporary: temporary,
		Progress: func(r move.Report) {
			if now := time.Now(); now.Sub(told) >= progressEvery {
				told = now
				_, _ = fmt.Fprintf(progress, "%d channels, %d publications\n", r.Channels, r.Publications)
			}
		},
	})
	if err != nil {
		return err
	}
	if err := tellMoved(out, &r); err != nil {
		return err
	}
	if len(r.Left) > 0 {
		return fmt.Errorf("%d channels were not moved, or not wholly", len(r.Left))
	}
	return nil
}

// tellMoved says what is in the cluster, and what is not and why.
func tellMoved(out io.Writer, r *move.Report) error {
	_, err := fmt.Fprintf(out, "moved: %d channels, %d publications (%d of them before)\nleft as expired: %d channels, %d publications\n",
		r.Channels, r.Publications, r.Before, r.Expired, r.ExpiredPublications)
	for _, l := range r.Left {
		if err == nil {
			_, err = fmt.Fprintf(out, "left: channel %q of app %q: %s\n", l.Channel.Name, l.Channel.App, l.Reason)
		}
	}
	return err
}

// sender sends pieces with the server API.
func sender(api *client.API) func(context.Context, [][]byte) ([]move.Answer, error) {
	return func(ctx context.Context, pieces [][]byte) ([]move.Answer, error) {
		list, err := api.ImportHistory(ctx, pieces)
		if client.CodeOf(err) == client.CodeLimitExceeded && len(pieces) == 1 {
			// One publication fills it, and it is larger than the server takes.
			return []move.Answer{{Err: err}}, nil
		}
		if err != nil {
			return nil, err
		}
		answers := make([]move.Answer, len(list))
		for i, a := range list {
			answers[i] = move.Answer{There: a.There, Err: a.Err}
		}
		return answers, nil
	}
}

// temporary reports whether a request may succeed later: the server says so, or it is
// not reached now.
func temporary(err error) bool {
	var answered *client.Error
	if errors.As(err, &answered) {
		return answered.Temporary
	}
	var broken *url.Error
	var network net.Error
	return errors.As(err, &network) || errors.As(err, &broken)
}

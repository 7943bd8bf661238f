package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/client"
)

func clusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cluster", Short: "Look after a cluster of nodes",
		Long: "Look after several nodes that act as one.",
	}
	cmd.AddCommand(clusterStatusCommand(), clusterImportCommand())
	return cmd
}

func clusterStatusCommand() *cobra.Command {
	m := &managing{}
	asJSON := false
	cmd := m.command("status", "Show members, who leads each log, who lags, and the last errors",
		`Show the nodes of the cluster: whether each is ready, who leads each log, how far
behind it each node is, and what was last wrong. Any node can be asked; each other
has a second to answer it. Ends with 1 if a node is not ready or does not answer.`, cobra.NoArgs,
		func(ctx context.Context, api *client.API, out io.Writer, _ []string) error {
			c, err := api.Cluster(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				err = e.Encode(c)
			} else {
				err = showCluster(out, &c, time.Now())
			}
			return cmp.Or(err, judge(&c))
		})
	cmd.Flags().BoolVar(&asJSON, "json", false, "the reply of the server API, as JSON")
	return cmd
}

// judge is an error if a node cannot do its job.
func judge(c *client.Cluster) error {
	bad := 0
	for i := range c.Nodes {
		if !c.Nodes[i].Ready {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("cluster: %d of %d nodes not ready", bad, len(c.Nodes))
	}
	return nil
}

func showCluster(out io.Writer, c *client.Cluster, now time.Time) error {
	title := fmt.Sprintf("cluster %s", c.Name)
	if c.Name == "" {
		title = "this node is alone: it belongs to no cluster"
	}
	if _, err := fmt.Fprintf(out, "%s\n\n", printable(title)); err != nil {
		return err
	}
	err := table(out, "NODE\tROLE\tVERSION\tCLIENTS\tOTHER NODES\tUPTIME\tCONNECTIONS\tSTATE", len(c.Nodes), func(i int) string {
		n := &c.Nodes[i]
		return printable(fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s", n.Name, dash(n.Role), dash(n.Version), dash(n.Address), dash(n.PeerAddress),
			n.Uptime(), n.Clients, stateOf(n)))
	})
	rows := logRows(c, now)
	if err != nil || len(rows) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	return table(out, "LOG\tLEADER\tLAST\tBEHIND\tLAST ERROR", len(rows), func(i int) string { return printable(rows[i]) })
}

func stateOf(n *client.ClusterNode) string {
	switch {
	case n.Silent:
		return "does not answer"
	case n.Ready:
		return "ready"
	case n.UID == "":
		return n.Reason
	}
	return "not ready: " + n.Reason
}

// logRows are a row for each log: as the node sees it that has seen most of it.
func logRows(c *client.Cluster, now time.Time) (rows []string) {
	for _, name := range logNames(c) {
		var most, troubled client.ClusterLog
		var behind []string
		at := "" // who has had the last error
		for i := range c.Nodes {
			n := &c.Nodes[i]
			for _, l := range n.Logs {
				if l.Name != name {
					continue
				}
				if l.Last >= most.Last && (l.Leader != "" || most.Leader == "") {
					most = l
				}
				if l.Lag() > 0 || l.Reason != "" {
					behind = append(behind, fmt.Sprintf("%s by %d", n.Name, l.Lag()))
				}
				if l.LastErrorMS > troubled.LastErrorMS {
					troubled, at = l, n.Name
				}
			}
		}
		problem := "-"
		if at != "" {
			problem = fmt.Sprintf("%s, %s ago: %s", at, now.Sub(time.UnixMilli(troubled.LastErrorMS)).Round(time.Second), troubled.LastError)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s\t%s", name, dash(most.Leader), most.Last, dash(strings.Join(behind, ", ")), problem))
	}
	return rows
}

// logNames are all logs, in the order in which the first node tells them.
func logNames(c *client.Cluster) (names []string) {
	seen := map[string]bool{}
	for i := range c.Nodes {
		for j := range c.Nodes[i].Logs {
			if name := c.Nodes[i].Logs[j].Name; !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

func dash(s string) string { return cmp.Or(s, "-") }

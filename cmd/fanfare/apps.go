package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/client"
)

// managing are the flags of what is asked of the server API about Apps.
type managing struct {
	target
	key, app string
}

// command makes one that calls the API. Results go to standard output.
func (m *managing) command(use, short, long string, args cobra.PositionalArgs, run func(ctx context.Context, api *client.API, out io.Writer, args []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, addr, err := m.resolve()
			if err != nil {
				return err
			}
			api, err := client.NewAPI(addr, apiKey(m.key, &cfg))
			if err != nil {
				return err
			}
			defer api.Close()
			return explain(run(cmd.Context(), api, cmd.OutOrStdout(), args), addr, "the operator's key with --api-key")
		},
	}
	m.add(cmd)
	cmd.Flags().StringVarP(&m.key, "api-key", "k", "", "X-API-Key to ask with (default: api.key of the settings, or that of dev mode)")
	return cmd
}

// appFlag adds --app.
func (m *managing) appFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&m.app, "app", "a", "", "the App (default: that of the API key)")
	return cmd
}

func appCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "app", Short: "Manage Apps, the tenants of a server",
		Long: `List, make, change and remove Apps while the server runs. Each has keys, channels,
namespaces and limits of its own. Apps of the settings are shown and not changed.`,
		Example: `  fanfare app create shop --connections 10000
  fanfare key create --app shop --scope publish
  fanfare app list`,
	}
	cmd.AddCommand(appListCommand(), appCreateCommand(), appUpdateCommand(), appRemoveCommand())
	return cmd
}

func appListCommand() *cobra.Command {
	m := &managing{}
	return m.command("list", "List Apps and what they use of the node", "", cobra.NoArgs,
		func(ctx context.Context, api *client.API, out io.Writer, _ []string) error {
			apps, err := api.Apps(ctx)
			if err != nil {
				return err
			}
			return table(out, "APP\tFROM\tCONNECTIONS\tUSERS\tCHANNELS\tPUBLISHED\tKEYS\tNAMESPACES\tLIMITS", len(apps), func(i int) string {
				a := &apps[i]
				return fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s", a.Name, origin(a.Fixed), a.NumClients, a.NumUsers, a.NumChannels,
					a.NumPublished, a.NumKeys, a.NumNamespaces, limitsOf(a))
			})
		})
}

func limitsOf(a *client.App) string {
	var limits []string
	if a.Connections > 0 {
		limits = append(limits, fmt.Sprintf("%d connections", a.Connections))
	}
	if a.Publishes > 0 {
		limits = append(limits, fmt.Sprintf("%d publishes/s", a.Publishes))
	}
	if a.HistoryBytes > 0 {
		limits = append(limits, fmt.Sprintf("%d bytes of history", a.HistoryBytes))
	}
	return cmp.Or(strings.Join(limits, ", "), "-")
}

// origin says where something is defined.
func origin(fixed bool) string {
	if fixed {
		return "settings"
	}
	return "run time"
}

// table prints rows in columns.
func table(out io.Writer, head string, rows int, row func(i int) string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, head) // Flush tells of errors
	for i := range rows {
		_, _ = fmt.Fprintln(w, row(i))
	}
	return w.Flush()
}

func addSettings(cmd *cobra.Command, s *client.AppSettings) *cobra.Command {
	f := cmd.Flags()
	f.BoolVar(&s.AllowAnonymous, "allow-anonymous", false, "clients may connect without a token")
	f.IntVar(&s.Connections, "connections", 0, "sessions at once (0: limits.connections_per_app)")
	f.IntVar(&s.Publishes, "publishes", 0, "publications in a second (0: limits.publishes_per_app)")
	f.Int64Var(&s.HistoryBytes, "history-bytes", 0, "bytes of history on disk (0: limits.history_bytes_per_app)")
	return cmd
}

func appCreateCommand() *cobra.Command {
	m, s := &managing{}, &client.AppSettings{}
	return addSettings(m.command("create NAME", "Make an App", "Make an App. It has no keys yet: make one with fanfare key create.", cobra.ExactArgs(1),
		func(ctx context.Context, api *client.API, out io.Writer, args []string) error {
			if err := api.CreateApp(ctx, args[0], *s); err != nil {
				return err
			}
			_, err := fmt.Fprintf(out, "app %s is there; clients connect with ?app=%s, and it needs keys: fanfare key create --app %s --scope sign\n", args[0], args[0], args[0])
			return err
		}), s)
}

func appUpdateCommand() *cobra.Command {
	m, s := &managing{}, &client.AppSettings{}
	return addSettings(m.command("update NAME", "Change the settings of an App", "Replace the settings of an App: those that no flag gives go back to what they are by default.", cobra.ExactArgs(1),
		func(ctx context.Context, api *client.API, out io.Writer, args []string) error {
			if err := api.UpdateApp(ctx, args[0], *s); err != nil {
				return err
			}
			_, err := fmt.Fprintf(out, "app %s has the new settings\n", args[0])
			return err
		}), s)
}

func appRemoveCommand() *cobra.Command {
	m := &managing{}
	return m.command("remove NAME", "Remove an App with its keys and namespaces, and end its sessions", "", cobra.ExactArgs(1),
		func(ctx context.Context, api *client.API, out io.Writer, args []string) error {
			if err := api.RemoveApp(ctx, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(out, "app %s is removed; its sessions have ended\n", args[0])
			return err
		})
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/client"
)

func namespaceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "namespace", Short: "Manage the namespaces of Apps",
		Long: `List, make, change and remove namespaces while the server runs. A namespace is given
in JSON, with the options of the settings. Those of the settings are shown and not
changed.`,
		Example: `  fanfare namespace set '{"name":"chat","history_size":100,"history_ttl":"1h","presence":true}'`,
	}
	cmd.AddCommand(namespaceListCommand(), namespaceSetCommand(), namespaceRemoveCommand())
	return cmd
}

func namespaceListCommand() *cobra.Command {
	m := &managing{}
	return m.appFlag(m.command("list", "List namespaces, a line of JSON each", "", cobra.NoArgs,
		func(ctx context.Context, api *client.API, out io.Writer, _ []string) error {
			list, err := api.Namespaces(ctx, m.app)
			if err != nil {
				return err
			}
			return table(out, "FROM\tNAMESPACE", len(list), func(i int) string {
				return origin(list[i].Fixed) + "\t" + string(list[i].Namespace)
			})
		}))
}

func namespaceSetCommand() *cobra.Command {
	m := &managing{}
	return m.appFlag(m.command("set JSON", "Make or replace a namespace", "", cobra.ExactArgs(1),
		func(ctx context.Context, api *client.API, out io.Writer, args []string) error {
			if !json.Valid([]byte(args[0])) {
				return errors.New(`the namespace is no JSON, such as {"name":"chat","presence":true}`)
			}
			if err := api.SetNamespace(ctx, m.app, json.RawMessage(args[0])); err != nil {
				return err
			}
			_, err := fmt.Fprintln(out, "the namespace holds for what is asked for from now on")
			return err
		}))
}

func namespaceRemoveCommand() *cobra.Command {
	m := &managing{}
	return m.appFlag(m.command("remove NAME", "Remove a namespace", "", cobra.ExactArgs(1),
		func(ctx context.Context, api *client.API, out io.Writer, args []string) error {
			if err := api.RemoveNamespace(ctx, m.app, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(out, "namespace %s is removed\n", args[0])
			return err
		}))
}

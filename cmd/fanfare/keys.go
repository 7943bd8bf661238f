package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/client"
)

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "Manage the keys of Apps",
		Long: `List, make, rotate and revoke keys while the server runs. A key has one scope:

  publish   publish and broadcast by the server API
  read      history, presence, lists and counts by the server API
  admin     everything of its App by the server API, its keys and namespaces included
  sign      signs tokens, channels and sign-ins of clients, and requests of Pusher's
            HTTP API; its id is the key that Pusher clients connect with`,
		Example: `  fanfare key create --app shop --scope publish
  fanfare key rotate --app shop 4v2k… --overlap 24h`,
	}
	cmd.AddCommand(keyListCommand(), keyCreateCommand(), keyRotateCommand(), keyRevokeCommand())
	return cmd
}

func keyListCommand() *cobra.Command {
	m := &managing{}
	return m.appFlag(m.command("list", "List keys, without their secrets", "", cobra.NoArgs,
		func(ctx context.Context, api *client.API, out io.Writer, _ []string) error {
			keys, err := api.Keys(ctx, m.app)
			if err != nil {
				return err
			}
			return table(out, "KEY\tSCOPE\tFROM\tCREATED\tPREVIOUS SECRET HOLDS UNTIL", len(keys), func(i int) string {
				k := &keys[i]
				return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", k.ID, k.Scope, origin(k.Fixed), moment(k.Created), moment(k.PreviousUntil))
			})
		}))
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func keyCreateCommand() *cobra.Command {
	m := &managing{}
	id, scope := "", ""
	cmd := m.appFlag(m.command("create", "Make a key and print its secret, this once", "", cobra.NoArgs,
		func(ctx context.Context, api *client.API, out io.Writer, _ []string) error {
			k, err := api.CreateKey(ctx, m.app, id, scope)
			if err != nil {
				return err
			}
			return printSecret(out, &k)
		}))
	cmd.Flags().StringVar(&id, "id", "", "the key's id, which is public; choosing it takes the operator's key (default: one is made up)")
	cmd.Flags().StringVar(&scope, "scope", "", "publish, read, admin or sign")
	_ = cmd.MarkFlagRequired("scope") // the flag is there
	return cmd
}

// printSecret shows a secret, which the server does not show again, in a form that
// tools can read.
func printSecret(out io.Writer, k *client.NewKey) error {
	lines := fmt.Sprintf("id      %s\nsecret  %s\n", k.ID, k.Secret)
	if !k.PreviousUntil.IsZero() {
		lines += fmt.Sprintf("before  holds until %s\n", moment(k.PreviousUntil))
	}
	_, err := io.WriteString(out, lines)
	return err
}

func keyRotateCommand() *cobra.Command {
	m := &managing{}
	overlap := time.Duration(0)
	cmd := m.appFlag(m.command("rotate ID", "Give a key another secret and print it, this once", "", cobra.ExactArgs(1),
		func(ctx context.Context, api *client.API, out io.Writer, args []string) error {
			k, err := api.RotateKey(ctx, m.app, args[0], overlap)
			if err != nil {
				return err
			}
			return printSecret(out, &k)
		}))
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the secret before holds, for backends to be given the new one")
	return cmd
}

func keyRevokeCommand() *cobra.Command {
	m := &managing{}
	return m.appFlag(m.command("revoke ID", "Withdraw a key", "Withdraw a key. Sessions that have connected with a token it signed stay until the token has to be refreshed.", cobra.ExactArgs(1),
		func(ctx context.Context, api *client.API, out io.Writer, args []string) error {
			if err := api.RevokeKey(ctx, m.app, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(out, "key %s opens nothing any more\n", args[0])
			return err
		}))
}

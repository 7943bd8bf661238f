package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/internal/app"
	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/channel"
)

func tokenCheckCommand() *cobra.Command {
	return judgeCommand(&cobra.Command{
		Use:     "check TOKEN|-",
		Short:   "Say whether the server would accept a token",
		Long:    "Say whether a server with these settings would accept a token, from the argument or\nstandard input. Ends with 1 and the reason if it would not.",
		Example: "  fanfare token check --config fanfare.yaml - < token.txt",
	}, func(w io.Writer, e *auth.Explanation) error {
		if e.Err != nil {
			return e.Err
		}
		_, err := fmt.Fprintln(w, "the token is accepted")
		return err
	})
}

func tokenExplainCommand() *cobra.Command {
	return judgeCommand(&cobra.Command{
		Use:   "explain TOKEN|-",
		Short: "Say who a token is for, until when, what it allows, and which key verifies it",
		Long: `Say who a token is for, until when, what it allows, and which key verifies it, or why
it is refused. The token comes from the argument or standard input. What no key has
verified is not told, and keys are never shown.`,
		Example: `  fanfare token explain --config fanfare.yaml - < token.txt`,
	}, func(w io.Writer, e *auth.Explanation) error { return describe(w, e, time.Now()) })
}

// judgeCommand completes a command that reads one token.
func judgeCommand(cmd *cobra.Command, tell func(io.Writer, *auth.Explanation) error) *cobra.Command {
	s := &settings{}
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		token, err := tokenOf(args[0], cmd.InOrStdin())
		if err != nil {
			return err
		}
		e, err := s.judge(cmd.Context(), token)
		if err != nil {
			return err
		}
		return tell(cmd.OutOrStdout(), &e)
	}
	s.addFile(cmd)
	cmd.Flags().Bool("dev", false, "by the settings of dev mode")
	return cmd
}

func tokenOf(arg string, in io.Reader) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	text, err := io.ReadAll(io.LimitReader(in, auth.MaxToken+2))
	return strings.TrimSpace(string(text)), err
}

// judge explains a token by the settings, with the keys that are published now.
func (s *settings) judge(ctx context.Context, token string) (auth.Explanation, error) {
	cfg, err := s.load()
	if err != nil {
		return auth.Explanation{}, err
	}
	v, keys, err := app.NewVerifier(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return auth.Explanation{}, err
	}
	e := v.Explain(token)
	if keys != nil && errors.Is(e.Err, channel.ErrTokenKeys) {
		if err := keys.Refresh(ctx); err != nil {
			return e, fmt.Errorf("tokens.jwks_url: %w", err)
		}
		if e = v.Explain(token); errors.Is(e.Err, channel.ErrTokenKeys) {
			e.Err = fmt.Errorf("%w: the key set has no key %.64q", channel.ErrTokenInvalid, e.KeyID)
		}
	}
	return e, nil
}

// describe writes a line for each thing that is known. What comes from the token
// is quoted: it may hold what a terminal would obey.
func describe(out io.Writer, e *auth.Explanation, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) // a tabwriter keeps what it is given; Flush tells
	}
	if e.Err != nil {
		line("refused", "%v", e.Err)
	} else {
		line("accepted", "yes")
	}
	if e.Key == nil {
		line("verified by", "no key; what the token says of itself is not shown")
		return w.Flush()
	}
	line("verified by", "%s, %s, kid %q", e.Key.Source, e.Algorithm, e.KeyID)
	user, until := e.Identity.User, e.Identity.ExpireAt
	if g := e.Grant; g != nil {
		user, until = g.User, g.ExpireAt
		line("kind", "subscription token for %q", g.Channel)
	} else {
		line("kind", "connection token")
	}
	if user == "" {
		line("user", "anonymous")
	} else {
		line("user", "%q", user)
	}
	switch {
	case until.IsZero():
		line("until", "for ever")
	case until.After(now):
		line("until", "%s, in %s (leeway included)", until.UTC().Format(time.RFC3339), until.Sub(now).Round(time.Second))
	default:
		line("until", "%s, %s ago", until.UTC().Format(time.RFC3339), now.Sub(until).Round(time.Second))
	}
	if e.Issuer != "" {
		line("issuer", "%q", e.Issuer)
	}
	for _, may := range allowances(e) {
		line("may", "%s", may)
	}
	return w.Flush()
}

// allowances are what a token gives, beyond what namespaces allow everybody.
func allowances(e *auth.Explanation) (list []string) {
	if g := e.Grant; g != nil {
		ops := strings.Join(auth.OpNames(g.Ops|channel.Subscribe), ", ")
		if g.Client != "" {
			return []string{fmt.Sprintf("%s on %q, session %q only", ops, g.Channel, g.Client)}
		}
		return []string{fmt.Sprintf("%s on %q", ops, g.Channel)}
	}
	rule := func(g *channel.Grant) string {
		kind := g.Match.String()
		if kind != "" {
			kind = " (" + kind + ")"
		}
		ops := strings.Join(auth.OpNames(g.Ops), ", ")
		if ops == "" {
			ops = "nothing"
		}
		return fmt.Sprintf("%s on %q%s", ops, g.Channel, kind)
	}
	for i := range e.Identity.Grants.Deny {
		list = append(list, "not "+rule(&e.Identity.Grants.Deny[i]))
	}
	for i := range e.Identity.Grants.Allow {
		list = append(list, rule(&e.Identity.Grants.Allow[i]))
	}
	for _, name := range e.Identity.Channels {
		list = append(list, fmt.Sprintf("is subscribed to %q at once", name))
	}
	return append(list, "what the options of namespaces allow")
}

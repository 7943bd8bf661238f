package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/client"
	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/config"
)

// listening is one run of the command.
type listening struct {
	target
	token, user, since string
	count              int
}

func subscribeCommand() *cobra.Command {
	l := &listening{}
	cmd := &cobra.Command{
		Use:   "subscribe CHANNEL...",
		Short: "Print what is published to channels",
		Long: `Print what is published to the channels, a JSON line for each message. A lost
connection is tried again, and what was missed is fetched; standard error says what
happens, and if something could not be fetched. Ends with 1 when trying again cannot
help: a token that is refused, a channel that may not be listened to.

A client without a token is anonymous. With --user, tokens are made as fanfare token
does, for the connection and for channels that begin with $.`,
		Example: `  fanfare subscribe news
  fanfare subscribe news --count 1 | jq .data
  fanfare subscribe '$chat:room42' --config fanfare.yaml --user 42
  fanfare subscribe news --since nRfSzQ:1041`,
		Args: needChannel(1, math.MaxInt, "subscribe CHANNEL..."),
		RunE: func(cmd *cobra.Command, args []string) error { return l.run(cmd, args) },
	}
	l.add(cmd)
	f := cmd.Flags()
	f.StringVar(&l.token, "token", os.Getenv(config.EnvToken), "connection token (environment: "+config.EnvToken+")")
	f.StringVarP(&l.user, "user", "u", "", "make the tokens of this user, with app.secret of the settings")
	f.StringVar(&l.since, "since", "", "begin after this position of the channel, EPOCH:OFFSET")
	f.IntVarP(&l.count, "count", "n", 0, "end after so many messages; 0: never")
	return cmd
}

// line is how a message is printed: as in docs/message-format.md, and where it is
// from.
type line struct {
	Channel string              `json:"channel"`
	Data    json.RawMessage     `json:"data"`
	Offset  uint64              `json:"offset,omitempty"`
	Time    int64               `json:"time,omitempty"`
	Tags    map[string]string   `json:"tags,omitempty"`
	Info    *client.SessionInfo `json:"info,omitempty"`
}

// errEnough ends the command well.
var errEnough = errors.New("enough messages")

func (l *listening) run(cmd *cobra.Command, args []string) error {
	cfg, addr, err := l.resolve()
	if err != nil {
		return err
	}
	sub, err := l.config(cfg, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	tell := func(format string, args ...any) { cmd.PrintErrf("fanfare: "+format+"\n", args...) }
	out := json.NewEncoder(cmd.OutOrStdout())
	out.SetEscapeHTML(false)
	n := 0
	sub.OnPublication = func(name string, p *client.Publication) {
		if l.count > 0 && n == l.count {
			return
		}
		n++
		if err := out.Encode(line{name, p.Data, p.Offset, p.Time, p.Tags, p.Info}); err != nil {
			cancel(fmt.Errorf("write: %w", err))
		} else if n == l.count {
			cancel(errEnough)
		}
	}
	sub.OnSubscribed = func(name string, s client.Subscribed) {
		switch {
		case s.Lost:
			tell("%s: subscribed at %s, but what was published in between could not be fetched", name, position(s.Position))
		case s.Recovered:
			tell("%s: subscribed again at %s", name, position(s.Position))
		default:
			tell("%s: subscribed at %s", name, position(s.Position))
		}
	}
	sub.OnDisconnected = func(err error, retryIn time.Duration) {
		tell("not connected: %v; trying again in %s", err, retryIn.Round(time.Millisecond))
	}
	s, err := client.NewSubscriber(addr, sub)
	if err != nil {
		return err
	}
	err = s.Run(ctx)
	if errors.Is(err, errEnough) || cmd.Context().Err() != nil {
		return nil
	}
	return explain(err, addr, "--token, or --user and the server's settings with --config")
}

func position(p client.Position) string {
	if p.Epoch == "" {
		return "no position"
	}
	return p.Epoch + ":" + strconv.FormatUint(p.Offset, 10)
}

// config says what to listen to, as whom.
func (l *listening) config(cfg config.Config, channels []string) (client.SubscriberConfig, error) {
	c := client.SubscriberConfig{Token: l.token, Name: "fanfare"}
	since, err := l.position(channels)
	if err != nil {
		return c, err
	}
	for _, name := range channels {
		c.Channels = append(c.Channels, client.Channel{Name: name, Since: since})
	}
	if l.user == "" {
		return c, nil
	}
	if l.token != "" {
		return c, errors.New("--user makes a token: --token cannot be given with it")
	}
	c.Refresh = func(_ context.Context, name string) (string, error) {
		return mint(cfg, auth.Token{User: l.user, Channel: name}, time.Hour)
	}
	if c.Token, err = c.Refresh(context.Background(), ""); err != nil {
		return c, err
	}
	for i := range c.Channels {
		if ch := &c.Channels[i]; channel.IsPrivate(ch.Name) {
			if ch.Token, err = c.Refresh(context.Background(), ch.Name); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// position reads --since.
func (l *listening) position(channels []string) (*client.Position, error) {
	if l.since == "" {
		return nil, nil
	}
	if len(channels) != 1 {
		return nil, errors.New("--since is a position of one channel")
	}
	epoch, text, _ := strings.Cut(l.since, ":")
	offset, err := strconv.ParseUint(text, 10, 64)
	if err != nil || epoch == "" {
		return nil, errors.New("--since must be EPOCH:OFFSET, as publish and subscribe print them")
	}
	return &client.Position{Epoch: epoch, Offset: offset}, nil
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/client"
)

// publishing is one run of the command.
type publishing struct {
	target
	key      string
	text     bool
	template client.Message // what all messages have in common
}

func publishCommand() *cobra.Command {
	p := &publishing{}
	cmd := &cobra.Command{
		Use:   "publish CHANNEL [DATA|-]",
		Short: "Publish to a channel",
		Long: `Publish DATA, which is JSON, and print where it was stored. Without DATA, or with -,
messages are read from standard input: a line is a message. They keep their order,
are repeated until the server has them, and none is stored twice; their number is
shown on standard error.`,
		Example: `  fanfare publish news '{"text":"hello"}'
  fanfare publish news --text 'hello'
  tail -f events.jsonl | fanfare publish events -
  fanfare publish news '1' --server https://push.example.org --api-key …`,
		Args: needChannel(1, 2, "publish CHANNEL [DATA|-]"),
		RunE: func(cmd *cobra.Command, args []string) error { return p.run(cmd, args) },
	}
	p.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&p.key, "api-key", "k", "", "X-API-Key (environment: FANFARE_API_KEY; default: api.key of the settings, or that of dev mode)")
	f.BoolVar(&p.text, "text", false, "DATA is text, which is sent as a JSON string")
	f.StringVar(&p.template.Event, "event", "", "name of an event")
	f.StringToStringVar(&p.template.Tags, "tag", nil, "tag NAME=VALUE; may be given several times")
	f.StringVar(&p.template.IdempotencyKey, "idempotency-key", "", "store DATA once, however often this is repeated within five minutes")
	f.BoolVar(&p.template.SkipHistory, "skip-history", false, "deliver without storing")
	return cmd
}

// needChannel asks for a number of arguments of which the first is a channel.
func needChannel(least, most int, usage string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("a CHANNEL is missing: fanfare %s", usage)
		case len(args) > most:
			return fmt.Errorf("too many arguments, quote what belongs together: fanfare %s", usage)
		}
		return nil
	}
}

func (p *publishing) run(cmd *cobra.Command, args []string) error {
	cfg, addr, err := p.resolve()
	if err != nil {
		return err
	}
	api, err := client.NewAPI(addr, apiKey(p.key, &cfg))
	if err != nil {
		return err
	}
	defer api.Close()
	p.template.Channel = args[0]
	if len(args) == 2 && args[1] != "-" {
		return explain(p.one(cmd, api, []byte(args[1])), addr, publishCredentials)
	}
	if p.template.IdempotencyKey != "" {
		return errors.New("--idempotency-key is for a single message: with standard input only the first would be stored")
	}
	return explain(p.lines(cmd, api), addr, publishCredentials)
}

const publishCredentials = "the server's api.key with --api-key, or its settings with --config"

// message makes a message of one argument or line.
func (p *publishing) message(data []byte) (client.Message, error) {
	m := p.template
	m.Data = data
	if p.text {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		err := e.Encode(string(data))
		m.Data = bytes.TrimSpace(b.Bytes())
		return m, err
	}
	if !json.Valid(data) {
		return m, errors.New(`it is not JSON: quote it, as '"hello"', or give --text`)
	}
	return m, nil
}

func (p *publishing) one(cmd *cobra.Command, api *client.API, data []byte) error {
	m, err := p.message(data)
	if err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	if m.IdempotencyKey == "" {
		m.IdempotencyKey = rand.Text() // the HTTP client may repeat a request
	}
	at, err := api.Publish(cmd.Context(), m)
	if err != nil {
		return err
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(at)
}

// maxLine bounds a message from standard input.
const maxLine = 64 << 20

// lines publishes what comes from standard input until it or the command ends.
func (p *publishing) lines(cmd *cobra.Command, api *client.API) error {
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	var done atomic.Int64
	pipe := api.NewPipeline(ctx, client.PipelineConfig{OnResult: func(_ *client.Message, _ client.Published, err error) error {
		if err == nil {
			done.Add(1)
			return nil
		}
		cancel(err)
		return err
	}})
	read := make(chan error, 1)
	go func() { read <- p.feed(cmd.InOrStdin(), pipe) }() // a read from a terminal cannot be interrupted
	shown := newProgress(cmd.ErrOrStderr(), &done)
	var err error
	for ended := false; !ended; {
		select {
		case err = <-read:
			ended = true
		case <-ctx.Done():
			ended = true
		case <-shown.tick.C:
			shown.show()
		}
	}
	err = errors.Join(err, pipe.Close())
	shown.end()
	if cmd.Context().Err() != nil {
		return errors.New("interrupted")
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause // once, and not also for each that waited behind it
	}
	return err
}

// feed hands each line to the pipeline; empty ones are nothing.
func (p *publishing) feed(in io.Reader, pipe *client.Pipeline) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		m, err := p.message(bytes.Clone(line))
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := pipe.Publish(m); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// progress shows a number: on a terminal in place, once a second; elsewhere when
// everything is over.
type progress struct {
	w        io.Writer
	n        *atomic.Int64
	terminal bool
	tick     *time.Ticker
}

func newProgress(w io.Writer, n *atomic.Int64) *progress {
	p := &progress{w: w, n: n, tick: time.NewTicker(time.Second)}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progress) show() {
	if p.terminal {
		_, _ = fmt.Fprintf(p.w, "\r%d published", p.n.Load()) // who does not look misses nothing
	}
}

func (p *progress) end() {
	p.tick.Stop()
	p.show()
	if p.terminal {
		_, _ = fmt.Fprintln(p.w)
		return
	}
	_, _ = fmt.Fprintf(p.w, "%d published\n", p.n.Load())
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/app"
	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/config"
)

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, config.EnvPrefix) {
			_ = os.Unsetenv(name) // the user's own settings are not the tests'
		}
	}
	goleak.VerifyTestMain(m)
}

const timeout = 20 * time.Second

// text is a buffer that a command may write to while a test reads it.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// until waits for a text to hold something.
func (t *text) until(tb testing.TB, want string) {
	tb.Helper()
	deadline := time.Now().Add(timeout)
	for !strings.Contains(t.String(), want) {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain for %q:\n%s", want, t)
		}
		<-time.After(time.Millisecond)
	}
}

// command is one run of the program.
type command struct {
	out, err text
	ended    chan error
	cancel   context.CancelFunc
}

func begin(t *testing.T, stdin string, args ...string) *command {
	t.Helper()
	c := &command{ended: make(chan error, 1)}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { c.cancel(); _ = c.wait(t) })
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&c.out)
	cmd.SetErr(&c.err)
	go func() { c.ended <- cmd.ExecuteContext(ctx) }()
	return c
}

// wait gives the error that the command ended with; may be repeated.
func (c *command) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-c.ended:
		c.ended <- err
		return err
	case <-time.After(timeout):
		t.Fatalf("does not end:\n%s%s", &c.out, &c.err)
		return nil
	}
}

// run runs a command to its end.
func run(t *testing.T, stdin string, args ...string) (out, stderr string, err error) {
	t.Helper()
	c := begin(t, stdin, args...)
	err = c.wait(t)
	return c.out.String(), c.err.String(), err
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// server runs in this process and gives the file of its settings, with its address
// in them.
func server(t *testing.T, settings string) (file string) {
	t.Helper()
	dir := t.TempDir()
	cfg, err := config.Load(config.Sources{
		File: write(t, "a.yaml", settings), Flags: map[string]string{"listen": "127.0.0.1:0", "data_dir": filepath.Join(dir, "data")},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(cfg, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return write(t, "b.yaml", settings+"\nlisten: "+a.Addr()+"\n")
}

func TestPublishAndSubscribe(t *testing.T) {
	file := server(t, "dev: true")
	listener := begin(t, "", "subscribe", "news", "chat:1", "--config", file, "--count", "4")
	listener.err.until(t, "chat:1: subscribed at")

	out, _, err := run(t, "", "publish", "news", `{"text":"hello"}`, "--config", file, "--tag", "lang=en")
	var at struct {
		Epoch  string
		Offset int
	}
	if jsonErr := json.Unmarshal([]byte(out), &at); err != nil || jsonErr != nil || at.Offset != 1 || at.Epoch == "" {
		t.Errorf("publish: %v, %v: %s", err, jsonErr, out)
	}
	if _, _, err := run(t, "", "publish", "chat:1", "hello <you>", "--text", "--config", file); err != nil {
		t.Error(err)
	}
	_, stderr, err := run(t, "2\n\n{\"n\":3}\n", "publish", "news", "-", "--config", file)
	if err != nil || !strings.Contains(stderr, "2 published") {
		t.Errorf("from standard input: %v: %s", err, stderr)
	}

	if err := listener.wait(t); err != nil {
		t.Error(err)
	}
	var got []string
	for printed := range strings.Lines(listener.out.String()) {
		var l line
		if err := json.Unmarshal([]byte(printed), &l); err != nil || l.Offset == 0 || l.Time == 0 {
			t.Errorf("%v: %s", err, printed)
		}
		got = append(got, l.Channel+" "+string(l.Data)+" "+l.Tags["lang"])
	}
	want := []string{`news {"text":"hello"} en`, `chat:1 "hello <you>" `, "news 2 ", `news {"n":3} `}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("printed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSubscribeSince(t *testing.T) {
	file := server(t, "dev: true")
	out, _, err := run(t, "", "publish", "news", "1", "--config", file)
	if err != nil {
		t.Fatal(err)
	}
	var at struct{ Epoch string }
	if err := json.Unmarshal([]byte(out), &at); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t, "2\n3\n", "publish", "news", "--config", file); err != nil {
		t.Fatal(err)
	}
	out, _, err = run(t, "", "subscribe", "news", "--config", file, "--since", at.Epoch+":1", "-n", "2")
	if err != nil || strings.Count(out, "\n") != 2 || !strings.Contains(out, `"data":2,"offset":2`) {
		t.Errorf("%v:\n%s", err, out)
	}
	lost := begin(t, "", "subscribe", "news", "--config", file, "--since", "another:1")
	lost.err.until(t, "could not be fetched")
	lost.cancel() // as a signal does
	if err := lost.wait(t); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

const closed = "app: {secret: s3cret}\napi: {key: k}\nchannel: {namespaces: [{name: chat}]}\n"

func TestSubscribeAsUser(t *testing.T) {
	file := server(t, closed)
	listener := begin(t, "", "subscribe", "$chat:1", "--config", file, "--user", "42", "-n", "1")
	listener.err.until(t, "subscribed at")
	if _, _, err := run(t, "", "publish", "$chat:1", "1", "--config", file); err != nil {
		t.Fatal(err)
	}
	if err := listener.wait(t); err != nil || !strings.Contains(listener.out.String(), `"data":1`) {
		t.Errorf("%v: %s", err, &listener.out)
	}
}

func TestErrorsThatEndACommand(t *testing.T) {
	file := server(t, closed)
	other := write(t, "other.yaml", "app: {secret: another}")
	token, _, err := run(t, "", "token", "--config", other, "--user", "42")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		stdin string
		args  []string
		want  string
	}{
		{"no channel to subscribe", "", []string{"subscribe"}, "CHANNEL"},
		{"no channel to publish", "", []string{"publish"}, "CHANNEL"},
		{"words not quoted", "", []string{"publish", "news", "hello", "you"}, "quote"},
		{"no JSON", "", []string{"publish", "chat:1", "hello", "--config", file}, "--text"},
		{"a line that is no JSON", "1\nhello\n", []string{"publish", "chat:1", "--config", file}, "line 2"},
		{"one key for many", "1\n", []string{"publish", "chat:1", "--config", file, "--idempotency-key", "x"}, "--idempotency-key"},
		{"wrong API key", "", []string{"publish", "chat:1", "1", "--config", file, "--api-key", "x"}, "wrong API key (code 101): give the server's api.key"},
		{"wrong API key, many", "1\n2\n3\n", []string{"publish", "chat:1", "--config", file, "--api-key", "x"}, "API key"},
		{"unknown namespace", "", []string{"publish", "nowhere:1", "1", "--config", file}, "code 102"},
		{"unknown namespace, many", "1\n", []string{"publish", "nowhere:1", "--config", file}, "code 102"},
		{"no server", "", []string{"publish", "chat:1", "1", "--config", file, "--server", "127.0.0.1:1"}, "no server at 127.0.0.1:1: start one"},
		{"an address that is none", "", []string{"publish", "chat:1", "1", "--config", file, "--server", "ftp://x"}, "address"},

		{"subscribe without a token", "", []string{"subscribe", "chat:1", "--config", file}, "10"},
		{"token of another secret", "", []string{"subscribe", "chat:1", "--config", file, "--token", strings.TrimSpace(token)}, "invalid token"},
		{"channel that is shut", "", []string{"subscribe", "chat:1", "--config", file, "--user", "42"}, "permission denied"},
		{"token and user", "", []string{"subscribe", "chat:1", "--config", file, "--user", "42", "--token", "x"}, "--token"},
		{"no position", "", []string{"subscribe", "chat:1", "--config", file, "--since", "12"}, "EPOCH:OFFSET"},
		{"a position of two", "", []string{"subscribe", "a", "b", "--config", file, "--since", "x:12"}, "one channel"},

		{"token without a secret", "", []string{"token", "--user", "ann"}, "app.secret"},
		{"token with bad info", "", []string{"token", "--config", file, "--info", "{"}, "JSON"},
		{"token of the past", "", []string{"token", "--config", file, "--expire", "-1h"}, "--expire"},
		{"unknown verb", "", []string{"launch"}, "launch"},
		{"unknown flag", "", []string{"serve", "--lisen", "x"}, "--help"},
		{"unknown argument", "", []string{"serve", "now"}, "now"},
		{"config of a misspelt key", "", []string{"config", "check", "--config", write(t, "bad.yaml", "clint: {}")}, "did you mean client?"},
		{"port in use", "", []string{"serve", "--config", file}, "--listen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, _, err := run(t, tt.stdin, tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one line with %q\n%s", err, tt.want, out)
			}
		})
	}
}

func TestToken(t *testing.T) {
	file := write(t, "a.yaml", "app: {secret: s3cret}")
	v := auth.New(auth.Config{Secret: "s3cret"})
	out, _, err := run(t, "", "token", "--config", file, "--user", "42", "--info", `{"name":"Ann"}`, "--expire", "1h")
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Connection(strings.TrimSpace(out))
	if err != nil || id.User != "42" || string(id.Info) != `{"name":"Ann"}` || time.Until(id.ExpireAt) > time.Hour {
		t.Errorf("%+v, %v", id, err)
	}
	out, _, err = run(t, "", "token", "--config", file, "--user", "42", "--channel", "$chat:1", "--expire", "0")
	if err != nil {
		t.Fatal(err)
	}
	grant, err := v.Subscription(strings.TrimSpace(out))
	if err != nil || grant.Channel != "$chat:1" || !grant.ExpireAt.IsZero() {
		t.Errorf("%+v, %v", grant, err)
	}
	if out, _, err := run(t, "", "token", "--dev"); err != nil || strings.Count(out, ".") != 2 {
		t.Errorf("%s, %v", out, err)
	}
}

func TestConfig(t *testing.T) {
	file := write(t, "a.yaml", "app: {secret: s3cret}\nclient: {allow_anonymous: true}\n")
	if _, _, err := run(t, "", "config", "check", "--config", file); err != nil {
		t.Error(err)
	}
	out, _, err := run(t, "", "config", "print", "--config", file, "--log-level", "debug")
	if err != nil || strings.Contains(out, "s3cret") || !strings.Contains(out, "allow_anonymous: true") || !strings.Contains(out, "level: debug") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestVersion(t *testing.T) {
	out, _, err := run(t, "", "version")
	if err != nil || !strings.HasPrefix(out, "fanfare ") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestServe(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		c := begin(t, "", "serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--log-level", "error", "--log-format", format)
		c.err.until(t, "listening")
		c.out.until(t, "http://127.0.0.1:")
		c.cancel()
		if err := c.wait(t); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if log := c.err.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "addr") {
			t.Errorf("%s: besides where it listens nothing is worth an error:\n%s", format, log)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, cmd := range root().Commands() {
		if cmd.Name() == "version" || cmd.HasSubCommands() {
			continue
		}
		if cmd.Short == "" || !strings.Contains(cmd.Example, "fanfare "+cmd.Name()) {
			t.Errorf("%s has no example", cmd.Name())
		}
	}
}

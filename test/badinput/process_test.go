package badinput

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/test/server"
)

// TestStarts: a server that cannot do what it is told says why on one line, in
// words that name the culprit, and ends with an exit code that is not 0.
func TestStarts(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	tests := []struct {
		name   string
		config string
		file   string // name of the config file
		args   []string
		env    []string
		prep   func(t *testing.T, dir string)
		want   []string // words of the message
	}{
		{name: "port in use", args: []string{"--listen", taken.Addr().String()}, want: []string{taken.Addr().String(), "address already in use"}},
		{name: "no address", args: []string{"--listen", "nowhere"}, want: []string{"nowhere"}},
		{name: "unknown flag", args: []string{"--lisen", "x"}, want: []string{"--lisen"}},
		{name: "unknown argument", args: []string{"now"}, want: []string{"now"}},
		{name: "--dev beyond loopback", args: []string{"--dev", "--listen", "0.0.0.0:0"}, want: []string{"dev", "loopback"}},

		{name: "no such config", args: []string{"--config", "missing.yaml"}, want: []string{"missing.yaml", "no such file"}},
		{name: "a directory for a config", args: []string{"--config", "."}, want: []string{"config"}},
		{name: "unknown kind of config", config: "listen: x", file: "fanfare.ini", want: []string{"fanfare.ini", "yaml"}},
		{name: "no YAML", config: "listen: [", want: []string{"fanfare.yaml"}},
		{name: "no TOML", config: "listen = ", file: "fanfare.toml", want: []string{"fanfare.toml"}},
		{name: "no JSON", config: `{"listen":`, file: "fanfare.json", want: []string{"fanfare.json"}},
		{name: "no text", config: "\x00\xff\xfe", want: []string{"fanfare.yaml"}},
		{name: "a misspelt key", config: "clint:\n  allow_anonymous: true\n", want: []string{"clint", "client"}},
		{name: "a misspelt key inside", config: "client:\n  alow_anonymous: true\n", want: []string{"alow_anonymous", "allow_anonymous"}},
		{name: "a misspelt option", config: namespace("histroy_size: 10"), want: []string{"histroy_size", "history_size"}},
		{name: "a misspelt environment variable", env: []string{"FANFARE_LISEN=x"}, want: []string{"FANFARE_LISEN", "FANFARE_LISTEN"}},
		{name: "a value of the wrong type", config: "client:\n  allow_anonymous: perhaps\n", want: []string{"allow_anonymous"}},
		{name: "a duration without unit", config: "client:\n  ping_interval: soon\n", want: []string{"ping_interval"}},
		{name: "an option out of range", config: namespace("history_size: -1\n      history_ttl: 1h"), want: []string{"chat", "history_size"}},
		{name: "half a history", config: namespace("history_size: 10"), want: []string{"chat", "history_size", "history_ttl"}},
		{name: "recovery without history", config: namespace("force_recovery: true"), want: []string{"chat", "history"}},
		{name: "a regex that is none", config: namespace(`channel_regex: "["`), want: []string{"chat", "channel_regex"}},
		{name: "a namespace twice", config: namespace("presence: true\n    - name: chat"), want: []string{"chat", "twice"}},
		{name: "a bad namespace", config: "channel:\n  namespaces:\n    - name: \"a b\"\n", want: []string{"a b"}},

		{name: "a data directory of a newer version", prep: newerFormat, want: []string{"newer version", "format 99"}},
		{name: "a data directory that is something else", prep: foreignFormat, want: []string{"cannot be read", "restore a backup"}},
		{name: "a data directory that is a file", prep: fileForDirectory, want: []string{"data directory"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.prep != nil {
				tt.prep(t, dir)
			}
			code, output := failing(t, server.Options{Bin: bin, Dir: dir, Config: tt.config, ConfigName: tt.file, Args: tt.args, Env: tt.env})
			if code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			for _, word := range tt.want {
				if !strings.Contains(output, word) {
					t.Errorf("does not say %q:\n%s", word, output)
				}
			}
			if strings.Contains(output, "goroutine ") || strings.Contains(output, "panic:") {
				t.Errorf("crashed:\n%s", output)
			}
		})
	}
}

// failing starts a server that must not come to listen.
func failing(t *testing.T, opts server.Options) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	srv, err := server.Start(ctx, opts)
	if err == nil {
		srv.Kill()
		t.Fatalf("it listens:\n%s", srv.Output())
	}
	var exit *server.ExitError
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return exit.Code, exit.Output
}

func namespace(options string) string {
	return "channel:\n  namespaces:\n    - name: chat\n      " + options + "\n"
}

func newerFormat(t *testing.T, dir string) {
	t.Helper()
	used(t, dir)
	write(t, filepath.Join(dir, "data", "FORMAT"), "fanfare data directory, format 99\n")
}

func foreignFormat(t *testing.T, dir string) {
	t.Helper()
	used(t, dir)
	write(t, filepath.Join(dir, "data", "FORMAT"), "somebody else's\n")
}

func fileForDirectory(t *testing.T, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "data"), "")
}

// used makes a data directory as a server leaves it.
func used(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if code, err := srv.Stop(ctx); err != nil || code != 0 {
		t.Fatalf("stop: %d, %v", code, err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLockedDataDirectory: a second server must not touch what the first one uses.
func TestLockedDataDirectory(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	first, err := server.Start(ctx, server.Options{Bin: bin, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	code, output := failing(t, server.Options{Bin: bin, Dir: dir})
	if code != 1 || !strings.Contains(output, "in use by another fanfare process") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	if code, err := first.Stop(ctx); err != nil || code != 0 {
		t.Errorf("the first one: %d, %v\n%s", code, err, first.Output())
	}
}

// TestUnreadableConfig: a file that may not be read is not a file that is empty.
func TestUnreadableConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret.yaml")
	// A link to itself cannot be read by anybody, root included.
	if err := os.Symlink(file, file); err != nil {
		t.Fatal(err)
	}
	code, output := failing(t, server.Options{Bin: bin, Dir: dir, Args: []string{"--config", file}})
	if code != 1 || !strings.Contains(output, "secret.yaml") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
}

// TestVerbs: the other commands fail as clearly, without a server.
func TestVerbs(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"version", []string{"version"}, 0, "fanfare"},
		{"unknown verb", []string{"launch"}, 1, "launch"},
		{"config check of nothing", []string{"config", "check", "--config", "missing.yaml"}, 1, "missing.yaml"},
		{"publish without a channel", []string{"publish"}, 1, "CHANNEL"},
		{"subscribe without a channel", []string{"subscribe"}, 1, "CHANNEL"},
		{"token without a secret", []string{"token", "--user", "ann"}, 1, "secret"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			code, output, err := server.Run(ctx, server.Options{Bin: bin, Dir: t.TempDir()}, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if code != tt.code || !strings.Contains(output, tt.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.want, output)
			}
		})
	}
}

// TestConfigCheck: what serve refuses, config check refuses, and the other way
// round; secrets are not printed.
func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "good.yaml"), serverConfig)
	write(t, filepath.Join(dir, "bad.yaml"), namespace("history_size: 10"))
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	opts := server.Options{Bin: bin, Dir: dir}
	if code, output, err := server.Run(ctx, opts, "config", "check", "--config", "good.yaml"); err != nil || code != 0 {
		t.Errorf("good: %d, %v\n%s", code, err, output)
	}
	if code, output, err := server.Run(ctx, opts, "config", "check", "--config", "bad.yaml"); err != nil || code != 1 || !strings.Contains(output, "history_ttl") {
		t.Errorf("bad: %d, %v\n%s", code, err, output)
	}
	code, output, err := server.Run(ctx, opts, "config", "print", "--config", "good.yaml")
	if err != nil || code != 0 || !strings.Contains(output, "allow_anonymous") {
		t.Errorf("print: %d, %v\n%s", code, err, output)
	}
	for _, secret := range []string{"bad-input-secret", apiKey + "\n"} {
		if strings.Contains(output, secret) {
			t.Errorf("prints the secret %q:\n%s", secret, output)
		}
	}
}

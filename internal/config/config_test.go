package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// file writes a config file of a kind.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, s Sources) Config {
	t.Helper()
	c, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFormatsSayTheSame(t *testing.T) {
	files := map[string]string{
		"a.yaml": "client:\n  ping_interval: 10s\n  allowed_origins: [\"https://*.example.org\"]\n  outbox_max_bytes: 64KiB\n" +
			"channel:\n  namespaces:\n    - name: chat\n      prefixes: [chat-]\n      history_size: 10\n      history_ttl: 168h\n    - name: plain\n",
		"a.YML": "client: {ping_interval: 10s, allowed_origins: ['https://*.example.org'], outbox_max_bytes: 65536}\n" +
			"channel: {namespaces: [{name: chat, prefixes: [chat-], history_size: 10, history_ttl: 168h}, {name: plain}]}\n",
		"a.toml": "[client]\nping_interval = \"10s\"\nallowed_origins = [\"https://*.example.org\"]\noutbox_max_bytes = 65536\n" +
			"[[channel.namespaces]]\nname = \"chat\"\nprefixes = [\"chat-\"]\nhistory_size = 10\nhistory_ttl = \"168h\"\n[[channel.namespaces]]\nname = \"plain\"\n",
		"a.json": `{"client":{"ping_interval":"10s","allowed_origins":["https://*.example.org"],"outbox_max_bytes":65536},` +
			`"channel":{"namespaces":[{"name":"chat","prefixes":["chat-"],"history_size":10,"history_ttl":"168h"},{"name":"plain"}]}}`,
	}
	for name, text := range files {
		t.Run(name, func(t *testing.T) {
			c := load(t, Sources{File: file(t, name, text)})
			if c.Client.PingInterval != 10*time.Second || c.Client.OutboxMaxBytes != 64<<10 ||
				!slices.Equal(c.Client.AllowedOrigins, []string{"https://*.example.org"}) {
				t.Errorf("%+v", c.Client)
			}
			want := []channel.Namespace{
				{Name: "chat", Prefixes: []string{"chat-"}, Options: channel.Options{HistorySize: 10, HistoryTTL: 168 * time.Hour}}, {Name: "plain"},
			}
			if !reflect.DeepEqual(c.Channel.Namespaces, want) {
				t.Errorf("%+v", c.Channel.Namespaces)
			}
			if c.Client.MaxChannels != Default().Client.MaxChannels {
				t.Error("what is not in the file is not the default")
			}
		})
	}
}

func TestWhoGoesFirst(t *testing.T) {
	s := Sources{File: file(t, "a.yaml", "listen: 127.0.0.1:1\ndata_dir: file\nshutdown_timeout: 1s\n")}
	c := load(t, s)
	if c.Listen != "127.0.0.1:1" || c.DataDir != "file" || c.ShutdownTimeout != time.Second {
		t.Errorf("file: %+v", c)
	}
	s.Env = []string{"FANFARE_LISTEN=127.0.0.1:2", "FANFARE_DATA_DIR=environment", "FANFARE_SHUTDOWN_TIMEOUT=", "PATH=x", "FANFARES=1"}
	c = load(t, s)
	if c.Listen != "127.0.0.1:2" || c.DataDir != "environment" || c.ShutdownTimeout != time.Second {
		t.Errorf("environment: %+v", c)
	}
	s.Flags = map[string]string{"listen": "127.0.0.1:3"}
	c = load(t, s)
	if c.Listen != "127.0.0.1:3" || c.DataDir != "environment" {
		t.Errorf("flags: %+v", c)
	}
}

func TestEverySettingHasAVariable(t *testing.T) {
	seen := map[string]string{}
	for _, s := range settings(configType) {
		if other := seen[env(s.key)]; other != "" {
			t.Errorf("%s and %s are both %s", s.key, other, env(s.key))
		}
		seen[env(s.key)] = s.key
	}
	c := load(t, Sources{Env: []string{
		"FANFARE_CLIENT_PING_INTERVAL=5s", "FANFARE_CLIENT_PONG_TIMEOUT=1s", "FANFARE_CLIENT_ALLOW_ANONYMOUS=true",
		"FANFARE_CLIENT_MAX_CHANNELS=7", "FANFARE_CLIENT_ALLOWED_ORIGINS=https://a.example, https://b.example",
		"FANFARE_API_MAX_BODY_SIZE=1MB", "FANFARE_APP_SECRET=0123", "FANFARE_CHANNEL_WITHOUT_NAMESPACE_PRESENCE=1",
		`FANFARE_CHANNEL_NAMESPACES=[{"name":"chat","history_size":5,"history_ttl":"1m"}]`,
		// what else may be there
		"FANFARE_CONFIG=x", "FANFARE_SERVER=x", "FANFARE_TOKEN=x", "FANFARE_BIN=x",
		"FANFARE_SERVICE_HOST=x", "FANFARE_SERVICE_PORT_HTTP=1", "FANFARE_PORT=tcp://x", "FANFARE_PORT_8000_TCP_ADDR=x",
	}})
	if c.Client.PingInterval != 5*time.Second || !c.Client.AllowAnonymous || c.Client.MaxChannels != 7 ||
		!slices.Equal(c.Client.AllowedOrigins, []string{"https://a.example", "https://b.example"}) ||
		c.API.MaxBodySize != 1e6 || c.App.Secret != "0123" || !c.Channel.WithoutNamespace.Presence ||
		len(c.Channel.Namespaces) != 1 || c.Channel.Namespaces[0].HistoryTTL != time.Minute {
		t.Errorf("%+v", c)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	namespace := func(options string) string {
		return "channel:\n  namespaces:\n    - name: chat\n      " + options + "\n"
	}
	tests := []struct {
		name, yaml string
		env        string
		want       []string
	}{
		{name: "misspelt group", yaml: "clint: {}", want: []string{"a.yaml: clint:", "did you mean client?"}},
		{name: "misspelt setting", yaml: "client: {alow_anonymous: true}", want: []string{"client.alow_anonymous", "did you mean client.allow_anonymous?"}},
		{name: "in the wrong place", yaml: "history_size: 1", want: []string{"did you mean channel.without_namespace.history_size?"}},
		{name: "one level too high", yaml: "log_level: debug", want: []string{"did you mean log.level?"}},
		{name: "misspelt option", yaml: namespace("histroy_size: 10"), want: []string{"channel.namespaces[chat].histroy_size", "did you mean channel.namespaces[chat].history_size?"}},
		{name: "misspelt variable", env: "FANFARE_LISEN=x", want: []string{"FANFARE_LISEN", "did you mean FANFARE_LISTEN?"}},
		{name: "all at once", yaml: "a: 1\nb: 2", want: []string{"a.yaml: a:", "a.yaml: b:"}},

		{name: "group that is text", yaml: "client: x", want: []string{"a.yaml: client: must be a group of settings"}},
		{name: "list at the top", yaml: "[1]", want: []string{"a.yaml"}},
		{name: "bool", yaml: "client: {allow_anonymous: perhaps}", want: []string{"client.allow_anonymous: must be true or false"}},
		{name: "duration without unit", yaml: "client: {ping_interval: 25}", want: []string{"client.ping_interval: must be a duration such as"}},
		{name: "duration", yaml: "client: {ping_interval: soon}", want: []string{"client.ping_interval: must be a duration"}},
		{name: "size", yaml: "api: {max_body_size: 1 apple}", want: []string{"api.max_body_size: must be a size"}},
		{name: "number", yaml: "client: {max_channels: 1.5}", want: []string{"client.max_channels: must be a whole number"}},
		{name: "text", yaml: "data_dir: 7", want: []string{"data_dir: must be text: put it in quotes"}},
		{name: "list", yaml: "client: {allowed_origins: {a: b}}", want: []string{"client.allowed_origins: must be a list"}},
		{name: "list of numbers", yaml: "client: {allowed_origins: [1]}", want: []string{"client.allowed_origins: must be a list"}},
		{name: "namespaces", yaml: "channel: {namespaces: {chat: {}}}", want: []string{"channel.namespaces: must be a list of namespaces"}},
		{name: "namespace", yaml: "channel: {namespaces: [chat]}", want: []string{"channel.namespaces[0]: must be a group"}},
		{name: "namespaces in the environment", env: "FANFARE_CHANNEL_NAMESPACES=[", want: []string{"FANFARE_CHANNEL_NAMESPACES: channel.namespaces: must be a list of namespaces in JSON"}},

		{name: "range", yaml: "client: {ping_interval: 2h}", want: []string{"client.ping_interval: 2h0m0s is not allowed, it must be 1s to 1h"}},
		{name: "range of sizes", yaml: "api: {max_body_size: 1}", want: []string{"api.max_body_size: 1B is not allowed, it must be 1KiB to 1GiB"}},
		{name: "choice", yaml: "log: {level: loud}", want: []string{"log.level: loud is not allowed, it must be debug, info, warn or error"}},
		{name: "pong after ping", yaml: "client: {ping_interval: 2s, pong_timeout: 2s}", want: []string{"client.pong_timeout", "client.ping_interval"}},
		{name: "half seconds", yaml: "client: {ping_interval: 9500ms}", want: []string{"whole seconds"}},
		{name: "address", yaml: "listen: nowhere", want: []string{"listen", "nowhere", "host:port"}},
		{name: "port", yaml: "listen: 127.0.0.1:http", want: []string{"listen", "host:port"}},
		{name: "dev for everybody", yaml: "dev: true\nlisten: :8000", want: []string{"listen", "loopback", "--dev"}},
		{name: "origin", yaml: "client: {allowed_origins: [app.example.org]}", want: []string{"allowed_origins", "app.example.org", "scheme://host"}},
		{name: "origin with path", yaml: "client: {allowed_origins: ['https://app.example.org/x']}", want: []string{"allowed_origins"}},
		{name: "half a history", yaml: namespace("history_size: 10"), want: []string{`"chat"`, "history_size", "history_ttl"}},
		{name: "durability", yaml: namespace("history_durability: paper"), want: []string{`"chat"`, "history_durability", "disk"}},
		{name: "placeholder", yaml: "app: {secret: …}", want: []string{"app.secret: this is a placeholder", "openssl rand -hex 32", "FANFARE_APP_SECRET"}},
		{name: "placeholder in the environment", env: "FANFARE_API_KEY=change-me", want: []string{"api.key: this is a placeholder"}},
		{name: "nothing to require", yaml: "audit: {required: true}", want: []string{"audit.required", "audit.file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Sources{File: file(t, "a.yaml", tt.yaml)}
			if tt.env != "" {
				s.Env = []string{tt.env}
			}
			_, err := Load(s)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	large := file(t, "large.yaml", strings.Repeat("#", maxFile+1))
	tests := []struct {
		name, file string
		want       []string
	}{
		{"none", filepath.Join(t.TempDir(), "missing.yaml"), []string{"missing.yaml", "no such file"}},
		{"none of that kind", filepath.Join(t.TempDir(), "missing.ini"), []string{"missing.ini", "no such file"}},
		{"directory", t.TempDir(), []string{"cannot be read", "directory"}},
		{"unknown kind", file(t, "a.ini", ""), []string{"a.ini", ".yaml"}},
		{"too large", large, []string{"large.yaml", "more than 1MiB"}},
		{"no YAML", file(t, "a.yaml", "listen: ["), []string{"a.yaml", "not valid yaml"}},
		{"no text", file(t, "a.yaml", "\x00\xff\xfe"), []string{"a.yaml", "not valid yaml"}},
		{"no TOML", file(t, "a.toml", "listen = "), []string{"a.toml", "not valid toml"}},
		{"no JSON", file(t, "a.json", `{"listen":`), []string{"a.json", "not valid json"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(Sources{File: tt.file})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("does not say %q: %v", want, err)
				}
			}
		})
	}
}

func TestEmptyFilesAreDefaults(t *testing.T) {
	for name, text := range map[string]string{"a.yaml": "# nothing\n", "b.yaml": "client:\nlog: {}\n", "a.toml": "", "a.json": "{}"} {
		if c := load(t, Sources{File: file(t, name, text)}); c.Listen != Default().Listen {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestDevMode(t *testing.T) {
	c := load(t, Sources{Flags: map[string]string{"dev": "true"}})
	if c.API.Key != "dev" || !c.Client.AllowAnonymous {
		t.Errorf("%+v", c)
	}
	ns, err := c.Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"news", "chat:lobby", "any.thing:x"} {
		o, err := ns.Resolve(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if o.HistorySize != 100 || o.HistoryTTL != time.Hour || !o.Presence || !o.ForceRecovery {
			t.Errorf("%s: %+v", name, o)
		}
		for _, op := range []channel.Op{channel.Subscribe, channel.Publish, channel.Presence, channel.History} {
			if d := channel.Decide(channel.Request{Op: op, Channel: name, Options: o, Identity: &channel.Identity{}}); !d.Allowed {
				t.Errorf("%s %s: %s", op, name, d.Rule)
			}
		}
	}
}

func TestDevModeGivesWayToTheFile(t *testing.T) {
	text := "dev: true\napi: {key: mine}\nchannel:\n  without_namespace: {history_size: 0}\n  namespaces:\n" +
		"    - {name: chat, history_size: 5}\n    - {name: cursor, history_size: 0}\n"
	c := load(t, Sources{File: file(t, "a.yaml", text)})
	if c.API.Key != "mine" || !c.Client.AllowAnonymous {
		t.Errorf("%+v", c)
	}
	ns, err := c.Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"x": 0, "chat:x": 5, "cursor:x": 0, "other:x": 100} {
		o, err := ns.Resolve(name)
		if err != nil || o.HistorySize != want || !o.AllowPublishForAnonymous {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func TestOutsideDevEverythingIsShut(t *testing.T) {
	c := load(t, Sources{})
	ns, err := c.Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	o, err := ns.Resolve("news")
	if err != nil || !reflect.DeepEqual(*o, channel.Options{}) || c.Client.AllowAnonymous || c.API.Key != "" || c.App.Secret != "" {
		t.Errorf("%+v, %+v, %v", c, o, err)
	}
	if _, err := ns.Resolve("chat:x"); err == nil {
		t.Error("an unknown namespace is known")
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	const secret = "do-not-show-me"
	c := load(t, Sources{File: file(t, "a.yaml", "app: {secret: "+secret+"}\napi: {key: "+secret+"}\n")})
	printed, err := c.Print()
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "key", c.API.Key, "all", c)
	for name, text := range map[string]string{
		"print": string(printed), "log": logged.String(),
		"v": fmt.Sprintf("%v", c), "+v": fmt.Sprintf("%+v", c), "#v": fmt.Sprintf("%#v", c), "s": c.App.Secret.String(),
	} {
		if strings.Contains(text, secret) || !strings.Contains(text, mask) {
			t.Errorf("%s: %s", name, text)
		}
	}
	for _, bad := range []string{"app: {secret: [" + secret + "]}", "api: " + secret, "app: {" + secret + "}: x"} {
		if _, err := Load(Sources{File: file(t, "a.yaml", bad)}); err == nil || strings.Contains(strings.ReplaceAll(err.Error(), "app."+secret, ""), secret) {
			t.Errorf("%v", err)
		}
	}
}

// What is printed says the same when it is read again.
func TestPrintIsReadable(t *testing.T) {
	text := "listen: :8000\nclient: {ping_interval: 90s, outbox_max_bytes: 100KB}\n" +
		"channel: {without_namespace: {presence: true}, namespaces: [{name: chat, history_size: 5, history_ttl: 36h}]}\n"
	c := load(t, Sources{File: file(t, "a.yaml", text)})
	printed, err := c.Print()
	if err != nil {
		t.Fatal(err)
	}
	again, err := load(t, Sources{File: file(t, "b.yaml", string(printed))}).printed()
	if err != nil || again != string(printed) {
		t.Errorf("%v\n%s\nagain:\n%s", err, printed, again)
	}
	if !strings.Contains(again, "ping_interval: 1m30s") || !strings.Contains(again, "max_message_size: 1MiB") {
		t.Error(again)
	}
}

func (c Config) printed() (string, error) { b, err := c.Print(); return string(b), err }

func TestSizes(t *testing.T) {
	good := map[string]Size{
		"0": 0, "17": 17, "64KB": 64000, "64kb": 64000, "64KiB": 64 << 10, "1 MiB": 1 << 20, "1.5GiB": 3 << 29, "2TB": 2e12, "12B": 12,
	}
	for text, want := range good {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "B", "KiB", "x", "1 apple", "1e400", "NaN", "99999999999PiB", "1,5MB"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
	for size, want := range map[Size]string{0: "0B", 1000: "1000B", 1024: "1KiB", 3 << 29: "1536MiB", 64 << 30: "64GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d: %s, want %s", int64(size), got, want)
		}
	}
}

// Webhooks go to the internet, over TLS, but for hosts that are named.
func TestWebhookAddresses(t *testing.T) {
	for url, want := range map[string]string{
		"https://backend.example.org/":           "",
		"https://ann:hush@backend.example.org/":  "",
		"http://10.0.0.1:3000/":                  "",
		"http://ann:hush@10.0.0.1/":              "",
		"http://backend.example.org/":            "must be https",
		"http://ann:hush@10.0.0.2/":              "must be https",
		"https://10.0.0.2/":                      "not public",
		"https://[::ffff:10.0.0.1]/":             "not public",
		"https://[fd00::1]/":                     "not public",
		"https://169.254.169.254/latest/":        "not public",
		"ftp://backend.example.org/":             "not a URL",
		"backend":                                "not a URL",
		"https://ann:hush@backend.example.org:x": "not a URL",
	} {
		_, err := Load(Sources{Env: []string{"FANFARE_APP_KEY=k", "FANFARE_APP_SECRET=s", "FANFARE_WEBHOOK_TRUSTED_HOSTS=10.0.0.1", "FANFARE_WEBHOOK_URLS=" + url}})
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", url, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "webhook.trusted_hosts")):
			t.Errorf("%s: %v, want %q", url, err, want)
		case err != nil && strings.Contains(err.Error(), "hush"):
			t.Errorf("%s: the error shows a password: %v", url, err)
		}
	}
}

func FuzzYAML(f *testing.F) {
	f.Add("listen: :8000\nclient: {ping_interval: 1s}\n")
	f.Add("channel: {namespaces: [{name: chat, history_size: 1}, 7, {1: 2}]}")
	f.Add("? [a]\n: b\n")
	f.Add("client: {allowed_origins: [a, [b]], max_channels: 1e9}")
	path := filepath.Join(f.TempDir(), "a.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Sources{File: path})
		if err != nil {
			return
		}
		if _, err := c.Print(); err != nil {
			t.Error(err)
		}
	})
}

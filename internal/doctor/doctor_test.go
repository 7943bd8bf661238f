package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Secrets as openssl rand -hex 32 makes them.
const (
	drawn      = "9f3c1d7e52ab40686e0d95c4b17fa28c3d6e8b90f1427a5c6b3e0d98f7a1c254"
	drawnToo   = "1b7e4f90c8d35a26e7f01d4b9c6a83527de0f4b8916c3a5d2e7f8b0c4d9a6153"
	drawnThird = "c05e9b27f8d1463a7b3c0e5f9d2a81647f6b0d3e8c9a5142b7d0f6e3a8c19457"
)

// good trips no rule.
const good = "app: {secret: " + drawn + "}\napi: {key: " + drawnToo + "}\n"

// fakeMachine is a machine whose files are as good as they can be, but for those
// that are named.
type fakeMachine struct {
	modes       map[string]fs.FileMode
	volatile    bool
	descriptors int // 0: unknown
}

func (m fakeMachine) Mode(path string) (fs.FileMode, error) {
	if mode, there := m.modes[path]; there {
		return mode, nil
	}
	return 0, fs.ErrNotExist
}
func (m fakeMachine) Volatile(string) bool     { return m.volatile }
func (m fakeMachine) Descriptors() (int, bool) { return m.descriptors, m.descriptors > 0 }

func load(t *testing.T, yaml string) config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func namespace(options string) string {
	return good + "channel: {namespaces: [{name: chat, " + options + "}]}\n"
}

// hooks and webhook end with a line break, so that more can follow.
// cluster is that of three nodes.
func cluster(listen, peers, settings string) string {
	return good + "cluster: {name: c, node: n1, secret: " + drawnThird + ", listen: '" + listen + "', peers: [" + peers + "]" + settings + "}\n"
}

func hooks(settings string) string { return good + "hooks: {" + settings + "}\n" }

func webhook(settings string) string {
	return "app: {key: k, secret: " + drawn + "}\nwebhook: {urls: ['https://backend.example.org/'], " + settings + "}\n"
}

func secrets(app, api string) string {
	return "app: {secret: '" + app + "'}\napi: {key: '" + api + "'}\n"
}

const (
	jwks    = "api: {key: " + drawnToo + "}\ntokens: {jwks_url: 'https://id.example.org/keys', audience: push}\n"
	history = "history_size: 10, history_ttl: 1h"
)

// cases are, for each rule, what trips it and the nearest thing that does not.
var cases = []struct {
	rule     string
	yaml     string
	machine  Machine
	severity Severity // "": the rule is silent
	setting  string
}{
	{"dev_mode", "dev: true", nil, Error, "dev"},
	{"dev_mode", good, nil, "", ""},

	{"secret_weak", secrets("0a1b2c3d4e5f6a7", drawnToo), nil, Error, "app.secret"},
	{"secret_weak", secrets(drawn, "0a1b2c3d4e5f6a7b"), nil, Warning, "api.key"},
	{"secret_weak", secrets("my-secret-"+drawn, drawnToo), nil, Error, "app.secret"},
	{"secret_weak", secrets(strings.Repeat("abcabc", 8), drawnToo), nil, Error, "app.secret"},
	{"secret_weak", good + "tokens: {previous_secret: short}", nil, Error, "tokens.previous_secret"},
	{"secret_weak", good + "apps: [{name: shop, keys: [{id: k, scope: sign, secret: short}]}]", nil, Error, "apps[shop].keys[k].secret"},
	{"anonymous_publish", good + "apps: [{name: shop, allow_anonymous: true, without_namespace: {allow_publish_for_client: true, allow_publish_for_anonymous: true}}]", nil, Error, "apps[shop].without_namespace.allow_publish_for_anonymous"},
	{"secret_weak", secrets("0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d", drawnToo), nil, "", ""},
	{"secret_weak", secrets("", ""), nil, "", ""},

	{"secret_shared", secrets(drawn, drawn), nil, Error, "app.secret"},
	{"secret_shared", good + "tokens: {previous_secret: " + drawn + "}", nil, Error, "app.secret"},
	{"secret_shared", "app: {key: " + drawn + ", secret: " + drawn + "}", nil, Error, "app.secret"},
	{"secret_shared", good + "tokens: {previous_secret: " + drawnThird + "}", nil, "", ""},
	{"secret_shared", hooks("secret: " + drawnToo), nil, Error, "api.key"},
	{"secret_shared", secrets("", ""), nil, "", ""},

	{"token_keys", secrets("", drawn), nil, Warning, "app.secret"},
	{"token_keys", secrets("", drawn) + "client: {allow_anonymous: true}", nil, "", ""},
	{"token_keys", jwks, nil, "", ""},
	{"token_keys", "hooks: {connect_url: 'https://backend.example.org/'}", nil, "", ""},

	{"token_keys_two_kinds", jwks + "app: {secret: " + drawn + "}", nil, Note, "tokens"},
	{"token_keys_two_kinds", good + "tokens: {public_keys: [a.pem]}", nil, Note, "tokens"},
	{"token_keys_two_kinds", jwks, nil, "", ""},

	{"previous_secret", good + "tokens: {previous_secret: " + drawnThird + "}", nil, Note, "tokens.previous_secret"},
	{"previous_secret", good, nil, "", ""},

	{"jwks_audience", "tokens: {jwks_url: 'https://id.example.org/keys'}", nil, Warning, "tokens.audience"},
	{"jwks_audience", jwks, nil, "", ""},

	{"jwks_plain", "tokens: {jwks_url: 'http://keys.internal/', jwks_trusted_hosts: [keys.internal]}", nil, Error, "tokens.jwks_url"},
	{"jwks_plain", "tokens: {jwks_url: 'http://127.0.0.1:3000/', jwks_trusted_hosts: [127.0.0.1]}", nil, "", ""},
	{"jwks_plain", jwks, nil, "", ""},

	{"api_key", secrets(drawn, ""), nil, Note, "api.key"},
	{"api_key", good, nil, "", ""},

	{"pusher_halfway", "app: {key: abc}", nil, Warning, "app.secret"},
	{"pusher_halfway", "app: {id: abc, secret: " + drawn + "}", nil, Warning, "app.key"},
	{"pusher_halfway", "app: {id: abc, key: def, secret: " + drawn + "}", nil, "", ""},

	{"no_tls", good + "listen: 8.8.8.8:8000", nil, Error, "listen"},
	{"no_tls", good + "listen: :8000", nil, Warning, "listen"},
	{"no_tls", good + "listen: 10.0.0.1:8000", nil, Warning, "listen"},
	{"no_tls", good + "listen: '[::1]:8000'", nil, "", ""},
	{"no_tls", good + "listen: :8000\ntls: {cert_file: a, key_file: b}", nil, "", ""},
	{"no_tls", good + "listen: :443\ntls: {acme_hosts: [push.example.org], acme_cache_dir: d}", nil, "", ""},

	{"origin_wildcard", good + "client: {allowed_origins: ['*']}", nil, Warning, "client.allowed_origins"},
	{"origin_wildcard", good + "client: {allowed_origins: ['https://*']}", nil, Warning, "client.allowed_origins"},
	{"origin_wildcard", good + "client: {allowed_origins: ['https://*.example.org']}", nil, "", ""},

	{"origin_plain", good + "client: {allowed_origins: ['http://*.example.org']}", nil, Warning, "client.allowed_origins"},
	{"origin_plain", good + "client: {allowed_origins: ['http://localhost:3000']}", nil, "", ""},

	{"webhook_plain", "app: {key: k, secret: " + drawn + "}\nwebhook: {urls: ['http://user:pass@backend.example.org/'], trusted_hosts: [backend.example.org]}", nil, Warning, "webhook.urls"},
	{"webhook_plain", "app: {key: k, secret: " + drawn + "}\nwebhook: {urls: ['http://localhost:3000/'], trusted_hosts: [localhost]}", nil, "", ""},

	{"api_public", good + "listen: 8.8.8.8:443", nil, Warning, "internal.listen"},
	{"api_public", good + "listen: :443", nil, Note, "internal.listen"},
	{"api_public", good + "listen: :443\ninternal: {listen: 127.0.0.1:8001}", nil, "", ""},
	{"api_public", "app: {secret: " + drawn + "}\nlisten: :443", nil, "", ""},
	{"api_public", good + "listen: 10.0.0.1:443", nil, "", ""},

	{"internal_no_tls", good + "internal: {listen: 8.8.8.8:8001}", nil, Error, "internal.listen"},
	{"internal_no_tls", good + "internal: {listen: 10.0.0.5:8001}", nil, Warning, "internal.listen"},
	{"internal_no_tls", good + "internal: {listen: '[::]:8001', cert_file: c, key_file: k}", nil, Warning, "internal.listen"},
	{"internal_no_tls", good + "internal: {listen: ':8001', cert_file: c, key_file: k, client_ca_file: a}", nil, "", ""},
	{"internal_no_tls", good + "internal: {listen: 10.0.0.5:8001, cert_file: c, key_file: k}", nil, "", ""},
	{"internal_no_tls", good + "internal: {listen: 127.0.0.1:8001}", nil, "", ""},

	{"cluster_no_tls", cluster("8.8.8.8:8020", "'8.8.4.4:8020', '9.9.9.9:8020'", ""), nil, Error, "cluster.listen"},
	{"cluster_no_tls", cluster(":8020", "'b:8020', 'c:8020'", ""), nil, Warning, "cluster.listen"},
	{"cluster_no_tls", cluster("10.0.0.1:8020", "'10.0.0.2:8020', '10.0.0.3:8020'", ""), nil, "", ""},
	{"cluster_no_tls", cluster(":8020", "'b:8020', 'c:8020'", ", cert_file: c, key_file: k, ca_file: a"), nil, "", ""},
	{"cluster_no_tls", cluster("10.0.0.1:8020", "'10.0.0.2:8020', '10.0.0.3:8020'", ", listen_edges: ':8030'"), nil, Warning, "cluster.listen_edges"},
	{"cluster_no_tls", good, nil, "", ""},

	{"cluster_one_copy", cluster("a:8020", "'b:8020', 'c:8020'", ", replicas: 1"), nil, Warning, "cluster.replicas"},
	{"cluster_one_copy", good + "cluster: {nats: ['nats://n:4222'], replicas: 1}", nil, Warning, "cluster.replicas"},
	{"cluster_one_copy", cluster("a:8020", "'b:8020', 'c:8020'", ", replicas: 3"), nil, "", ""},
	{"cluster_one_copy", good + "cluster: {name: c, replicas: 1}", nil, "", ""},

	{"cluster_shared_machine", cluster("127.0.0.1:8020", "'localhost:8021', 'c:8020'", ""), nil, Warning, "cluster.peers"},
	{"cluster_shared_machine", cluster(":8020", "'b:8020', 'b:8021'", ""), nil, Warning, "cluster.peers"},
	{"cluster_shared_machine", cluster(":8020", "'b:8020', 'c:8020'", ""), nil, "", ""},

	{"cluster_shared_machine", good + "cluster: {name: c, edge: true, secret: " + drawnThird + ", peers: ['b:8030', 'b:8031']}", nil, "", ""},

	{"cluster_nats", good + "cluster: {nats: ['nats://n:4222']}", nil, Note, "cluster.nats"},
	{"cluster_nats", cluster("a:8020", "'b:8020', 'c:8020'", ""), nil, "", ""},

	{"secret_weak", good + "cluster: {name: c, secret: 'a-secret-for-a-cluster'}", nil, Error, "cluster.secret"},
	{"secret_shared", good + "cluster: {name: c, secret: " + drawn + "}", nil, Error, "app.secret"},

	{"hook_unsigned", hooks("connect_url: 'https://backend.example.org/'"), nil, Warning, "hooks.secret"},
	{"hook_unsigned", hooks("connect_url: 'http://127.0.0.1:3000/', trusted_hosts: [127.0.0.1]"), nil, "", ""},
	{"hook_unsigned", hooks("connect_url: 'https://backend.example.org/', secret: " + drawnThird), nil, "", ""},

	{"hook_plain", hooks("rpc_url: 'http://backend.internal/', trusted_hosts: [backend.internal], secret: " + drawnThird), nil, Warning, "hooks.rpc_url"},
	{"hook_plain", hooks("rpc_url: 'http://[::1]:3000/', trusted_hosts: ['::1']"), nil, "", ""},
	{"hook_plain", hooks("rpc_url: 'https://backend.example.org/'"), nil, "", ""},

	{"hook_slow", hooks("rpc_url: 'https://backend.example.org/', rpc_timeout: 5001ms"), nil, Warning, "hooks.rpc_timeout"},
	{"hook_slow", hooks("rpc_url: 'https://backend.example.org/', rpc_timeout: 5s, refresh_url: 'https://backend.example.org/', refresh_timeout: 20s"), nil, "", ""},
	{"hook_slow", hooks("rpc_timeout: 30s"), nil, "", ""},

	{"hook_unused", hooks("subscribe_url: 'https://backend.example.org/'"), nil, Warning, "hooks.subscribe_url"},
	{"hook_unused", hooks("publish_url: 'https://backend.example.org/'"), nil, Warning, "hooks.publish_url"},
	{"hook_unused", hooks("sub_refresh_url: 'https://backend.example.org/'"), nil, Warning, "hooks.sub_refresh_url"},
	{"hook_unused", hooks("subscribe_url: 'https://backend.example.org/'") + "channel: {without_namespace: {subscribe_proxy_enabled: true}}", nil, "", ""},
	{"hook_unused", hooks("connect_url: 'https://backend.example.org/'"), nil, "", ""},

	{"hook_cookies", hooks("connect_url: 'https://backend.example.org/', headers: [cookie]") + "client: {allowed_origins: ['*']}", nil, Error, "client.allowed_origins"},
	{"hook_cookies", hooks("connect_url: 'https://backend.example.org/', headers: [Authorization]") + "client: {allowed_origins: ['*']}", nil, "", ""},
	{"hook_cookies", hooks("connect_url: 'https://backend.example.org/', headers: [Cookie]") + "client: {allowed_origins: ['https://*.example.org']}", nil, "", ""},

	{"webhook_not_repeated", webhook("retry_for: 9s"), nil, Warning, "webhook.retry_for"},
	{"webhook_not_repeated", webhook("retry_for: 10s"), nil, "", ""},
	{"webhook_not_repeated", good + "webhook: {retry_for: 0}", nil, "", ""},

	{"webhook_of_nothing", webhook("events: [client_event]"), nil, Note, "webhook.events"},
	{"webhook_of_nothing", webhook("events: [subscription_count]") + "pusher: {client_events: true}", nil, Note, "webhook.events"},
	{"webhook_of_nothing", webhook("events: [client_event, subscription_count]") + "pusher: {client_events: true, subscription_count: true}", nil, "", ""},
	{"webhook_of_nothing", webhook("timeout: 1s"), nil, "", ""},

	{"anonymous", good + "client: {allow_anonymous: true}", nil, Warning, "client.allow_anonymous"},
	{"anonymous", good, nil, "", ""},

	{
		"anonymous_publish", namespace("allow_publish_for_client: true, allow_publish_for_anonymous: true") + "client: {allow_anonymous: true}",
		nil, Error, "channel.namespaces[chat].allow_publish_for_anonymous",
	},
	{"anonymous_publish", namespace("allow_publish_for_anonymous: true") + "client: {allow_anonymous: true}", nil, "", ""},
	{"anonymous_publish", namespace("allow_publish_for_client: true, allow_publish_for_anonymous: true"), nil, "", ""},

	{"nobody_subscribes", "channel: {namespaces: [{name: chat, allow_subscribe_for_client: true}]}", nil, Warning, "channel.namespaces[chat]"},
	{
		"nobody_subscribes", "client: {allow_anonymous: true}\n" +
			"channel: {namespaces: [{name: chat, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}]}",
		nil, "", "",
	},
	{"nobody_subscribes", namespace("presence: true"), nil, "", ""},
	{"nobody_subscribes", "hooks: {connect_url: 'https://backend.example.org/'}\nchannel: {namespaces: [{name: chat, allow_subscribe_for_client: true}]}", nil, "", ""},

	{"regex_everything", namespace("channel_regex: '^.*$'"), nil, Note, "channel.namespaces[chat].channel_regex"},
	{"regex_everything", namespace("channel_regex: 'x*'"), nil, Note, "channel.namespaces[chat].channel_regex"},
	{"regex_everything", namespace("channel_regex: '^[^ ]+$'"), nil, "", ""},

	{"regex_nothing", namespace("channel_regex: '[^\\x00-\\x{10FFFF}]'"), nil, Error, "channel.namespaces[chat].channel_regex"},
	{"regex_nothing", namespace("channel_regex: 'a^b'"), nil, Error, "channel.namespaces[chat].channel_regex"},
	{"regex_nothing", namespace("channel_regex: '^(a$)+b|c$d$'"), nil, "", ""}, // it cannot tell
	{"regex_nothing", namespace("channel_regex: '$a|b^'"), nil, Error, "channel.namespaces[chat].channel_regex"},
	{"regex_nothing", namespace("channel_regex: '^a?(b|c)+$'"), nil, "", ""},

	{"regex_namespace", namespace("channel_regex: '^chat:[a-z]+$'"), nil, Error, "channel.namespaces[chat].channel_regex"},
	{"regex_namespace", namespace("channel_regex: '^chat-[a-z]+$'"), nil, "", ""},

	{"recovery_memory", namespace(history + ", history_durability: memory, allow_recovery: true"), nil, Warning, "channel.namespaces[chat].history_durability"},
	{"recovery_memory", namespace(history + ", history_durability: memory, allow_recovery: true, force_recovery_mode: cache"), nil, "", ""},
	{"recovery_memory", namespace(history + ", force_recovery: true"), nil, "", ""},

	{"history_long", namespace("history_size: 10, history_ttl: 721h"), nil, Note, "channel.namespaces[chat].history_ttl"},
	{"history_long", namespace("history_size: 10, history_ttl: 721h, history_meta_ttl: 800h"), nil, "", ""},
	{"history_long", namespace("history_size: 10, history_ttl: 720h"), nil, "", ""},

	{"slow_consumer", namespace(history + ", slow_consumer: drop_oldest"), nil, Note, "channel.namespaces[chat].slow_consumer"},
	{"slow_consumer", namespace(history + ", slow_consumer: latest, allow_recovery: true, force_recovery_mode: cache"), nil, "", ""},
	{"slow_consumer", namespace("slow_consumer: drop_oldest"), nil, "", ""},

	{"limit_large", good + "client: {outbox_max_bytes: 17MiB}", nil, Warning, "client.outbox_max_bytes"},
	{"limit_large", good + "pusher: {client_event_rate: 1001}", nil, Warning, "pusher.client_event_rate"},
	{"limit_large", namespace("history_size: 100001, history_ttl: 1h"), nil, Warning, "channel.namespaces[chat].history_size"},
	{"limit_large", good + "client: {outbox_max_bytes: 16MiB}\npusher: {client_event_rate: 1000}", nil, "", ""},
	{"limit_large", namespace("history_size: 100000, history_ttl: 1h"), nil, "", ""},

	{"limit_off", good + "store: {reserve_size: 0}", nil, Warning, "store.reserve_size"},
	{"limit_off", good + "client: {send_buffer_size: 0}", nil, Note, "client.send_buffer_size"},
	{"limit_off", good + "shutdown_timeout: 0", nil, Note, "shutdown_timeout"},
	{"limit_off", good, nil, "", ""},

	{"limit_by_address", good + "listen: 8.8.8.8:443", nil, Warning, "limits.connections_per_ip"},
	{"limit_by_address", good + "listen: 0.0.0.0:443", nil, Note, "limits.connections_per_ip"},
	{"limit_by_address", good + "limits: {connects_per_ip: 20}", nil, Warning, "client.trusted_proxies"},
	{"limit_by_address", good + "client: {trusted_proxies: [127.0.0.1]}\nlimits: {connects_per_ip: 20}", nil, "", ""},
	{"limit_by_address", good + "listen: :443\nlimits: {connections_per_ip: 1000}", nil, "", ""},
	{"limit_by_address", good + "listen: :443\nclient: {trusted_proxies: [10.0.0.1]}", nil, "", ""},
	{"limit_by_address", good, nil, "", ""},

	{"limit_burst", good + "limits: {burst: 61s}", nil, Warning, "limits.burst"},
	{"limit_burst", good + "limits: {burst: 60s}", nil, "", ""},

	{"connect_timeout", good + "client: {connect_timeout: 31s}", nil, Warning, "client.connect_timeout"},
	{"connect_timeout", good + "client: {connect_timeout: 30s}", nil, "", ""},

	{"log_debug", good + "log: {level: debug}", nil, Note, "log.level"},
	{"log_debug", good, nil, "", ""},

	{"data_dir_open", good + "data_dir: d", fakeMachine{modes: map[string]fs.FileMode{"d": 0o755}}, Warning, "data_dir"},
	{"data_dir_open", good + "data_dir: d", fakeMachine{modes: map[string]fs.FileMode{"d": 0o777}}, Error, "data_dir"},
	{"data_dir_open", good + "data_dir: d", fakeMachine{modes: map[string]fs.FileMode{"d": 0o750}}, "", ""},
	{"data_dir_open", good, fakeMachine{}, "", ""},

	{"data_dir_volatile", namespace(history), fakeMachine{volatile: true}, Error, "data_dir"},
	{"data_dir_volatile", good, fakeMachine{volatile: true}, Note, "data_dir"},
	{"data_dir_volatile", "dev: true", fakeMachine{volatile: true}, Note, "data_dir"},
	{"data_dir_volatile", namespace(history), fakeMachine{}, "", ""},

	{"key_file_open", good + "tls: {cert_file: c, key_file: k}", fakeMachine{modes: map[string]fs.FileMode{"c": 0o644, "k": 0o644}}, Error, "tls.key_file"},
	{"key_file_open", good + "internal: {listen: 127.0.0.1:1, cert_file: c, key_file: k}", fakeMachine{modes: map[string]fs.FileMode{"k": 0o644}}, Error, "internal.key_file"},
	{"key_file_open", good + "admin: {password_file: p}", fakeMachine{modes: map[string]fs.FileMode{"p": 0o644}}, Error, "admin.password_file"},
	{"key_file_open", good + "tokens: {secret_files: ['2026=s']}", fakeMachine{modes: map[string]fs.FileMode{"s": 0o604}}, Error, "tokens.secret_files"},
	{"key_file_open", good + "tls: {cert_file: c, key_file: k}", fakeMachine{modes: map[string]fs.FileMode{"c": 0o644, "k": 0o640}}, "", ""},

	{"audit_file_open", good + "audit: {file: a}", fakeMachine{modes: map[string]fs.FileMode{"a": 0o644}}, Warning, "audit.file"},
	{"audit_file_open", good + "audit: {file: a}", fakeMachine{modes: map[string]fs.FileMode{"a": 0o640}}, "", ""},

	{"descriptors", good + "client: {max_connections: 1025}", fakeMachine{descriptors: 1024}, Error, "client.max_connections"},
	{"descriptors", good, fakeMachine{descriptors: 1024}, Warning, "client.max_connections"},
	{"descriptors", good + "client: {max_connections: 500}", fakeMachine{descriptors: 1024}, "", ""},
	{"descriptors", good + "client: {max_connections: 5000000}", fakeMachine{}, "", ""},
}

func TestRules(t *testing.T) {
	trips, silent := map[string]bool{}, map[string]bool{}
	for i, tt := range cases {
		t.Run(fmt.Sprintf("%s %d", tt.rule, i), func(t *testing.T) {
			c := load(t, tt.yaml)
			var of []Finding
			for _, f := range Check(&c, tt.machine) {
				if f.Rule == tt.rule {
					of = append(of, f)
				}
				if f.Why == "" || f.Do == "" || rank(f.Severity) < 0 {
					t.Errorf("half a finding: %+v", f)
				}
			}
			if tt.severity == "" {
				silent[tt.rule] = true
				if len(of) > 0 {
					t.Errorf("%+v, want none", of)
				}
				return
			}
			trips[tt.rule] = true
			if len(of) != 1 || of[0].Severity != tt.severity || of[0].Setting != tt.setting {
				t.Errorf("%+v, want one %s of %s", of, tt.severity, tt.setting)
			}
		})
	}
	for _, r := range rules {
		if !trips[r.name] || !silent[r.name] {
			t.Errorf("%s: no case that trips it, or none that does not", r.name)
		}
	}
}

// The settings of the cases trip nothing but what they are about: what is good is
// told to be good.
func TestNoFinding(t *testing.T) {
	c := load(t, namespace(history+", force_recovery: true, presence: true"))
	if found := Check(&c, fakeMachine{descriptors: 1 << 20}); len(found) > 0 {
		t.Errorf("%+v", found)
	}
	var b strings.Builder
	if err := Write(&b, nil); err != nil || b.String() != "nothing is unsafe or odd in these settings\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestWorstComesFirst(t *testing.T) {
	c := load(t, "listen: :8000\nlog: {level: debug}\napp: {secret: s3cret, key: s3cret}\nclient: {allow_anonymous: true}\n")
	found := Check(&c, nil)
	if !slices.IsSortedFunc(found, func(a, b Finding) int { return rank(a.Severity) - rank(b.Severity) }) || Count(found, Error) != 2 {
		t.Errorf("%+v", found)
	}
	var b strings.Builder
	if err := Write(&b, found); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); strings.Contains(text, "s3cret") || !strings.HasSuffix(text, "2 errors, 2 warnings, 3 notes\n") {
		t.Error(text)
	}
}

func TestNothingReachesTheTerminal(t *testing.T) {
	var b strings.Builder
	err := Write(&b, []Finding{{Error, "r", "channel.namespaces[\x1b[2J]", "bad\r\x00\u202e", "x"}})
	if err != nil || strings.ContainsAny(b.String(), "\x1b\r\x00\u202e") {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestUnloadable(t *testing.T) {
	found := Unloadable(errors.Join(errors.New("app.secret: this is a placeholder: make one"), errors.New("odd")))
	want := []Finding{
		{Error, "settings", "app.secret", "this is a placeholder: make one", "correct it: no server starts with it"},
		{Error, "settings", "odd", "", "correct it: no server starts with it"},
	}
	if !slices.Equal(found, want) {
		t.Errorf("%+v", found)
	}
}

// Here can be asked, whatever it says.
func TestHere(t *testing.T) {
	dir := t.TempDir()
	if mode, err := (Here{}).Mode(dir); err != nil || !mode.IsDir() {
		t.Error(mode, err)
	}
	if _, err := (Here{}).Mode(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if (Here{}).Volatile(filepath.Join(dir, "not", "there")) != (Here{}).Volatile(dir) {
		t.Error("a directory to be made is not as its parent")
	}
	if n, known := (Here{}).Descriptors(); known && n <= 0 {
		t.Error(n)
	}
}

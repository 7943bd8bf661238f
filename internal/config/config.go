package config

import (
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Config is every setting of a server. The tag allow is a range, both ends
// included, or a choice.
type Config struct {
	Listen             string        `koanf:"listen"`                                  // address and port to listen on; port 0 takes one that is free
	DataDir            string        `koanf:"data_dir"`                                // where history on disk is kept; made if it is not there
	Dev                bool          `koanf:"dev"`                                     // everything allowed to everybody on this machine, see [dev mode](#dev-mode)
	ShutdownTimeout    time.Duration `koanf:"shutdown_timeout" allow:"0s..1h"`         // how long a graceful stop waits for clients and requests
	DrainRate          int           `koanf:"drain_rate" allow:"0..1000000"`           // clients in a second that a node releases to other nodes before it stops, or when it is drained; 0: none before it stops if it is alone, and otherwise as many as leave in half of `shutdown_timeout`, 500 at least
	PublishWait        time.Duration `koanf:"publish_wait" allow:"1ms..1m"`            // how long a publication waits while too many are on their way; then it is refused with a temporary error
	PublishQueueBytes  Size          `koanf:"publish_queue_bytes" allow:"64KiB..1TiB"` // what may be on its way, accepted but not yet stored or delivered
	PublishMaxDataSize Size          `koanf:"publish_max_data_size" allow:"1B..64MiB"` // the data of one publication, from a client or a backend

	Transport    string        `koanf:"transport" allow:"auto|goroutine"` // what moves the bytes of connections: `auto` is an event loop for each core on Linux and goroutines elsewhere, `goroutine` is two goroutines for each connection
	MemoryReturn time.Duration `koanf:"memory_return" allow:"0s..1h"`     // how long connections must have neither come nor gone, after many did, before memory is given back to the system; 0: never

	App      App      `koanf:"app"`
	Apps     []Tenant `koanf:"apps"` // further Apps, a list of groups: each a `name`, its `keys` and `namespaces`, and its limits; see [apps.md](apps.md)
	Tokens   Tokens   `koanf:"tokens"`
	API      API      `koanf:"api"`
	Pusher   Pusher   `koanf:"pusher"`
	Webhook  Webhook  `koanf:"webhook"`
	Hooks    Hooks    `koanf:"hooks"`
	Client   Client   `koanf:"client"`
	Limits   Limits   `koanf:"limits"`
	Channel  Channel  `koanf:"channel"`
	TLS      TLS      `koanf:"tls"`
	Internal Internal `koanf:"internal"`
	Admin    Admin    `koanf:"admin"`
	Store    Store    `koanf:"store"`
	Cluster  Cluster  `koanf:"cluster"`
	Log      Log      `koanf:"log"`
	Audit    Audit    `koanf:"audit"`
}

// App are the settings of the App that is always there, `default`.
type App struct {
	ID     string `koanf:"id"`     // names the App in the paths of Pusher's HTTP API; empty: the API knows none
	Key    string `koanf:"key"`    // public; Pusher clients connect with it, and it begins the signatures made with `app.secret`; empty: none can connect
	Secret Secret `koanf:"secret"` // signs the tokens of clients (HS256), and all that Pusher's libraries sign; empty: every token and signature is refused

	Keys []AppKey `koanf:"keys"` // further keys, a list of groups: each an `id`, a `scope` (publish, read, admin or sign), and a `secret` or `secret_file`; see [apps.md](apps.md)
}

// Tokens are the settings of clients' tokens; see [tokens.md](tokens.md).
type Tokens struct {
	PreviousSecret Secret   `koanf:"previous_secret"` // the `app.secret` of before: it verifies what it has signed, and signs nothing; empty: none
	SecretFiles    []string `koanf:"secret_files"`    // files that hold further secrets, of 32 bytes at least: `kid=path`, or a path alone for tokens without `kid`
	PublicKeys     []string `koanf:"public_keys"`     // PEM files of public keys or certificates (RSA, ECDSA, Ed25519): `kid=path`, or a path alone

	JWKSURL          string        `koanf:"jwks_url"`                       // where an identity provider publishes its public keys (JSON Web Key Set); https only, at a public address, no redirects; empty: nowhere
	JWKSRefresh      time.Duration `koanf:"jwks_refresh" allow:"10s..24h"`  // how often they are fetched; a token that names an unknown key has them fetched sooner, once in 10 s at most
	JWKSTimeout      time.Duration `koanf:"jwks_timeout" allow:"100ms..1m"` // of one fetch
	JWKSTrustedHosts []string      `koanf:"jwks_trusted_hosts"`             // hosts of `tokens.jwks_url` that may have a private address, and may be asked without TLS, such as `localhost`

	Audience  string        `koanf:"audience"`              // what the claim `aud` must hold; empty: it is not looked at
	Issuer    string        `koanf:"issuer"`                // what the claim `iss` must be; empty: it is not looked at
	UserClaim string        `koanf:"user_claim"`            // the claim that holds the user, as text; empty: `sub`
	Leeway    time.Duration `koanf:"leeway" allow:"0s..1m"` // by how much the clocks of who makes tokens and of this server may differ
}

// API are the settings of the server API.
type API struct {
	Key         Secret `koanf:"key"`                              // X-API-Key of backends, also opens `/metrics` and the page; empty: they are shut
	MaxBodySize Size   `koanf:"max_body_size" allow:"1KiB..1GiB"` // body of one request
	MaxCommands int    `koanf:"max_commands" allow:"1..100000"`   // commands in one `batch`
	MaxChannels int    `koanf:"max_channels" allow:"1..100000"`   // channels in one `broadcast`
	MaxPage     int    `koanf:"max_page" allow:"1..1000000"`      // publications, channels or clients in one reply
}

// Pusher are the settings of the Pusher Channels protocol.
type Pusher struct {
	ClientEvents      bool          `koanf:"client_events"`                       // subscribers of private and presence channels may send each other `client-` events
	ClientEventRate   int           `koanf:"client_event_rate" allow:"1..100000"` // client events of one client in a second; what is beyond is refused (4301)
	SubscriptionCount bool          `koanf:"subscription_count"`                  // subscribers are told how many they are, on channels without presence
	ActivityTimeout   time.Duration `koanf:"activity_timeout" allow:"5s..1h"`     // after how much silence of the server a client asks whether it is there; whole seconds
	MaxEventSize      Size          `koanf:"max_event_size" allow:"1B..64MiB"`    // data of one event of the HTTP API or a client; beyond it 413
}

// Webhook are the settings of the calls that tell a backend what happened, in
// Pusher's form and signed with app.key and app.secret.
type Webhook struct {
	URLs         []string      `koanf:"urls"`                           // who is called; https, or a host of `webhook.trusted_hosts`; empty: nobody
	TrustedHosts []string      `koanf:"trusted_hosts"`                  // hosts that may have a private address, and may be called without TLS, such as `localhost`
	CAFile       string        `koanf:"ca_file"`                        // authorities, PEM, that those called over https are verified by; empty: the system's
	Events       []string      `koanf:"events"`                         // what is told: Pusher's `channel_occupied`, `channel_vacated`, `member_added`, `member_removed`, `client_event`, `cache_miss`, `subscription_count`; and `connected`, `disconnected`, `subscribed`, `unsubscribed`, `published`; empty: Pusher's
	Debounce     time.Duration `koanf:"debounce" allow:"0s..1m"`        // how long a channel must stay vacated, or a member away, before it is told; one that is back sooner is not told of at all
	Timeout      time.Duration `koanf:"timeout" allow:"100ms..1m"`      // of one call
	RetryFor     time.Duration `koanf:"retry_for" allow:"0s..24h"`      // how long a call that fails is tried again, with growing delays; then its events become dead letters
	MaxQueue     int           `koanf:"max_queue" allow:"100..1000000"` // events that are kept to be told; beyond it the oldest are dropped
}

// Client are the settings of client connections.
type Client struct {
	AllowAnonymous bool          `koanf:"allow_anonymous"`                      // clients may connect without a token; what they may do is the namespace's to say
	TrustedProxies []string      `koanf:"trusted_proxies"`                      // proxies whose word is taken for the address of a client (`X-Forwarded-For`): addresses, or networks such as `10.0.0.0/8`; see [security.md](security.md#behind-proxies)
	ProxyProtocol  bool          `koanf:"proxy_protocol"`                       // trusted proxies may begin a connection with a header of the PROXY protocol, version 1 or 2
	AllowedOrigins []string      `koanf:"allowed_origins"`                      // origins of pages, besides the server's own, that may connect: `https://app.example.org`, `https://*.example.org`, or `*` for all
	ConnectTimeout time.Duration `koanf:"connect_timeout" allow:"100ms..5m"`    // how long a new connection may take to send its connect command
	PingInterval   time.Duration `koanf:"ping_interval" allow:"1s..1h"`         // time between the server's pings
	PongTimeout    time.Duration `koanf:"pong_timeout" allow:"10ms..1h"`        // time until a ping must be answered; shorter than the interval
	OutboxMaxBytes Size          `koanf:"outbox_max_bytes" allow:"4KiB..1GiB"`  // what may wait for one client that is slow; beyond it the client is disconnected (3008) and recovers when it is back
	MaxMessageSize Size          `koanf:"max_message_size" allow:"1KiB..64MiB"` // one message from a client
	MaxConnections int           `koanf:"max_connections" allow:"0..10000000"`  // connections to this node; 0: as many as the system allows open files
	MaxChannels    int           `koanf:"max_channels" allow:"1..100000"`       // subscriptions of one client
	MaxHandshakes  int           `koanf:"max_handshakes" allow:"1..1000000"`    // connections being accepted at once; those beyond are asked to try again (503 with Retry-After)
	SendBufferSize Size          `koanf:"send_buffer_size" allow:"0B..64MiB"`   // what the kernel may hold for one client before its outbox fills (SO_SNDBUF); 0: as the system sees fit
	Compression    bool          `koanf:"compression"`                          // permessage-deflate for clients that offer it; messages of 512 bytes and more are compressed, once for all subscribers
	MaxPending     int           `koanf:"max_pending" allow:"1..10000"`         // commands of one client under way; while there are more its connection is not read from
}

// Limits are the settings of how many connections there may be and how often
// something may be asked for; see [limits.md](limits.md).
type Limits struct {
	Burst time.Duration `koanf:"burst" allow:"1s..10m"` // what comes in this time may come at once, at every rate below

	ConnectionsPerApp  int `koanf:"connections_per_app" allow:"0..10000000"`  // at once; those beyond are disconnected (3013) and try again; 0: unlimited
	ConnectionsPerUser int `koanf:"connections_per_user" allow:"0..10000000"` // at once, of one user who is named by a token or a sign-in; those beyond are disconnected (3504) and stay away; 0: unlimited
	ConnectionsPerIP   int `koanf:"connections_per_ip" allow:"0..10000000"`   // at once, from one address, of IPv6 from one /64; those beyond get 429; behind a proxy that does not tell its clients' addresses all of them share one; 0: unlimited

	ConnectsPerIP   int `koanf:"connects_per_ip" allow:"0..1000000"`   // new connections in a second from one address, as above; those beyond get 429 with Retry-After; each poll is one; 0: unlimited
	ConnectsPerUser int `koanf:"connects_per_user" allow:"0..1000000"` // sessions of one user that connect in a second; those beyond are disconnected (3013) and try again; 0: unlimited
	ConnectsPerApp  int `koanf:"connects_per_app" allow:"0..10000000"` // the same of all sessions of an App; 0: unlimited

	SubscribesPerConnection int `koanf:"subscribes_per_connection" allow:"0..1000000"` // in a second; those beyond get the temporary error 111; 0: unlimited
	SubscribesPerUser       int `koanf:"subscribes_per_user" allow:"0..1000000"`       // the same of all connections of a user; 0: unlimited
	SubscribesPerIP         int `koanf:"subscribes_per_ip" allow:"0..1000000"`         // the same of all connections from one address, as above; 0: unlimited
	SubscribesPerApp        int `koanf:"subscribes_per_app" allow:"0..10000000"`       // the same of all connections of an App; 0: unlimited
	PublishesPerConnection  int `koanf:"publishes_per_connection" allow:"0..1000000"`  // in a second; those beyond get the temporary error 111, of Pusher 4301; 0: unlimited
	PublishesPerUser        int `koanf:"publishes_per_user" allow:"0..1000000"`        // the same of all connections of a user; 0: unlimited
	PublishesPerIP          int `koanf:"publishes_per_ip" allow:"0..1000000"`          // the same of all connections from one address, as above; 0: unlimited
	PublishesPerApp         int `koanf:"publishes_per_app" allow:"0..10000000"`        // publications in a second, of clients and backends together; 0: unlimited
	RPCsPerConnection       int `koanf:"rpcs_per_connection" allow:"0..1000000"`       // in a second; those beyond get the temporary error 111; 0: unlimited
	RPCsPerUser             int `koanf:"rpcs_per_user" allow:"0..1000000"`             // the same of all connections of a user; 0: unlimited
	RPCsPerIP               int `koanf:"rpcs_per_ip" allow:"0..1000000"`               // the same of all connections from one address, as above; 0: unlimited
	RPCsPerApp              int `koanf:"rpcs_per_app" allow:"0..10000000"`             // the same of all connections of an App; 0: unlimited

	BytesPerConnection Size `koanf:"bytes_per_connection" allow:"0B..1GiB"` // of messages and ping frames from a client in a second; beyond it the client is disconnected (3013) and comes back; one message of `client.max_message_size` always fits; 0: unlimited
	BytesPerUser       Size `koanf:"bytes_per_user" allow:"0B..1GiB"`       // the same of all connections of a user; 0: unlimited
	BytesPerIP         Size `koanf:"bytes_per_ip" allow:"0B..1TiB"`         // the same of all connections from one address, as above; 0: unlimited
	BytesPerApp        Size `koanf:"bytes_per_app" allow:"0B..1TiB"`        // the same of all connections of an App; 0: unlimited

	HistoryBytesPerApp Size `koanf:"history_bytes_per_app" allow:"0B..1PiB"` // of the publications of an App that are on disk; those beyond are refused with error 106 until some expire or are removed; 0: unlimited

	APIRequestsPerKey int `koanf:"api_requests_per_key" allow:"0..10000000"` // requests in a second with one key of the server API or of Pusher's HTTP API; those beyond get 429 with Retry-After; 0: unlimited
}

// Channel are the settings of channels.
type Channel struct {
	WithoutNamespace channel.Options     `koanf:"without_namespace"` // options of channels without a namespace
	Namespaces       []channel.Namespace `koanf:"namespaces"`        // a list of namespaces, each a `name`, its options, and perhaps `prefixes`: channels without a colon that begin with one of them belong to it, too, the longest deciding; the name `*` stands for every namespace that is not in the list
}

// TLS are the settings of encryption; without both files connections are plain.
type TLS struct {
	CertFile       string        `koanf:"cert_file"`                       // certificate chain, PEM
	KeyFile        string        `koanf:"key_file"`                        // its private key, PEM
	ReloadInterval time.Duration `koanf:"reload_interval" allow:"1s..24h"` // how often it is looked whether the files of certificates have changed; SIGHUP has it looked at once

	ACMEHosts     []string `koanf:"acme_hosts"`     // hosts that certificates are got for and renewed by ACME, such as from Let's Encrypt, whose terms you agree to by this; instead of files. The authority has to reach this listener at port 443 of each
	ACMECacheDir  string   `koanf:"acme_cache_dir"` // where they and their keys are kept
	ACMEEmail     string   `koanf:"acme_email"`     // whom the authority tells of trouble; empty: nobody
	ACMEDirectory string   `koanf:"acme_directory"` // where another authority begins, a URL; empty: Let's Encrypt
	ACMECAFile    string   `koanf:"acme_ca_file"`   // authorities, PEM, that the directory is verified by; empty: the system's

	HSTSMaxAge time.Duration `koanf:"hsts_max_age" allow:"0s..17520h"` // how long browsers are told to reach this host by TLS only (HSTS, RFC 6797), but not in dev mode; 0: they are not told
	HTTP2      bool          `koanf:"http2"`                           // offer HTTP/2: a browser then has any number of streams over plain HTTP open at once and not six, and each costs a goroutine here; WebSockets stay with HTTP/1.1
}

// Internal are the settings of a listener for backends and operators, apart from
// the one for clients; see [security.md](security.md#two-listeners).
type Internal struct {
	Listen       string `koanf:"listen"`         // address and port for the server API, Pusher's HTTP API, `/metrics` and the page, which then are not found at `listen`; empty: all are found there
	CertFile     string `koanf:"cert_file"`      // certificate chain of this listener, PEM; without both files it is not encrypted
	KeyFile      string `koanf:"key_file"`       // its private key, PEM
	ClientCAFile string `koanf:"client_ca_file"` // authorities, PEM, one of which must have signed the certificate of whoever connects to this listener (mTLS); empty: no certificate is asked for
}

// Admin are the settings of the page's login; see [security.md](security.md#the-admin-login).
type Admin struct {
	PasswordHash Secret        `koanf:"password_hash"`                // of the password that opens the page, as `fanfare admin password` prints it; empty: there is no login, and the page asks for `api.key`
	PasswordFile string        `koanf:"password_file"`                // a file with such a hash, instead
	SessionTTL   time.Duration `koanf:"session_ttl" allow:"1m..720h"` // how long a login lasts
}

// Store are the settings of history.
type Store struct {
	ReserveSize Size `koanf:"reserve_size" allow:"0B..1PiB"`  // free space on the disk below which publications to history on disk are refused
	CacheSize   Size `koanf:"cache_size" allow:"1MiB..1TiB"`  // recent publications of history on disk that are kept in RAM
	MemorySize  Size `koanf:"memory_size" allow:"1MiB..1TiB"` // publications with `history_durability: memory`; beyond it the longest unused channels lose theirs
}

// Log are the settings of the log, which goes to standard error.
type Log struct {
	Level  string `koanf:"level" allow:"debug|info|warn|error"` // what is logged; the line that says where the server listens always is
	Format string `koanf:"format" allow:"text|json"`            // what a line looks like
}

// Audit are the settings of the log of administrative actions; see
// [operations.md](operations.md#the-audit-log).
type Audit struct {
	File     string `koanf:"file"`     // a JSON line for each administrative action is appended here; readable by its owner alone; empty: none is kept
	Required bool   `koanf:"required"` // an action is refused, with a temporary error, when it cannot be written down first
}

// Default is every setting as it is when nobody sets it: all is shut.
func Default() Config {
	return Config{
		Listen:             "127.0.0.1:8000",
		DataDir:            "./fanfare-data",
		ShutdownTimeout:    15 * time.Second,
		PublishWait:        time.Second,
		PublishQueueBytes:  64 << 20,
		PublishMaxDataSize: 256 << 10,
		Transport:          "auto",
		MemoryReturn:       time.Second,
		Tokens:             Tokens{JWKSRefresh: time.Hour, JWKSTimeout: 5 * time.Second, Leeway: 5 * time.Second},
		API:                API{MaxBodySize: 4 << 20, MaxCommands: 1000, MaxChannels: 1000, MaxPage: 10_000},
		Client: Client{
			ConnectTimeout: 10 * time.Second, PingInterval: 25 * time.Second, PongTimeout: 8 * time.Second,
			OutboxMaxBytes: 1 << 20, MaxMessageSize: 1 << 20, MaxChannels: 128, MaxPending: 64,
			MaxHandshakes: 2048, SendBufferSize: 64 << 10, Compression: true,
		},
		Limits: Limits{Burst: 5 * time.Second, SubscribesPerConnection: 1000, PublishesPerConnection: 1000, RPCsPerConnection: 1000},
		Pusher: Pusher{ClientEventRate: 10, ActivityTimeout: 2 * time.Minute, MaxEventSize: 10 << 10},
		Webhook: Webhook{
			Debounce: 3 * time.Second, Timeout: 10 * time.Second, RetryFor: 2 * time.Hour, MaxQueue: 100_000,
		},
		Hooks:   defaultHooks(),
		TLS:     TLS{HTTP2: true, ReloadInterval: 10 * time.Second, HSTSMaxAge: 365 * 24 * time.Hour},
		Admin:   Admin{SessionTTL: 12 * time.Hour},
		Store:   Store{ReserveSize: 256 << 20, CacheSize: 64 << 20, MemorySize: 256 << 20},
		Cluster: Cluster{Logs: 4, LogSize: 1 << 30, LogAge: 24 * time.Hour},
		Log:     Log{Level: "info", Format: "text"},
	}
}

// Namespaces is what the settings say about channels.
func (c *Config) Namespaces() (*channel.Namespaces, error) {
	return channel.NewNamespaces(c.Channel.WithoutNamespace, c.Channel.Namespaces)
}

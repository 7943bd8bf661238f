package config

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/egress"
	"github.com/fanfare-push/fanfare/internal/hook"
)

// Hooks are the settings of the questions that a backend is asked.
type Hooks struct {
	ConnectURL        string        `koanf:"connect_url"`                           // asked who a client without a token is; https, or a host of `hooks.trusted_hosts`, as all of these; empty: not asked
	ConnectTimeout    time.Duration `koanf:"connect_timeout" allow:"50ms..30s"`     // of one question, with its waiting and its retries; what is not answered is a temporary error to the client
	RefreshURL        string        `koanf:"refresh_url"`                           // asked whether a session that expires goes on, whatever made it; clients are then not asked for new tokens; empty: not asked
	RefreshTimeout    time.Duration `koanf:"refresh_timeout" allow:"50ms..30s"`     // likewise
	SubscribeURL      string        `koanf:"subscribe_url"`                         // asked whether a client may subscribe, in namespaces with `subscribe_proxy_enabled`; empty: not asked
	SubscribeTimeout  time.Duration `koanf:"subscribe_timeout" allow:"50ms..30s"`   // likewise
	PublishURL        string        `koanf:"publish_url"`                           // asked whether a client may publish, in namespaces with `publish_proxy_enabled`; empty: not asked
	PublishTimeout    time.Duration `koanf:"publish_timeout" allow:"50ms..30s"`     // likewise
	SubRefreshURL     string        `koanf:"sub_refresh_url"`                       // asked whether a subscription that expires goes on, in namespaces with `sub_refresh_proxy_enabled`; empty: not asked
	SubRefreshTimeout time.Duration `koanf:"sub_refresh_timeout" allow:"50ms..30s"` // likewise
	RPCURL            string        `koanf:"rpc_url"`                               // answers the RPCs of clients; empty: they are not available
	RPCTimeout        time.Duration `koanf:"rpc_timeout" allow:"50ms..30s"`         // likewise

	Backends []HookBackend `koanf:"backends"` // more backends, each with `name`, `url` and, unless they are as here, `timeout` and `secret`; a namespace asks one in place of the URLs above with `subscribe_proxy_name`, `publish_proxy_name` and `sub_refresh_proxy_name`

	CAFile          string        `koanf:"ca_file"`                            // authorities, PEM, that backends asked over https are verified by; empty: the system's
	Secret          Secret        `koanf:"secret"`                             // signs every question, see [hooks.md](hooks.md); empty: they are not signed
	Headers         []string      `koanf:"headers"`                            // headers of a client's own request that the backend is told, such as `Cookie` and `Authorization`
	ClientHeaders   []string      `koanf:"client_headers"`                     // those of the `headers` that an SDK sends inside its connect that the backend is told; a client can say what it likes in them
	TrustedHosts    []string      `koanf:"trusted_hosts"`                      // hosts that may have a private address, and may be asked without TLS, such as `localhost`
	MaxConcurrent   int           `koanf:"max_concurrent" allow:"1..100000"`   // questions of one hook and App under way at once; those beyond wait, no longer than their timeout
	MaxReplySize    Size          `koanf:"max_reply_size" allow:"1KiB..16MiB"` // of one answer; a larger one is none
	BreakerFailures int           `koanf:"breaker_failures" allow:"1..100000"` // failures of a hook in a row, of one App, after which it is not asked for a while
	BreakerPause    time.Duration `koanf:"breaker_pause" allow:"100ms..10m"`   // for how long; then one question tries it
}

// HookBackend is one that namespaces ask by its name.
type HookBackend struct {
	Name    string        `koanf:"name"`    // what namespaces call it
	URL     string        `koanf:"url"`     // asked for every hook that names it
	Timeout time.Duration `koanf:"timeout"` // of one question; 0: DefaultTimeout
	Secret  Secret        `koanf:"secret"`  // signs its questions; empty: that of all
}

// What a HookBackend's timeout may be.
const (
	leastHookTimeout   = 50 * time.Millisecond
	longestHookTimeout = 30 * time.Second
)

var backendName = regexp.MustCompile(`^[-a-zA-Z0-9_.]{2,64}$`)

func defaultHooks() Hooks {
	return Hooks{
		ConnectTimeout: hook.DefaultTimeout, RefreshTimeout: hook.DefaultTimeout, SubscribeTimeout: hook.DefaultTimeout,
		PublishTimeout: hook.DefaultTimeout, SubRefreshTimeout: hook.DefaultTimeout, RPCTimeout: hook.DefaultTimeout,
		MaxConcurrent: hook.DefaultMaxConcurrent, MaxReplySize: hook.DefaultMaxReply,
		BreakerFailures: hook.DefaultBreakerFailures, BreakerPause: hook.DefaultBreakerPause,
	}
}

// checkHooks reports what cannot be asked, and namespaces that ask nobody.
func (c *Config) checkHooks() (errs []error) {
	h := &c.Hooks
	urls := []struct{ name, url string }{
		{"connect_url", h.ConnectURL},
		{"refresh_url", h.RefreshURL},
		{"subscribe_url", h.SubscribeURL},
		{"publish_url", h.PublishURL},
		{"sub_refresh_url", h.SubRefreshURL},
		{"rpc_url", h.RPCURL},
	}
	for _, u := range urls {
		if u.url == "" {
			continue
		}
		if err := egress.Check(u.url, h.TrustedHosts); err != nil {
			errs = append(errs, fmt.Errorf("hooks.%s: %w; a host inside your network is named in hooks.trusted_hosts", u.name, err))
		}
	}
	errs = append(errs, h.checkBackends()...)
	for _, name := range h.Headers {
		if err := hook.CheckHeader(name); err != nil {
			errs = append(errs, fmt.Errorf("hooks.headers: %w", err))
		}
	}
	for _, name := range h.ClientHeaders {
		if err := hook.CheckHeader(name); err != nil {
			errs = append(errs, fmt.Errorf("hooks.client_headers: %w", err))
		}
	}
	errs = append(errs, h.checkOptions("channel.without_namespace", &c.Channel.WithoutNamespace)...)
	for i := range c.Channel.Namespaces {
		n := &c.Channel.Namespaces[i]
		errs = append(errs, h.checkOptions(fmt.Sprintf("channel: namespace %q", n.Name), &n.Options)...)
	}
	return errs
}

// checkOptions reports the options of a namespace that ask a hook that is not set.
func (h *Hooks) checkOptions(where string, o *channel.Options) (errs []error) {
	for _, asks := range []struct {
		on         bool
		hook, name string
		url        string
	}{
		{o.SubscribeProxyEnabled, "subscribe", o.SubscribeProxyName, h.SubscribeURL},
		{o.PublishProxyEnabled, "publish", o.PublishProxyName, h.PublishURL},
		{o.SubRefreshProxyEnabled, "sub_refresh", o.SubRefreshProxyName, h.SubRefreshURL},
	} {
		named := asks.name != "" && asks.name != hook.DefaultBackend
		switch {
		case named && !slices.ContainsFunc(h.Backends, func(b HookBackend) bool { return b.Name == asks.name }):
			errs = append(errs, fmt.Errorf("%s: %s_proxy_name: there is no %q in hooks.backends", where, asks.hook, asks.name))
		case !asks.on || named || asks.url != "":
		default:
			errs = append(errs, fmt.Errorf("%s: %s_proxy_enabled asks nobody: set hooks.%s_url", where, asks.hook, asks.hook))
		}
	}
	return errs
}

// checkBackends reports what cannot be asked by a name.
func (h *Hooks) checkBackends() (errs []error) {
	seen := map[string]bool{}
	for i := range h.Backends {
		b := &h.Backends[i]
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("hooks.backends: %q: "+format, append([]any{b.Name}, args...)...))
		}
		switch {
		case !backendName.MatchString(b.Name):
			fail("the name must match %s", backendName)
		case b.Name == hook.DefaultBackend:
			fail("this is what the URLs of hooks are called: take another name")
		case seen[b.Name]:
			fail("defined twice")
		}
		seen[b.Name] = true
		if err := egress.Check(b.URL, h.TrustedHosts); err != nil {
			fail("url: %w; a host inside your network is named in hooks.trusted_hosts", err)
		}
		if b.Timeout != 0 && (b.Timeout < leastHookTimeout || b.Timeout > longestHookTimeout) {
			fail("timeout: %s is not allowed, it must be %s to %s", b.Timeout, leastHookTimeout, longestHookTimeout)
		}
		if IsPlaceholder(b.Secret) {
			fail("secret: this is a placeholder, not a secret: make one with openssl rand -hex 32")
		}
	}
	return errs
}

package doctor

import (
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/config"
)

// asked is one of the hooks that are set.
type asked struct {
	name    string // what is before _url and _timeout
	host    string
	plain   bool // without TLS
	timeout time.Duration
	waits   bool // a client does, for the answer
}

// hooksOf gives the hooks that a backend is asked by.
func hooksOf(c *config.Config) (all []asked) {
	h := &c.Hooks
	for _, of := range []struct {
		name, url string
		timeout   time.Duration
		waits     bool
	}{
		{"connect", h.ConnectURL, h.ConnectTimeout, true},
		{"refresh", h.RefreshURL, h.RefreshTimeout, false},
		{"subscribe", h.SubscribeURL, h.SubscribeTimeout, true},
		{"publish", h.PublishURL, h.PublishTimeout, true},
		{"sub_refresh", h.SubRefreshURL, h.SubRefreshTimeout, false},
		{"rpc", h.RPCURL, h.RPCTimeout, true},
	} {
		if u, err := url.Parse(of.url); of.url != "" && err == nil {
			all = append(all, asked{of.name, u.Hostname(), u.Scheme == "http", of.timeout, of.waits})
		}
	}
	return all
}

func unsignedHooks(c *config.Config, add report) {
	isElsewhere := func(h asked) bool { return !isLoopback(h.host) }
	if c.Hooks.Secret == "" && slices.ContainsFunc(hooksOf(c), isElsewhere) {
		add(Warning, "hooks.secret", "is not set: your backend cannot tell the questions of this server from those of anybody else who reaches it",
			makeOne+", and have the backend check the signature (docs/hooks.md)")
	}
}

func plainHooks(c *config.Config, add report) {
	for _, h := range hooksOf(c) {
		if h.plain && !isLoopback(h.host) {
			add(Warning, "hooks."+h.name+"_url", fmt.Sprintf("host %q is asked without TLS: who is on the way reads what clients send, their cookies if you pass them on, and answers in the backend's place", h.host),
				"use https, unless the network between is yours alone")
		}
	}
}

// sdkPatience is for how long the Centrifuge SDKs wait for a reply, if they are not
// told otherwise.
const sdkPatience = 5 * time.Second

func slowHooks(c *config.Config, add report) {
	for _, h := range hooksOf(c) {
		if h.waits && h.timeout > sdkPatience {
			add(Warning, "hooks."+h.name+"_timeout", fmt.Sprintf("is %s, and the SDKs give up after %s: a slow backend is asked again while the first question is under way", h.timeout, sdkPatience),
				"choose less, or set the timeout of your clients")
		}
	}
}

func unusedHooks(c *config.Config, add report) {
	for _, of := range []struct {
		url, name string
		on        func(o *channel.Options) bool
	}{
		{c.Hooks.SubscribeURL, "subscribe", func(o *channel.Options) bool { return o.SubscribeProxyEnabled }},
		{c.Hooks.PublishURL, "publish", func(o *channel.Options) bool { return o.PublishProxyEnabled }},
		{c.Hooks.SubRefreshURL, "sub_refresh", func(o *channel.Options) bool { return o.SubRefreshProxyEnabled }},
	} {
		used := of.url == ""
		eachNamespace(c, func(_, _ string, o *channel.Options) { used = used || of.on(o) })
		if !used {
			add(Warning, "hooks."+of.name+"_url", "is never asked: no namespace has "+of.name+"_proxy_enabled, and what clients may do is decided without your backend",
				"set it in the namespaces that are meant, or leave the hook out")
		}
	}
}

// cookiesFromEverywhere finds what lets any page act as who visits it: a browser
// sends its cookies along whatever page opens the connection.
func cookiesFromEverywhere(c *config.Config, add report) {
	isCookie := func(name string) bool { return textproto.CanonicalMIMEHeaderKey(name) == "Cookie" }
	if c.Hooks.ConnectURL != "" && slices.ContainsFunc(c.Hooks.Headers, isCookie) && slices.ContainsFunc(c.Client.AllowedOrigins, isEverywhere) {
		add(Error, "client.allowed_origins", "every page of the web may connect, and the connect hook goes by cookies (hooks.headers): a page that somebody visits connects as who they are",
			"name the sites of your own")
	}
}

func webhookNotRepeated(c *config.Config, add report) {
	if w := &c.Webhook; len(w.URLs) > 0 && w.RetryFor < w.Timeout {
		add(Warning, "webhook.retry_for", fmt.Sprintf("is %s, less than the %s of one call: what your backend misses while it restarts is told to it no more", w.RetryFor, w.Timeout),
			"leave it at its default")
	}
}

func webhookOfNothing(c *config.Config, add report) {
	if len(c.Webhook.URLs) == 0 {
		return
	}
	for _, of := range []struct {
		event, setting string
		on             bool
	}{
		{"client_event", "pusher.client_events", c.Pusher.ClientEvents},
		{"subscription_count", "pusher.subscription_count", c.Pusher.SubscriptionCount},
	} {
		if !of.on && slices.Contains(c.Webhook.Events, of.event) {
			add(Note, "webhook.events", of.event+" never happens: "+of.setting+" is off", "set it, or leave the event out")
		}
	}
}

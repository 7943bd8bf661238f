package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/egress"
)

func noTLS(c *config.Config, add report) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil || c.TLS.CertFile != "" || isLoopback(host) {
		return
	}
	const why = "without TLS tokens, the API key and every message can be read and changed on the way"
	if ip, err := netip.ParseAddr(host); err == nil && egress.Public(ip) {
		add(Error, "listen", why+", and this is an address of the internet", "set tls.cert_file and tls.key_file, or listen on 127.0.0.1 behind a proxy that has them")
		return
	}
	add(Warning, "listen", why+", from wherever this address is reached", "set tls.cert_file and tls.key_file, or listen where only your proxy is")
}

func wildcardOrigins(c *config.Config, add report) {
	for _, origin := range c.Client.AllowedOrigins {
		scheme, host, _ := strings.Cut(origin, "://")
		if origin == "*" || strings.Trim(host, "*.:0123456789") == "" && strings.Contains(host, "*") {
			add(Warning, "client.allowed_origins", fmt.Sprintf("%q lets every page of the web connect in its visitors' names", origin), "name the sites of your own")
		} else if strings.Contains(scheme, "*") {
			add(Warning, "client.allowed_origins", fmt.Sprintf("%q matches any scheme", origin), "write https://")
		}
	}
}

func plainOrigins(c *config.Config, add report) {
	for _, origin := range c.Client.AllowedOrigins {
		u, err := url.Parse(strings.ReplaceAll(origin, "*", "x"))
		if err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			add(Warning, "client.allowed_origins", fmt.Sprintf("%q is a page that came without TLS: who is on the way to it can connect as its visitors", origin), "write https://")
		}
	}
}

func plainWebhooks(c *config.Config, add report) {
	for _, target := range c.Webhook.URLs {
		if u, err := url.Parse(target); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			add(Warning, "webhook.urls", fmt.Sprintf("host %q is called without TLS: names of channels and users, and what clients send, can be read on the way", u.Hostname()), "use https")
		}
	}
}

// webhooksInside looks at what is written, and does not ask for names.
func webhooksInside(c *config.Config, add report) {
	for _, target := range c.Webhook.URLs {
		u, err := url.Parse(target)
		if err != nil || isLoopback(u.Hostname()) {
			continue
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !egress.Public(ip) {
			add(Note, "webhook.urls", fmt.Sprintf("%q is an address inside a network: whoever can change these settings can have the server call what is only there", u.Hostname()),
				"see that it is your backend, and that nothing else answers there")
		}
	}
}

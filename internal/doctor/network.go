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
	if c.TLS.CertFile != "" || len(c.TLS.ACMEHosts) > 0 {
		return
	}
	const why = "without TLS tokens, the API key and every message can be read and changed on the way"
	switch reachOf(c.Listen) {
	case fromInternet:
		add(Error, "listen", why+", and this is an address of the internet", "set tls.cert_file and tls.key_file, or listen on 127.0.0.1 behind a proxy that has them")
	case fromAnywhere, fromNetwork:
		add(Warning, "listen", why+", from wherever this address is reached", "set tls.cert_file and tls.key_file, or listen where only your proxy is")
	case fromHere:
	}
}

// reach is from where an address that is listened on can be reached, as far as it
// can be told.
type reach int

const (
	fromHere     reach = iota // this machine
	fromNetwork               // a private network, or what a name stands for
	fromAnywhere              // all addresses of the machine, whatever they are
	fromInternet
)

// reachOf takes what config.Load has accepted; "" is nothing, and from here.
func reachOf(listen string) reach {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || isLoopback(host) {
		return fromHere
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && ip.IsUnspecified():
		return fromAnywhere
	case err == nil && egress.Public(ip):
		return fromInternet
	}
	return fromNetwork
}

func internalNoTLS(c *config.Config, add report) {
	switch at := reachOf(c.Internal.Listen); {
	case at == fromHere:
	case c.Internal.CertFile == "" && at == fromInternet:
		add(Error, "internal.listen", "is an address of the internet, without TLS: the API key can be read on the way", "set internal.cert_file, internal.key_file and internal.client_ca_file, or listen inside your network")
	case c.Internal.CertFile == "":
		add(Warning, "internal.listen", "is without TLS: the API key can be read from wherever this address is reached", "set internal.cert_file and internal.key_file, unless the network is your backend's alone")
	case c.Internal.ClientCAFile == "" && (at == fromInternet || at == fromAnywhere):
		add(Warning, "internal.listen", "can be reached from outside, and whoever has the API key is let in", "set internal.client_ca_file, or listen inside your network")
	}
}

func apiInPublic(c *config.Config, add report) {
	if c.API.Key == "" || c.Internal.Listen != "" {
		return
	}
	const do = "set internal.listen to an address that only your backend reaches, or keep /api/, /admin/ and /metrics from outside in a proxy"
	switch reachOf(c.Listen) {
	case fromInternet:
		add(Warning, "internal.listen", "is not set: the server API, the lists and /metrics are on the internet beside the clients, and a key that leaks opens them from anywhere", do)
	case fromAnywhere:
		add(Note, "internal.listen", "is not set: the server API, the lists and /metrics are found wherever clients connect", do)
	case fromHere, fromNetwork:
	}
}

// isEverywhere reports that an allowed origin is every origin.
func isEverywhere(origin string) bool {
	_, host, _ := strings.Cut(origin, "://")
	return origin == "*" || strings.Trim(host, "*.:0123456789") == "" && strings.Contains(host, "*")
}

func wildcardOrigins(c *config.Config, add report) {
	for _, origin := range c.Client.AllowedOrigins {
		scheme, _, _ := strings.Cut(origin, "://")
		if isEverywhere(origin) {
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

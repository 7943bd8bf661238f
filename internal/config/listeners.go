package config

import (
	"net"
	"net/netip"
	"strings"

	"github.com/fanfare-push/fanfare/internal/admin/password"
)

// checkListeners checks what is listened on, and by what it is secured.
func (c *Config) checkListeners(add func(ok bool, format string, args ...any)) {
	add((c.TLS.CertFile == "") == (c.TLS.KeyFile == ""), "tls: cert_file and key_file are needed both")
	t := &c.TLS
	add(len(t.ACMEHosts) == 0 || t.CertFile == "", "tls: of cert_file and acme_hosts only one can be set")
	add(len(t.ACMEHosts) == 0 || t.ACMECacheDir != "", "tls.acme_cache_dir: is needed with tls.acme_hosts; an authority gives no certificate out at each start")
	add(len(t.ACMEHosts) > 0 || t.ACMECacheDir+t.ACMEEmail+t.ACMEDirectory+t.ACMECAFile == "", "tls.acme_hosts: is needed by the other settings of ACME")
	add(t.ACMEDirectory == "" || strings.HasPrefix(t.ACMEDirectory, "https://"), "tls.acme_directory: %q must begin with https://", t.ACMEDirectory)
	for _, host := range t.ACMEHosts {
		add(isHost(host), "tls.acme_hosts: %q is no name of a host, such as push.example.org; there are no wildcards", host)
	}
	for _, proxy := range c.Client.TrustedProxies {
		add(isNetwork(proxy), "client.trusted_proxies: %q is neither an address nor a network such as 10.0.0.0/8", proxy)
	}
	add(!c.Client.ProxyProtocol || len(c.Client.TrustedProxies) > 0, "client.proxy_protocol: only proxies of client.trusted_proxies may speak it; name them there")
	add(c.Admin.PasswordHash == "" || c.Admin.PasswordFile == "", "admin: of password_hash and password_file only one can be set")
	if c.Admin.PasswordHash != "" {
		_, err := password.Parse(string(c.Admin.PasswordHash))
		add(err == nil, "admin.password_hash: %w", err)
	}
	i := &c.Internal
	if i.Listen == "" {
		add(i.CertFile+i.KeyFile+i.ClientCAFile == "", "internal.listen: is needed by the other settings of internal")
		return
	}
	host, port, err := net.SplitHostPort(i.Listen)
	add(err == nil && isPort(port), "internal.listen: %q is no address, it must be host:port, such as 127.0.0.1:8001", i.Listen)
	add(!c.Dev || err != nil || isLoopback(host), "internal.listen: %q is not a loopback address, and dev mode allows everything to everybody: "+
		"listen on 127.0.0.1, or do without --dev", i.Listen)
	add((i.CertFile == "") == (i.KeyFile == ""), "internal: cert_file and key_file are needed both")
	add(i.ClientCAFile == "" || i.CertFile != "", "internal.client_ca_file: clients show certificates over TLS only; set internal.cert_file and internal.key_file")
}

// isNetwork accepts an address, or a network in CIDR form (RFC 4632).
func isNetwork(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	p, err := netip.ParsePrefix(s)
	return err == nil && !p.Addr().Is4In6()
}

// isHost accepts the name of a host (RFC 1123, 2.1) that is no address.
func isHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && len(s) <= 253 && strings.Contains(s, ".") && !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") &&
		strings.Trim(s, "-.0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

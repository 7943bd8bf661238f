package config

import (
	"strings"
	"testing"
)

// What secures nothing, or not what it seems to, is refused with the setting's name.
func TestBadListeners(t *testing.T) {
	for want, flags := range map[string]map[string]string{
		"internal.listen":                 {"internal.client_ca_file": "x"},
		"internal.client_ca_file":         {"internal.listen": "127.0.0.1:0", "internal.client_ca_file": "x"},
		"internal: cert_file":             {"internal.listen": "127.0.0.1:0", "internal.cert_file": "x"},
		"internal.listen: \"nowhere\"":    {"internal.listen": "nowhere"},
		"not a loopback":                  {"internal.listen": "0.0.0.0:0", "dev": "true"},
		"client.trusted_proxies: \"x\"":   {"client.trusted_proxies": "10.0.0.0/8,x"},
		"client.proxy_protocol":           {"client.proxy_protocol": "true"},
		"admin.password_hash: it must be": {"admin.password_hash": "secret"},
		"of cert_file and acme_hosts":     {"tls.acme_hosts": "a.example", "tls.acme_cache_dir": "x", "tls.cert_file": "c", "tls.key_file": "k"},
		"tls.acme_cache_dir":              {"tls.acme_hosts": "a.example"},
		"tls.acme_hosts: is needed":       {"tls.acme_email": "a@example.org"},
		"tls.acme_directory":              {"tls.acme_hosts": "a.example", "tls.acme_cache_dir": "x", "tls.acme_directory": "http://x"},
		"\"*.example\" is no name":        {"tls.acme_hosts": "*.example", "tls.acme_cache_dir": "x"},
		"\"192.0.2.1\" is no name":        {"tls.acme_hosts": "192.0.2.1", "tls.acme_cache_dir": "x"},
		"only one can be set":             {"admin.password_hash": "secret", "admin.password_file": "x"},
	} {
		if _, err := Load(Sources{Flags: flags}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", flags, err)
		}
	}
}

// All nodes of a cluster can have the same list of peers.
func TestOwnAddressIsNoPeer(t *testing.T) {
	const all = "a:8020,b:8020,c:8020"
	base := map[string]string{"cluster.name": "c", "cluster.node": "n1", "cluster.peers": all}
	for _, tt := range []struct {
		listen, advertise string
		want              string // "": refused
	}{
		{"b:8020", "", "a:8020 c:8020"},
		{":8020", "c:8020", "a:8020 b:8020"},
		{":8020", "", ""},
		{":8020", "nowhere", ""},
	} {
		flags := map[string]string{"cluster.listen": tt.listen}
		for key, value := range base {
			flags[key] = value
		}
		env := []string{"FANFARE_CLUSTER_SECRET=0123456789abcdef0123456789abcdef", "FANFARE_CLUSTER_ADVERTISE=" + tt.advertise}
		c, err := Load(Sources{Flags: flags, Env: env})
		if got := strings.Join(c.Cluster.Peers, " "); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}

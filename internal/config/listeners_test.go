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

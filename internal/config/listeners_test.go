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
		"only one can be set":             {"admin.password_hash": "secret", "admin.password_file": "x"},
	} {
		if _, err := Load(Sources{Flags: flags}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", flags, err)
		}
	}
}

package config

import (
	"strings"
	"testing"
)

// A secret that two have is one key for both: an App's is that of nobody else.
func TestSecretsOfApps(t *testing.T) {
	const taken, own = "c2b1f9d07e6a4385b1c0d9e8f7a6b5c4", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	for name, env := range map[string][]string{
		"":                       {"FANFARE_API_KEY=" + own},
		"api.key":                {"FANFARE_API_KEY=" + taken},
		"app.secret":             {"FANFARE_APP_SECRET=" + taken},
		"tokens.previous_secret": {"FANFARE_APP_SECRET=" + own, "FANFARE_TOKENS_PREVIOUS_SECRET=" + taken},
		"another key":            {`FANFARE_APP_KEYS=[{"id":"other","scope":"read","secret":"` + taken + `"}]`},
	} {
		_, err := Load(Sources{Env: append(env, `FANFARE_APPS=[{"name":"shop","keys":[{"id":"k","scope":"sign","secret":"`+taken+`"}]}]`)})
		switch {
		case name == "" && err != nil:
			t.Error(err)
		case name != "" && (err == nil || !strings.Contains(err.Error(), "apps[shop].keys[k].secret: another key has it")):
			t.Errorf("%s has it: %v", name, err)
		case err != nil && strings.Contains(err.Error(), taken):
			t.Errorf("%s: the error shows it: %v", name, err)
		}
	}
}

package config

import (
	"strings"
	"testing"
	"time"
)

// Named backends come from the environment as from the file, and their secrets are
// printed no more than others.
func TestHookBackends(t *testing.T) {
	c := load(t, Sources{Env: []string{
		`FANFARE_HOOKS_BACKENDS=[{"name":"games","url":"https://games.example.org/","timeout":"1s","secret":"hush-hush-hush"},{"name":"chat","url":"https://c.example.org/"}]`,
		`FANFARE_CHANNEL_NAMESPACES=[{"name":"game","subscribe_proxy_enabled":true,"subscribe_proxy_name":"games"}]`,
	}})
	if b := c.Hooks.Backends; len(b) != 2 || b[0].Timeout != time.Second || b[0].Secret != "hush-hush-hush" || b[1].Name != "chat" {
		t.Errorf("%d backends, %+v", len(b), b)
	}
	printed, err := c.printed()
	if err != nil || strings.Contains(printed, "hush") || !strings.Contains(printed, "https://games.example.org/") {
		t.Errorf("%v\n%s", err, printed)
	}
}

func TestHookBackendsThatAreWrong(t *testing.T) {
	for name, tt := range map[string]struct{ value, want string }{
		"no JSON":       {`x`, "must be a list of backends in JSON"},
		"no list":       {`{"name":"aa"}`, "must be a list of backends"},
		"no name":       {`[{"url":"https://example.org/"}]`, "the name must match"},
		"no URL":        {`[{"name":"aa"}]`, "url: "},
		"a placeholder": {`[{"name":"aa","url":"https://example.org/","secret":"change-me"}]`, "placeholder"},
	} {
		_, err := Load(Sources{Env: []string{"FANFARE_HOOKS_BACKENDS=" + tt.value}})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "hooks.backends") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

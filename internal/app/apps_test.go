package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/config"
)

// A file holds a secret, not what an example has in its place.
func TestSecretFiles(t *testing.T) {
	for text, want := range map[string]string{
		"0f1e2d3c4b5a69788796a5b4c3d2e1f0\n": "",
		"changeme\n":                         "placeholder",
		"\n":                                 "is empty",
	} {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := fixedKeys([]config.AppKey{{ID: "k", Scope: "sign", SecretFile: file}}, "app.keys")
		switch {
		case want == "" && (err != nil || keys[0].Secrets[0].Text != strings.TrimSpace(text)):
			t.Errorf("%q: %+v, %v", text, keys, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v", text, err)
		}
	}
}

package config

import "testing"

func TestPlaceholders(t *testing.T) {
	tests := map[bool][]Secret{
		true: {
			"…", "...", "***", "********", "-", " ", "change-me", "CHANGE_ME", "changeme!", "Change me", "replace-me", "<your secret>",
			"${APP_SECRET}", "{{ .Values.secret }}", "%SECRET%", "__SECRET__", "your-secret-key", "your_api_key", "xxx", "__", "{{}}", "<>",
		},
		false: {
			"", "dev", "s", "secret", "app-secret", "correct horse battery staple", "5f2b6c0e9d1a47c38be0f6a1d24c9e77",
			"change-me-not-5f2b6c0e", "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm8=", "pass%word",
		},
	}
	for want, list := range tests {
		for _, s := range list {
			if got := IsPlaceholder(s); got != want {
				t.Errorf("%q: %v", string(s), got)
			}
		}
	}
}

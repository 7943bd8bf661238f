package transport

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOrigins(t *testing.T) {
	tests := []struct {
		patterns []string
		origin   string
		want     bool
		foreign  string
	}{
		{nil, "", true, ""},
		{nil, "http://push.example.org:8000", true, ""},
		{nil, "https://PUSH.example.org:8000", true, ""},
		{nil, "http://push.example.org", false, ""},
		{nil, "http://evil.example", false, ""},
		{nil, "null", false, ""},
		{nil, "::", false, ""},
		{[]string{"*"}, "http://evil.example", true, "http://evil.example"},
		{[]string{"*"}, "null", true, "null"},
		{[]string{"https://app.example.org"}, "https://app.example.org", true, "https://app.example.org"},
		{[]string{"https://App.example.org"}, "https://aPP.example.org", true, "https://aPP.example.org"},
		{[]string{"https://app.example.org"}, "http://app.example.org", false, ""},
		{[]string{"https://app.example.org"}, "https://app.example.org:8443", false, ""},
		{[]string{"https://app.example.org"}, "https://app.example.org.evil.example", false, ""},
		{[]string{"https://*.example.org"}, "https://a.b.example.org", true, "https://a.b.example.org"},
		{[]string{"https://*.example.org"}, "https://example.org", false, ""},
		{[]string{"https://*.example.org"}, "https://evil.example/.example.org", false, ""},
		{[]string{"http://localhost:*"}, "http://localhost:5173", true, "http://localhost:5173"},
		{[]string{"http://[::1]:*"}, "http://[::1]:5173", true, "http://[::1]:5173"},
		{[]string{"http://[::1]"}, "http://:", false, ""},
		{[]string{"https://a.example", "https://b.example"}, "https://b.example", true, "https://b.example"},
	}
	for _, tt := range tests {
		o, err := NewOrigins(tt.patterns)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://push.example.org:8000/", http.NoBody)
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if foreign, got := o.Foreign(r); got != tt.want || foreign != tt.foreign || o.Allowed(r) != got {
			t.Errorf("%q of %q: %v, %q", tt.origin, tt.patterns, got, foreign)
		}
	}
}

func TestOriginsRefuse(t *testing.T) {
	for _, p := range []string{"", "example.org", "https://", "://a", "https://a/b", "https://a?b", "https://a#b", "https://u@a", "https://[a"} {
		if _, err := NewOrigins([]string{p}); err == nil {
			t.Errorf("%q is no pattern", p)
		}
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/admin/password"
)

func TestAdminPassword(t *testing.T) {
	const given = "correct horse battery"
	for _, stdin := range []string{given, given + "\n", given + "\r\nmore\n"} {
		out, stderr, err := run(t, stdin, "admin", "password")
		if err != nil || stderr != "" {
			t.Fatalf("%v: %s", err, stderr)
		}
		hash, err := password.Parse(out)
		if err != nil || !hash.Matches(given) {
			t.Errorf("%q: %v: %s", stdin, err, out)
		}
	}
	out, made, err := run(t, "", "admin", "password", "--generate")
	if err != nil {
		t.Fatal(err)
	}
	hash, err := password.Parse(out)
	if err != nil || !hash.Matches(strings.TrimSpace(made)) {
		t.Errorf("%v: the generated password is not that of its hash", err)
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", password.MaxLength+1)} {
		if out, _, err := run(t, bad, "admin", "password"); err == nil || out != "" {
			t.Errorf("%d bytes: %v, %s", len(bad), err, out)
		}
	}
}

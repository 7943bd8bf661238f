package channel

import (
	"errors"
	"strings"
	"testing"
)

// Patterns that take exponential time where matching goes back: here they would
// not end before the test does.
func TestPatternsDoNotBlowUp(t *testing.T) {
	name := strings.Repeat("a", MaxNameLength-1) + "!"
	for _, regex := range []string{`^(a+)+$`, `^(a|aa)+$`, `^(a|a?)+$`, `^([a-z]+)*$`, `^(.*a){20}$`} {
		ns, err := NewNamespaces(Options{ChannelRegex: regex}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ns.Resolve(name); !errors.Is(err, ErrBadName) {
			t.Errorf("%s: %v", regex, err)
		}
	}
	pattern := strings.Repeat("a*", MaxNameLength/2) + "b"
	if glob(pattern, name) || !glob(pattern, strings.Repeat("a", MaxNameLength/2)+"b") {
		t.Error("wrong match")
	}
}

// RE2 refuses what would need much memory.
func TestRegexThatIsTooLargeIsRefused(t *testing.T) {
	for _, regex := range []string{`^((a{100}){100}){100}$`, `^a{1001}$`, strings.Repeat("(", 2000) + strings.Repeat(")", 2000)} {
		if _, err := NewNamespaces(Options{ChannelRegex: regex}, nil); err == nil {
			t.Errorf("%.30s is taken", regex)
		}
	}
}

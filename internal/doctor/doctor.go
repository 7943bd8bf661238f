package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/fanfare-push/fanfare/internal/config"
)

// Severity says how bad a finding is.
type Severity string

// The severities, the worst first.
const (
	Error   Severity = "error"   // do not run a server like this
	Warning Severity = "warning" // unsafe, or not what was meant, in most places
	Note    Severity = "note"    // odd
)

// Finding is one thing that is unsafe or odd.
type Finding struct {
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule"`    // which one found it; stays the same
	Setting  string   `json:"setting"` // as the documentation calls it
	Why      string   `json:"why"`
	Do       string   `json:"do"`
}

// Check judges settings that config.Load has accepted by every rule; m is asked by
// those that look at files and limits of the machine, and nil leaves them out. The
// worst comes first.
func Check(cfg *config.Config, m Machine) []Finding {
	found := []Finding{}
	for _, r := range rules {
		if cfg.Dev && !r.inDev || r.onMachine != nil && m == nil {
			continue // dev mode opens everything on purpose, and is a finding itself
		}
		add := func(s Severity, setting, why, do string) {
			found = append(found, Finding{s, r.name, setting, why, do})
		}
		if r.onMachine != nil {
			r.onMachine(cfg, m, add)
		} else {
			r.find(cfg, add)
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return rank(a.Severity) - rank(b.Severity) })
	return found
}

// Unloadable makes findings of what config.Load refused: one of each line.
func Unloadable(err error) []Finding {
	found := []Finding{}
	for line := range strings.Lines(err.Error()) {
		setting, why, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		found = append(found, Finding{Error, "settings", setting, why, "correct it: no server starts with it"})
	}
	return found
}

func rank(s Severity) int { return slices.Index([]Severity{Error, Warning, Note}, s) }

// Count is how many findings have a severity.
func Count(found []Finding, s Severity) (n int) {
	for i := range found {
		if found[i].Severity == s {
			n++
		}
	}
	return n
}

// Write tells findings to a person, and how many there are.
func Write(w io.Writer, found []Finding) error {
	if err := List(w, found); err != nil {
		return err
	}
	end := "nothing is unsafe or odd in these settings"
	if len(found) > 0 {
		end = fmt.Sprintf("%s, %s, %s", number(found, Error), number(found, Warning), number(found, Note))
	}
	_, err := fmt.Fprintln(w, end)
	return err
}

// List tells findings alone. What comes from the settings may hold what a terminal
// would obey, and is told without.
func List(w io.Writer, found []Finding) error {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%-8s %s: %s\n         → %s\n", f.Severity, f.Setting, f.Why, f.Do)
	}
	_, err := io.WriteString(w, printable(b.String()))
	return err
}

func number(found []Finding, s Severity) string {
	n := Count(found, s)
	if n == 1 {
		return "1 " + string(s)
	}
	return fmt.Sprintf("%d %ss", n, s)
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

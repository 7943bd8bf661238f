package imports

import (
	"fmt"
	"slices"
	"strings"
)

// pkg is what `go list -json` says of one package.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// forbidden reports every import of pkgs, a module's packages, that a rule forbids.
func forbidden(module string, pkgs []pkg, rules []edge) []string {
	var faults []string
	for _, p := range pkgs {
		from := relative(module, p.ImportPath)
		for _, rule := range rules {
			if !matches(rule.from, from) || slices.ContainsFunc(rule.except, func(pattern string) bool { return matches(pattern, from) }) {
				continue
			}
			for _, to := range p.Imports {
				to = relative(module, to)
				if to != from && slices.ContainsFunc(rule.to, func(pattern string) bool { return matches(pattern, to) }) {
					faults = append(faults, fmt.Sprintf("%s imports %s: %s", from, to, rule.why))
				}
			}
		}
	}
	return faults
}

// ownTests stands in a row of the table for a module that only tests import.
const ownTests = "tests"

// owners maps a third-party module to the packages that may import it.
type owners map[string][]string

// of finds the row of an import path; "" when no module of the table holds it.
func (o owners) of(path string) (module string) {
	for m := range o {
		if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(module) {
			module = m
		}
	}
	return module
}

// strangers reports third-party imports without a row, and those outside their
// owner. Tests may use any module that has a row.
func (o owners) strangers(module string, pkgs []pkg) []string {
	var faults []string
	for _, p := range pkgs {
		from := relative(module, p.ImportPath)
		for _, path := range p.Imports {
			if !thirdParty(module, path) {
				continue
			}
			switch m := o.of(path); {
			case m == "":
				faults = append(faults, fmt.Sprintf("%s imports %s: no row in ARCHITECTURE.md says why and who owns it", from, path))
			case !slices.Contains(o[m], from):
				faults = append(faults, fmt.Sprintf("%s imports %s: its owner is %s; ask there", from, path, strings.Join(o[m], ", ")))
			}
		}
		for _, path := range append(slices.Clone(p.TestImports), p.XTestImports...) {
			if thirdParty(module, path) && o.of(path) == "" {
				faults = append(faults, fmt.Sprintf("tests of %s import %s: no row in ARCHITECTURE.md says why", from, path))
			}
		}
	}
	return faults
}

// parseOwners reads the table under "## Dependencies": the module in the second
// column, without the host when that is github.com, the owners in the last.
func parseOwners(markdown string) owners {
	_, section, _ := strings.Cut(markdown, "\n## Dependencies\n")
	section, _, _ = strings.Cut(section, "\n## ")
	table := owners{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || !strings.Contains(cells[1], "`") || strings.TrimSpace(cells[3]) == "–" {
			continue // the head, or the standard library
		}
		var own []string
		for owner := range strings.SplitSeq(cells[3], ",") {
			own = append(own, strings.Trim(strings.TrimSpace(owner), "`"))
		}
		for module := range strings.SplitSeq(cells[1], ",") {
			module = strings.Trim(strings.TrimSpace(module), "`")
			if first, _, _ := strings.Cut(module, "/"); !strings.Contains(first, ".") {
				module = "github.com/" + module
			}
			table[module] = own
		}
	}
	return table
}

func relative(module, path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func thirdParty(module, path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && path != module && !strings.HasPrefix(path, module+"/")
}

func matches(pattern, path string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == base || strings.HasPrefix(path, base+"/")
	}
	if base, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(path, base+"/")
	}
	return path == pattern
}

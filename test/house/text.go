package house

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// hosts of package registries; which one is used is the business of whoever
// installs.
var hosts = []string{
	"registry." + "npmjs.org", "registry." + "yarnpkg.com", "proxy." + "golang.org", "sum." + "golang.org",
	"deb." + "debian.org", "pypi." + "org", "static." + "crates.io",
}

// absolute is a path that exists on one machine only; homes is what one begins with.
var (
	absolute = regexp.MustCompile(`(?:^|[\s"'` + "`" + `=(:])(/(?:home|root|Users|work)/[\w.-]+)`)
	homes    = []string{"/home/", "/root/", "/Users/", "/work/"}
)

// machineBound reports registries and paths of one machine in a text file.
func machineBound(name, text string) []string {
	var faults []string
	n := 0
	for line := range strings.Lines(text) {
		n++
		for _, host := range hosts {
			if strings.Contains(line, host) {
				faults = append(faults, fmt.Sprintf("%s:%d: %s: which registry is used is for the user to say", name, n, host))
			}
		}
		if !slices.ContainsFunc(homes, func(home string) bool { return strings.Contains(line, home) }) {
			continue // the expression is slow, and there are many lines
		}
		if m := absolute.FindStringSubmatch(line); m != nil {
			faults = append(faults, fmt.Sprintf("%s:%d: %s exists on one machine only", name, n, m[1]))
		}
	}
	return faults
}

var (
	reference = regexp.MustCompile("`([\\w./-]+\\.go)#(\\w+)`")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	treePath  = regexp.MustCompile("`((?:internal|cmd|test|bench|client|docs|tools)(?:/[\\w.-]+)+)/?`")
	fence     = regexp.MustCompile("(?ms)^```.*?\n```")
	inline    = regexp.MustCompile("`[^`\n]+`")
)

// mention is what a page of documentation says exists.
type mention struct {
	path   string // relative to the root
	symbol string // "": the path alone
	raw    string
}

// mentions finds the paths, links and path#Symbol references of a page. dir is
// the directory of the page, which links start from.
func mentions(dir, markdown string) []mention {
	var found []mention
	for _, m := range reference.FindAllStringSubmatch(markdown, -1) {
		found = append(found, mention{path: m[1], symbol: m[2], raw: m[0]})
	}
	prose := fence.ReplaceAllString(markdown, "")
	for _, m := range treePath.FindAllStringSubmatch(prose, -1) {
		found = append(found, mention{path: m[1], raw: m[0]})
	}
	for _, m := range link.FindAllStringSubmatch(prose, -1) {
		target, _, _ := strings.Cut(m[1], "#")
		if target == "" || strings.Contains(target, ":") {
			continue // a heading of this page, or elsewhere
		}
		if dir != "." {
			target = dir + "/" + target
		}
		found = append(found, mention{path: target, raw: m[0]})
	}
	return found
}

var makeTarget = regexp.MustCompile(`\bmake ([a-z]+)\b`)

// makeTargets finds the `make x` commands that a page shows.
func makeTargets(markdown string) []string {
	var names []string
	for _, m := range makeTarget.FindAllStringSubmatch(codeOf(markdown), -1) {
		names = append(names, m[1])
	}
	return names
}

// codeOf is what a page shows as code.
func codeOf(markdown string) string {
	code := fence.FindAllString(markdown, -1)
	code = append(code, inline.FindAllString(fence.ReplaceAllString(markdown, ""), -1)...)
	return strings.Join(code, "\n")
}

// threats checks the table under "## Threats": asset, attack, defence and the
// tests that show it, each a function of a Go test or a file of another suite.
func threats(markdown string) (rows int, faults []string) {
	_, section, _ := strings.Cut(markdown, "## Threats\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| asset |") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 4 || slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) == "" }) {
			faults = append(faults, line+": a threat has 4 cells, none of them empty")
			continue
		}
		tests := mentions(".", cells[3])
		if len(tests) == 0 {
			faults = append(faults, line+": names no test")
		}
		for _, m := range tests {
			if fault := noTest(m); fault != "" {
				faults = append(faults, m.raw+": "+fault)
			}
		}
	}
	return rows, faults
}

// noTest says why a mention is no test; "": it is one.
func noTest(m mention) string {
	switch {
	case strings.HasSuffix(m.path, ".test.mjs"):
		return ""
	case !strings.HasSuffix(m.path, "_test.go"):
		return "is no file of tests"
	case m.symbol == "":
		return "say which one of the file"
	case !strings.HasPrefix(m.symbol, "Test") && !strings.HasPrefix(m.symbol, "Fuzz"):
		return "is no test"
	}
	return ""
}

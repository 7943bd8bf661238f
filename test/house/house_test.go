package house

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

var root = filepath.Join("..", "..")

func TestSizes(t *testing.T)         { eachSource(t, (*source).sizes) }
func TestSleepsInTests(t *testing.T) { eachSource(t, (*source).sleeps) }
func TestLeftovers(t *testing.T)     { eachSource(t, (*source).leftovers) }
func TestComparisons(t *testing.T)   { eachSource(t, (*source).comparisons) }

func TestExceptionsAreStillThere(t *testing.T) {
	for name := range large {
		file, symbol, _ := strings.Cut(name, "#")
		src, err := parse(file, read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if symbol != "" && !src.declares(symbol) {
			t.Errorf("the exception %s is no longer needed", name)
		}
	}
}

func TestPackagesSayWhatTheyOwn(t *testing.T) {
	for _, fault := range undocumented(tracked(t)) {
		t.Error(fault)
	}
}

func TestNothingIsBoundToOneMachine(t *testing.T) {
	for _, name := range tracked(t) {
		text := read(t, name)
		if !utf8.ValidString(text) || path.Base(name) == "go.sum" {
			continue // pictures, checksums
		}
		for _, fault := range machineBound(name, text) {
			t.Error(fault)
		}
	}
}

func TestLockFilesNameNoRegistry(t *testing.T) {
	locks := 0
	for _, name := range tracked(t) {
		if path.Base(name) != "package-lock.json" {
			continue
		}
		locks++
		if strings.Contains(read(t, name), `"resolved": "http`) {
			t.Errorf("%s: make it with npm install --omit-lockfile-registry-resolved", name)
		}
	}
	if locks == 0 {
		t.Error("no package-lock.json is tracked")
	}
}

func TestPagesNameWhatExists(t *testing.T) {
	pages := 0
	for _, name := range tracked(t) {
		if path.Ext(name) != ".md" {
			continue
		}
		pages++
		for _, m := range mentions(path.Dir(name), read(t, name)) {
			if fault := missing(t, m); fault != "" {
				t.Errorf("%s: %s: %s", name, m.raw, fault)
			}
		}
	}
	if pages == 0 {
		t.Error("no page is tracked")
	}
	if len(mentions(".", read(t, "ARCHITECTURE.md"))) == 0 {
		t.Error("ARCHITECTURE.md refers to nothing")
	}
}

func TestEveryThreatHasATest(t *testing.T) {
	rows, faults := threats(read(t, "SECURITY.md"))
	for _, fault := range faults {
		t.Error("SECURITY.md: " + fault)
	}
	if rows == 0 {
		t.Error("SECURITY.md has no table of threats")
	}
	// That the tests exist is checked as for any page.
}

func TestPagesNameTargetsOfTheMakefile(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, name := range []string{"README.md", "CONTRIBUTING.md"} {
		for _, target := range makeTargets(read(t, name)) {
			if !strings.Contains(makefile, "\n"+target+":") {
				t.Errorf("%s: make %s: the Makefile has no such target", name, target)
			}
		}
	}
}

func missing(t *testing.T, m mention) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(m.path))); err != nil {
		return "no such file"
	}
	if m.symbol == "" {
		return ""
	}
	src, err := parse(m.path, read(t, m.path))
	if err != nil {
		return err.Error()
	}
	if !src.declares(m.symbol) {
		return "the file declares no such symbol"
	}
	return ""
}

// sources is every Go file that is tracked, read once for all checks, or why not.
var sources = sync.OnceValues(func() (list []*source, err error) {
	names, err := index()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if path.Ext(name) != ".go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		src, err := parse(name, string(text))
		if err != nil {
			return nil, err
		}
		list = append(list, src)
	}
	return list, nil
})

func eachSource(t *testing.T, check func(*source) []string) {
	t.Helper()
	list, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range list {
		for _, fault := range check(src) {
			t.Error(fault)
		}
	}
	if len(list) == 0 {
		t.Fatal("no Go file is tracked")
	}
}

func tracked(t *testing.T) []string {
	t.Helper()
	names, err := index()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// index lists what git has in its index and the tree still has.
var index = sync.OnceValues(func() ([]string, error) {
	cmd := exec.CommandContext(context.Background(), "git", "ls-files", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	files := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	return slices.DeleteFunc(files, func(name string) bool {
		_, err := os.Lstat(filepath.Join(root, filepath.FromSlash(name)))
		return err != nil
	}), nil
})

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

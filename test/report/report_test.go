package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/*.txt")

// The streams hold every way in which a package or file can end: passed, failed,
// skipped, not built, crashed, without tests.
func TestReports(t *testing.T) {
	tests := []struct {
		name    string
		read    func(io.Reader, *tally)
		summary string
	}{
		{"gotest", readGo, "1 passed, 4 failed, 1 skipped"},
		{"node", readNode, "3 passed, 2 failed, 1 skipped"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, err := os.Open(filepath.Join("testdata", tt.name+".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = in.Close() }()
			var out bytes.Buffer
			total := &tally{out: &out}
			tt.read(in, total)
			if got := total.summary(); got != tt.summary {
				t.Errorf("summary %q, want %q", got, tt.summary)
			}
			golden(t, filepath.Join("testdata", tt.name+".txt"), out.Bytes())
		})
	}
}

func TestSummaryWithoutSkips(t *testing.T) {
	total := &tally{out: io.Discard, passed: 3}
	if got := total.summary(); got != "3 passed, 0 failed" {
		t.Errorf("%q", got)
	}
	total.fault("suite", errors.New("did not start"))
	if got := total.summary(); got != "3 passed, 1 failed" {
		t.Errorf("%q", got)
	}
}

// A command that fails or runs nothing must not pass for a suite that passed.
func TestSuiteThatRunsNothingFails(t *testing.T) {
	for name, s := range map[string]suite{
		"fails":    {dir: ".", argv: []string{"go", "no-such-command"}, read: readGo},
		"silent":   {dir: ".", argv: []string{"go", "version"}, read: func(io.Reader, *tally) {}},
		"nowhere":  {dir: "no-such-dir", argv: []string{"go", "version"}, read: readGo},
		"no tests": {dir: ".", argv: []string{"go", "test", "-json", "-run", "^$", "."}, read: readGo},
	} {
		if err := s.run(t.Context(), &tally{out: io.Discard}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What lanes count beside each other is counted once, a suite that fails does not
// end its lane, and lines stay whole.
func TestLanesAreCounted(t *testing.T) {
	const tests = 50
	passes := suite{dir: ".", argv: []string{"go", "version"}, read: func(_ io.Reader, total *tally) {
		for range tests {
			total.passed++
			total.finished("a file", true, 1, 0)
		}
	}}
	fails := suite{dir: ".", argv: []string{"go", "version"}, read: func(io.Reader, *tally) {}}
	var out bytes.Buffer
	total := runAll(t.Context(), [][]suite{{passes, fails, passes}, {fails, passes}}, &shared{to: &out})
	if got := total.summary(); got != "150 passed, 2 failed" {
		t.Errorf("summary %q", got)
	}
	whole := 0
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "ok   a file ") && strings.HasSuffix(line, " 1 tests    0.0s\n") {
			whole++
		}
	}
	if whole != 3*tests {
		t.Errorf("%d whole lines of %d:\n%s", whole, 3*tests, out.String())
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it):\n%s", file, got)
	}
}

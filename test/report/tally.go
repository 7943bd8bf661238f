package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// tally counts tests and prints what is worth reading.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
}

// add takes over what another has counted.
func (t *tally) add(u *tally) {
	t.passed += u.passed
	t.failed += u.failed
	t.skipped += u.skipped
}

// summary is the closing line.
func (t *tally) summary() string {
	line := fmt.Sprintf("%d passed, %d failed", t.passed, t.failed)
	if t.skipped > 0 {
		line += fmt.Sprintf(", %d skipped", t.skipped)
	}
	return line
}

// fault counts something that failed without being a test.
func (t *tally) fault(where string, err error) {
	t.failed++
	t.printf("FAIL %s: %v\n", where, err)
}

// finished prints the line of one package or file.
func (t *tally) finished(name string, ok bool, tests int, took time.Duration) {
	word := "ok  "
	if !ok {
		word = "FAIL"
	}
	t.printf("%s %-44s %4d tests %6.1fs\n", word, name, tests, took.Seconds())
}

// note prints what a test that passed has to say.
func (t *tally) note(test, text string) { t.printf("     %s: %s\n", test, text) }

// failure prints everything a failed test said.
func (t *tally) failure(name string, output []string) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n--- %s\n", name)
	for _, text := range output {
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "=== ") { // what go test says between tests
				fmt.Fprintf(&b, "    %s\n", strings.TrimRight(line, "\n"))
			}
		}
	}
	t.printf("%s", b.String())
}

// printf writes at once, so that what other suites say does not come between.
func (t *tally) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }

// shared is an output that suites write to at the same time.
type shared struct {
	mu sync.Mutex
	to io.Writer
}

// Write implements io.Writer.
func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Write(p)
}

// maxLine bounds one line of JSON; longer ones end the reading.
const maxLine = 16 << 20

func lines(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	return s
}

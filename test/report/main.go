package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// suite is a command that reports its tests as lines of JSON.
type suite struct {
	dir  string
	argv []string
	read func(io.Reader, *tally)
	env  []string // besides this process's
}

// lanes run beside each other, the suites of each one after the other: most of
// the time most tests wait, for timers and for processes. The lane of the Go tests
// is the longest; the others end while it lasts.
func lanes(pattern []string) [][]suite {
	return [][]suite{
		// -count=1: a cached pass says nothing about the binary that is run.
		{{
			dir: ".", argv: append([]string{"go", "test", "-json", "-race", "-count=1", "-timeout=15m", "-p=" + strconv.Itoa(atOnce())}, pattern...),
			read: readGo,
		}},
		{
			{dir: "js", argv: []string{"node", "--test", hangs, "--test-reporter=../test/report/reporter.mjs"}, read: readNode},
			{dir: "test/npm", argv: slices.Concat(node, []string{"--test-concurrency=4"}), read: readNode},
			// A module of its own, with what the published Go SDK needs.
			{dir: "test/sdk", argv: []string{"go", "test", "-json", "-race", "-count=1", "-timeout=5m", "./..."}, read: readGo},
		},
		{
			{dir: "test/browser", argv: slices.Concat(node, []string{"--test-concurrency=1"}), read: readNode}, // one browser at a time
			// Crashes by the thousand, which the race detector is too slow for.
			{
				dir: ".", argv: []string{"go", "test", "-json", "-count=1", "-run=^TestCrashAudit$", "./internal/engine/local"},
				read: readGo, env: []string{"FANFARE_CRASHES=2000"},
			},
		},
	}
}

// atOnce is how many packages are built and tested at a time: one more than a
// small machine has cores, as those that take longest wait for much of it.
func atOnce() int { return max(3, runtime.NumCPU()) }

var node = []string{"node", "--test", hangs, "--test-reporter=../report/reporter.mjs"}

// hangs ends a test or file that waits for ever, and fails it; Node itself does not.
const hangs = "--test-timeout=300000"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	start := time.Now()
	total := runAll(ctx, lanes([]string{"./..."}), &shared{to: os.Stdout})
	stop()
	fmt.Printf("\n%s\n%s\n", time.Since(start).Round(time.Second), total.summary())
	if total.failed > 0 || total.passed == 0 {
		os.Exit(1)
	}
}

// runAll runs lanes to their ends and counts everything.
func runAll(ctx context.Context, lanes [][]suite, out io.Writer) *tally {
	total := &tally{out: out}
	var mu sync.Mutex // guards total
	var running sync.WaitGroup
	for _, lane := range lanes {
		running.Go(func() {
			for _, s := range lane {
				t := s.tally(ctx, out)
				mu.Lock()
				total.add(t)
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return total
}

// tally runs a suite and counts it, its own failure too.
func (s suite) tally(ctx context.Context, out io.Writer) *tally {
	start := time.Now()
	t := &tally{out: out}
	if err := s.run(ctx, t); err != nil {
		t.fault(s.dir, err)
	}
	t.printf("     %s %s: %s\n", s.argv[0], s.dir, time.Since(start).Round(time.Second))
	return t
}

// run runs one suite to its end, into a tally of its own. A command that fails without a failed test, by a
// crash or a test that could not be loaded, is an error.
func (s suite) run(ctx context.Context, total *tally) error {
	if _, err := os.Stat(s.dir); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.read(out, total)
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil && total.failed == 0:
		return fmt.Errorf("%s: %w", s.argv[0], err)
	case err == nil && total.passed == 0:
		return errors.New("ran no test")
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
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

func suites(pattern []string) []suite {
	return []suite{
		// -count=1: a cached pass says nothing about the binary that is run.
		{dir: ".", argv: append([]string{"go", "test", "-json", "-race", "-count=1", "-timeout=15m"}, pattern...), read: readGo},
		// Crashes by the thousand, which the race detector is too slow for.
		{
			dir: ".", argv: []string{"go", "test", "-json", "-count=1", "-run=^TestCrashAudit$", "./internal/engine/local"},
			read: readGo, env: []string{"FANFARE_CRASHES=2000"},
		},
		// A module of its own, with what the published Go SDK needs.
		{dir: "test/sdk", argv: []string{"go", "test", "-json", "-race", "-count=1", "-timeout=5m", "./..."}, read: readGo},
		{dir: "js", argv: []string{"node", "--test", "--test-reporter=../test/report/reporter.mjs"}, read: readNode},
		{dir: "test/npm", argv: node, read: readNode},
		{dir: "test/browser", argv: slices.Concat(node, []string{"--test-concurrency=1"}), read: readNode}, // one browser at a time
	}
}

var node = []string{"node", "--test", "--test-reporter=../report/reporter.mjs"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	start := time.Now()
	total := &tally{out: os.Stdout}
	for _, s := range suites([]string{"./..."}) {
		if err := s.run(ctx, total); err != nil {
			total.fault(s.dir, err)
		}
	}
	stop()
	fmt.Printf("\n%s\n%s\n", time.Since(start).Round(time.Second), total.summary())
	if total.failed > 0 || total.passed == 0 {
		os.Exit(1)
	}
}

// run runs one suite to its end. A command that fails without a failed test, by a
// crash or a test that could not be loaded, is an error.
func (s suite) run(ctx context.Context, total *tally) error {
	if _, err := os.Stat(s.dir); err != nil {
		return err
	}
	before := *total
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
	case err != nil && total.failed == before.failed:
		return fmt.Errorf("%s: %w", s.argv[0], err)
	case err == nil && total.passed == before.passed:
		return errors.New("ran no test")
	}
	return nil
}

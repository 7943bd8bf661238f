package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// head is the top of the page: what was measured, where, and how to do it again.
func (b *bench) head(ctx context.Context) (string, error) {
	commit, err := output(ctx, "git", "describe", "--always", "--dirty", "--abbrev=10")
	if err != nil {
		return "", err
	}
	how := "on the cores that the system gave them"
	if b.cpu != nil {
		how = "the server on one core with GOMAXPROCS=1, the load on another"
	}
	return fmt.Sprintf("# Measurements of %s\n\n%s, %d cores (%s), %s/%s, %s; loopback, %s.\n"+
		"Medians of %d run(s) of %s. Absolute numbers hold for this machine; look at the ratios. `limit` is a loop that\n"+
		"sends one shared frame with one system call for each connection, and knows no protocol; it ran in turn with the server.\n\n```sh\n%s\n```\n",
		commit, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH, runtime.Version(), how,
		b.runs, b.dur, b.again()), nil
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "unknown"
}

// again is the command that makes this page.
func (b *bench) again() string {
	if flag.NFlag() == 0 {
		return "make bench"
	}
	args := []string{"go run ./bench/run"}
	flag.Visit(func(f *flag.Flag) {
		if f.Name != "results" && f.Name != "pushbench" { // paths of one machine
			args = append(args, fmt.Sprintf("-%s=%s", f.Name, f.Value))
		}
	})
	return strings.Join(args, " ")
}

// stem names the files of this run: pages of single sections beside the whole one.
func (b *bench) stem() string {
	name := time.Now().UTC().Format(time.DateOnly) + "-" + b.commit
	if b.only != "" {
		name += "-" + strings.ReplaceAll(strings.ReplaceAll(b.only, " ", ""), ",", "-")
	}
	return name
}

func (b *bench) write(page string) error {
	if err := os.MkdirAll(b.results, 0o755); err != nil {
		return err
	}
	file := filepath.Join(b.results, b.stem()+".md")
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		return err
	}
	fmt.Println("\nwritten to", file)
	return nil
}

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

// bench is one invocation.
type bench struct {
	runs    int
	dur     time.Duration
	results string // directory
	tools   string // directory of pushbench's source
	goBench bool

	dir string // temporary, for binaries and data
	bin string
	cpu []string // pins a process to the server's core; nil: not here
}

func main() {
	b := &bench{}
	flag.IntVar(&b.runs, "runs", 3, "runs of each measurement; the median counts")
	flag.DurationVar(&b.dur, "dur", 4*time.Second, "how long one run measures")
	flag.StringVar(&b.results, "results", filepath.Join("bench", "results"), "where the page goes")
	flag.StringVar(&b.tools, "pushbench", filepath.Join("..", "shared", "pushbench"), "source of the load generator; without it only HTTP publishes are measured")
	flag.BoolVar(&b.goBench, "go", true, "run the Go benchmarks too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := b.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "fanfare-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b.dir = dir
	if b.bin, err = server.Build(ctx, dir); err != nil {
		return err
	}
	if _, err := exec.LookPath("taskset"); err == nil && runtime.NumCPU() > 1 {
		b.cpu = []string{"taskset", "-c"}
	}
	page, err := b.page(ctx)
	if err != nil {
		return err
	}
	sections := []func(context.Context) (string, error){b.publishes, b.pushes, b.fanouts}
	if b.goBench {
		sections = append(sections, goBenchmarks)
	}
	for _, section := range sections {
		text, err := section(ctx)
		if err != nil {
			return err
		}
		page += text
	}
	return b.write(ctx, page)
}

// pin runs a process on one core, where that can be done: the server on the first,
// whoever loads it on the second.
func (b *bench) pin(core string) []string {
	if b.cpu == nil {
		return nil
	}
	return append(append([]string{}, b.cpu...), core)
}

const (
	serverCore = "0"
	loaderCore = "1"
)

// page is the head of the page: what was measured, where, and how to do it again.
func (b *bench) page(ctx context.Context) (string, error) {
	commit, err := output(ctx, "git", "describe", "--always", "--dirty", "--abbrev=10")
	if err != nil {
		return "", err
	}
	how := "on the cores that the system gave them"
	if b.cpu != nil {
		how = "the server on one core with GOMAXPROCS=1, the load on another"
	}
	return fmt.Sprintf("# Measurements of %s\n\n%s, %d cores, %s/%s, %s; loopback, %s.\n"+
		"Medians of %d runs of %s. Absolute numbers hold for this machine; look at the ratios.\n\n```sh\n%s\n```\n",
		commit, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), how,
		b.runs, b.dur, b.command()), nil
}

// command is what makes this page again.
func (b *bench) command() string {
	if flag.NFlag() == 0 {
		return "make bench"
	}
	args := []string{"go run ./bench/run"}
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "runs" || f.Name == "dur" || f.Name == "go" {
			args = append(args, fmt.Sprintf("-%s=%s", f.Name, f.Value))
		}
	})
	return strings.Join(args, " ")
}

func (b *bench) write(ctx context.Context, page string) error {
	commit, err := output(ctx, "git", "rev-parse", "--short=10", "HEAD")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.results, 0o755); err != nil {
		return err
	}
	file := filepath.Join(b.results, time.Now().UTC().Format(time.DateOnly)+"-"+commit+".md")
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		return err
	}
	fmt.Println("\nwritten to", file)
	return nil
}

// goBenchmarks runs the benchmarks of the module, benchstat's table of them.
func goBenchmarks(ctx context.Context) (string, error) {
	fmt.Println("Go benchmarks, ./...")
	raw, err := output(ctx, "go", "test", "-run=^$", "-bench=.", "-benchmem", "-count=3", "./...")
	if err != nil {
		return "", err
	}
	stat := exec.CommandContext(ctx, "go", "tool", "-modfile=tools/go.mod", "benchstat", "/dev/stdin")
	stat.Stdin = strings.NewReader(raw)
	table, err := stat.Output()
	if err != nil {
		return "", fmt.Errorf("benchstat: %w", err)
	}
	fmt.Print(string(table))
	return "\n## Go benchmarks\n\n```\n" + strings.ReplaceAll(string(table), "/dev/stdin", "         ") + "```\n", nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

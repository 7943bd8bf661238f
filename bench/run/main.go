package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

// bench is one invocation.
type bench struct {
	runs    int
	dur     time.Duration
	hold    time.Duration
	results string // directory
	tools   string // directory of pushbench's source
	only    string // sections, separated by commas; "": all

	dir    string // temporary, for binaries and data
	commit string // what is measured; HEAD may move meanwhile
	bin    string
	cpu    []string // pins a process to cores; nil: not here
}

// section is a part of the page.
type section struct {
	name    string
	measure func(context.Context) (string, error)
}

func (b *bench) sections() []section {
	return []section{
		{"idle", b.idles},
		{"held", b.pushes("held", "Idle sessions, held by pushbench")},
		{"connect", b.pushes("connect", "Connects")},
		{"fanout", b.pushes("fanout", "Fan-out")},
		{"rooms", b.pushes("rooms", "HTTP publishes to rooms of 2")},
		{"rate", b.pushes("rate", "A steady rate")},
		{"beside", b.besides},
		{"allocs", allocations},
		{"scale", b.scales},
		{"ways", b.fanouts},
		{"publish", b.publishes},
		{"identity", b.identities},
		{"limits", b.limits},
		{"cluster", b.clusters},
		{"many", b.many},
		{"go", b.goBenchmarks},
	}
}

func main() {
	b := &bench{}
	flag.IntVar(&b.runs, "runs", 7, "runs of each measurement; the median counts")
	flag.DurationVar(&b.dur, "dur", 8*time.Second, "how long one run measures")
	flag.DurationVar(&b.hold, "hold", 50*time.Second, "how long idle sessions are looked at: at least two intervals of pings")
	flag.StringVar(&b.only, "only", "", "sections, separated by commas: "+strings.Join(names(b.sections()), ", "))
	flag.StringVar(&b.results, "results", filepath.Join("bench", "results"), "where the page goes")
	flag.StringVar(&b.tools, "pushbench", filepath.Join("..", "shared", "pushbench"), "source of the load generator; what needs it is left out where it is not")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := b.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func names(list []section) (n []string) {
	for _, s := range list {
		n = append(n, s.name)
	}
	return n
}

// chosen are the sections that are asked for.
func (b *bench) chosen() ([]section, error) {
	all := b.sections()
	if b.only == "" {
		return all, nil
	}
	var list []section
	for name := range strings.SplitSeq(b.only, ",") {
		i := slices.IndexFunc(all, func(s section) bool { return s.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("no section %q; there are %s", name, strings.Join(names(all), ", "))
		}
		list = append(list, all[i])
	}
	return list, nil
}

func (b *bench) run(ctx context.Context) (err error) {
	sections, err := b.chosen()
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "fanfare-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	if b.bin, err = server.Build(ctx, b.dir); err != nil {
		return err
	}
	if err := b.buildTools(ctx); err != nil {
		return err
	}
	if _, err := exec.LookPath("taskset"); err == nil && runtime.NumCPU() > 1 {
		b.cpu = []string{"taskset", "-c"}
	}
	if b.commit, err = output(ctx, "git", "rev-parse", "--short=10", "HEAD"); err != nil {
		return err
	}
	page, err := b.head(ctx)
	if err != nil {
		return err
	}
	if err := b.stay(ctx, loaderCore); err != nil {
		return err
	}
	began := time.Now()
	for i, s := range sections {
		fmt.Printf("[%d of %d, %s] %s\n", i+1, len(sections), time.Since(began).Round(time.Second), s.name)
		text, err := s.measure(ctx)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s.name, err), b.write(page))
		}
		page += text
	}
	return b.write(page)
}

const (
	serverCore = "0"
	loaderCore = "1"
)

// pin runs a process on one core, where that can be done: the server on the first,
// whoever loads it on the second.
func (b *bench) pin(cores string) []string {
	if b.cpu == nil {
		return nil
	}
	return append(slices.Clone(b.cpu), cores)
}

func (b *bench) allCores() string { return "0-" + strconv.Itoa(runtime.NumCPU()-1) }

// stay pins this process, which is a load too.
func (b *bench) stay(ctx context.Context, cores string) error {
	if b.cpu == nil {
		return nil
	}
	_, err := output(ctx, "taskset", "-a", "-cp", cores, strconv.Itoa(os.Getpid()))
	return err
}

// temp is a path in the directory that goes with the run.
func (b *bench) temp(name string) string { return filepath.Join(b.dir, name) }

// allocations tells what a test of the hub asserts.
func allocations(ctx context.Context) (string, error) {
	const test = "TestDeliveryAllocatesNothing"
	said, err := output(ctx, "go", "test", "-count=1", "-v", "-run=^"+test+"$", "./internal/hub")
	if err == nil && !strings.Contains(said, "--- PASS: "+test) {
		err = fmt.Errorf("%s did not run", test)
	}
	if err != nil {
		return "", err
	}
	t := &table{head: []string{"what", "number", "aim"}}
	t.add("heap allocations per delivery", "0", "0")
	return "\n## Allocations\n\nAsserted by `" + test + "`.\n\n" + t.String(), nil
}

// goBenchmarks runs the benchmarks of the module, benchstat's table of them.
func (b *bench) goBenchmarks(ctx context.Context) (string, error) {
	if err := b.stay(ctx, b.allCores()); err != nil {
		return "", err
	}
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

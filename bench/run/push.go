package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// scenario is one mode of pushbench. limit are its arguments against the least a
// server can do; nil: there is nothing to compare with.
type scenario struct {
	name    string
	args    []string
	limit   []string
	show    []string // numbers of pushbench
	compare string   // the one of which the ratio is shown
}

func scenarios() []scenario {
	fanout := []string{"deliveries_per_cpu_s", "p50_ms", "p99_ms", "lost"}
	chat := []string{"publishes_per_cpu_s", "p50_ms", "p99_ms", "lost"}
	two := []string{"-mode=chat", "-n=2", "-members=2"}
	return []scenario{
		{"idle, 5,000 connections", []string{"-mode=idle", "-n=5000"}, []string{"-mode=idle", "-n=5000"}, []string{"rss_kb_per_conn", "idle_cpu_us_per_conn_s", "ramp_cpu_s"}, "rss_kb_per_conn"},
		{"fan-out to 1,000, one in flight", []string{"-mode=fanout", "-n=1000", "-window=1"}, []string{"-mode=fanout", "-n=1000", "-window=1"}, fanout, "deliveries_per_cpu_s"},
		{"fan-out to 1,000, 4 in flight", []string{"-mode=fanout", "-n=1000", "-window=4"}, []string{"-mode=fanout", "-n=1000", "-window=4"}, fanout, "deliveries_per_cpu_s"},
		{"fan-out to 5,000, 4 in flight", []string{"-mode=fanout", "-n=5000", "-window=4"}, []string{"-mode=fanout", "-n=5000", "-window=4"}, fanout, "deliveries_per_cpu_s"},
		{"50 publications/s to 1,000", []string{"-mode=rate", "-n=1000", "-rate=50"}, []string{"-mode=rate", "-n=1000", "-rate=50"}, []string{"server_cpu", "p50_ms", "p99_ms", "lost"}, "server_cpu"},
		{"publishes to rooms of 2, one room", two, two, chat, "publishes_per_cpu_s"},
		{"publishes to rooms of 2, 500 rooms", []string{"-mode=chat", "-n=1000", "-members=2"}, nil, chat, ""},
		{"publishes to rooms of 2, history in memory", []string{"-mode=chat", "-n=1000", "-members=2", "-channel=memory:bench"}, nil, chat, ""},
		{"publishes to rooms of 2, history on disk", []string{"-mode=chat", "-n=1000", "-members=2", "-channel=disk:bench"}, nil, chat, ""},
	}
}

// pushes measures connections and fan-out with pushbench, in turn against the
// server and against limit, the least a server can do.
func (b *bench) pushes(ctx context.Context) (string, error) {
	if _, err := os.Stat(b.tools); errors.Is(err, fs.ErrNotExist) {
		fmt.Println("no pushbench: connections and fan-out are not measured")
		return "", nil
	}
	for name, pkg := range map[string]string{"pushbench": ".", "limit": "./limit"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", b.temp(name), pkg)
		build.Dir = b.tools
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	fmt.Println("connections and fan-out, by pushbench")
	t := &table{head: []string{"what", "number", "fanfare", "limit", "ratio"}}
	for _, s := range scenarios() {
		if err := b.scenario(ctx, s, t); err != nil {
			return "", fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return "\n## Connections and fan-out\n\nMeasured with pushbench, 128 bytes; `limit` is a loop that sends one shared frame with one system call\n" +
		"for each connection, and knows no protocol.\n\n" + t.String(), nil
}

func (b *bench) scenario(ctx context.Context, s scenario, t *table) error {
	var ours, limits []numbers
	for range b.runs {
		run, err := b.pushOurs(ctx, s.args)
		if err != nil {
			return err
		}
		ours = append(ours, run)
		if s.limit == nil {
			continue
		}
		if run, err = b.pushLimit(ctx, s.limit); err != nil {
			return fmt.Errorf("limit: %w", err)
		}
		limits = append(limits, run)
	}
	our, limit := median(ours), median(limits)
	for _, name := range s.show {
		beside, ratio := "", ""
		if v, ok := limit[name]; ok {
			beside = human(v)
			if name == s.compare && v > 0 {
				ratio = fmt.Sprintf("%.2f", our[name]/v)
			}
		}
		t.add(s.name, name, human(our[name]), beside, ratio)
	}
	return nil
}

func (b *bench) pushOurs(ctx context.Context, args []string) (numbers, error) {
	srv, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer srv.Kill()
	return b.pushbench(ctx, srv.Addr(), srv.PID(), append([]string{"-key=" + apiKey}, args...))
}

func (b *bench) pushLimit(ctx context.Context, args []string) (numbers, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	argv := append(b.pin(serverCore), b.temp("limit"), "-listen", addr)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	if b.cpu != nil {
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if err := awaitListening(ctx, addr); err != nil {
		return nil, err
	}
	return b.pushbench(ctx, addr, cmd.Process.Pid, append([]string{"-proto=raw"}, args...))
}

func (b *bench) pushbench(ctx context.Context, addr string, pid int, args []string) (numbers, error) {
	argv := append(b.pin(loaderCore), b.temp("pushbench"), "-json", "-addr="+addr, "-pub=http://"+addr+"/api/publish",
		"-pid="+strconv.Itoa(pid), "-dur="+b.dur.String(), "-hold="+b.dur.String(), "-warm=1s")
	argv = append(argv, args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("pushbench %v: %w\n%s", args, err, stderr.Bytes())
	}
	var fields map[string]any
	if err := json.Unmarshal(out, &fields); err != nil {
		return nil, fmt.Errorf("pushbench said %.200q: %w", out, err)
	}
	n := numbers{}
	for name, v := range fields {
		if f, ok := v.(float64); ok {
			n[name] = f
		}
	}
	return n, nil
}

// freeAddr is an address that was free a moment ago.
func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func awaitListening(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

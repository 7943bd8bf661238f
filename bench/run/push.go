package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// scenario is one mode of pushbench, in turn against the server and against limit,
// the least a server can do.
type scenario struct {
	name  string
	args  []string // against the server
	limit []string // against limit; nil: the same
	rows  []row
	runs  int // 0: as many as are asked for; a long one is not run so often
}

// row is a number of a scenario.
type row struct {
	what  string
	of    func(numbers) float64
	show  func(float64) string
	aim   string // of the ratio; "": none
	ratio bool
}

func perCPU(what, name, aim string) row {
	return row{what: what + " per CPU-second", of: func(n numbers) float64 { return n[name] }, show: human, aim: aim, ratio: true}
}

func millis(what, name, aim string) row {
	return row{what: what, of: func(n numbers) float64 { return n[name] }, show: func(v float64) string { return fmt.Sprintf("%.1f ms", v) }, aim: aim, ratio: aim != ""}
}

// scenarios by section.
func (b *bench) scenarios(section string) []scenario {
	fanout := func(n, window int) []string {
		return []string{"-mode=fanout", "-n=" + strconv.Itoa(n), "-window=" + strconv.Itoa(window)}
	}
	deliveries := func(aim string) []row {
		return []row{perCPU("deliveries", "deliveries_per_cpu_s", aim), millis("p50", "p50_ms", ""), millis("p99", "p99_ms", "")}
	}
	const storm = 10_000
	connects := []string{"-mode=idle", "-n=" + strconv.Itoa(storm), "-hold=1s"}
	perConnect := row{"CPU per session", func(n numbers) float64 { return n["ramp_cpu_s"] / storm * 1e6 }, func(v float64) string { return fmt.Sprintf("%.0f µs", v) }, "≤ 1.6", true}
	rooms := func(name, channel string, n int, aim string) scenario {
		return scenario{
			name:  name,
			args:  []string{"-mode=chat", "-n=" + strconv.Itoa(n), "-members=2", "-channel=" + channel},
			limit: []string{"-mode=chat", "-n=2", "-members=2"},
			rows:  []row{perCPU("publishes", "publishes_per_cpu_s", aim), millis("p50", "p50_ms", ""), millis("p99", "p99_ms", "")},
		}
	}
	switch section {
	case "fanout":
		return []scenario{
			{name: "fan-out to 1,000, one in flight", args: fanout(1000, 1), rows: deliveries("≥ 0.95")},
			{name: "fan-out to 10,000, one in flight", args: fanout(10_000, 1), rows: deliveries("≥ 0.95")},
			{name: "16 in flight to 1,000; limit: one by one", args: fanout(1000, 16), limit: fanout(1000, 1), rows: deliveries("≥ 5")},
		}
	case "connect":
		return []scenario{{name: "connect + subscribe, 10,000; limit: handshake", args: connects, rows: []row{perConnect}}}
	case "held":
		// limit sends no pings; what it takes is what a bare descriptor does.
		args := []string{"-mode=idle", "-n=" + strconv.Itoa(idleSessions), "-hold=" + b.hold.String()}
		return []scenario{{name: "15,000 idle sessions", args: args, runs: 3, rows: []row{
			{"CPU per session and second", func(n numbers) float64 { return n["idle_cpu_us_per_conn_s"] }, func(v float64) string { return fmt.Sprintf("%.2f µs", v) }, "≤ 0.6 µs", false},
			{"RSS per session", func(n numbers) float64 { return n["rss_kb_per_conn"] }, func(v float64) string { return fmt.Sprintf("%.2f KB", v) }, "≤ 1.0 KB", false},
		}}}
	case "rooms":
		return []scenario{
			rooms("HTTP publish to a room of 2", "bench", 2, "≥ 0.7"),
			rooms("HTTP publish to 500 rooms of 2; limit: one", "bench", 1000, "≥ 0.7"),
			rooms("the same with memory history", "memory:bench", 1000, ""),
			rooms("the same with disk history", "disk:bench", 1000, "≥ 0.5"),
		}
	case "rate":
		args := []string{"-mode=rate", "-n=1000", "-rate=50"}
		return []scenario{{name: "50 publications/s to 1,000", args: args, rows: []row{
			millis("p50", "p50_ms", "≤ 1.3"), millis("p99", "p99_ms", "≤ 1.3"),
			{"CPU", func(n numbers) float64 { return n["server_cpu"] }, func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }, "", true},
		}}}
	}
	return nil
}

// pushes is a section of scenarios.
func (b *bench) pushes(section, title string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if !b.withPushbench() {
			fmt.Println("  no pushbench: not measured")
			return "", nil
		}
		t := &table{head: []string{"what", "number", "fanfare", "limit", "ratio", "aim"}}
		for _, s := range b.scenarios(section) {
			if err := b.scenario(ctx, s, t); err != nil {
				return "", fmt.Errorf("%s: %w", s.name, err)
			}
		}
		return "\n## " + title + "\n\n" + t.String(), nil
	}
}

func (b *bench) scenario(ctx context.Context, s scenario, t *table) error {
	var ours, limits []numbers
	against := s.limit
	if against == nil {
		against = s.args
	}
	runs := b.runs
	if s.runs > 0 {
		runs = min(runs, s.runs)
	}
	for i := range runs {
		began := time.Now()
		our, err := b.pushOurs(ctx, s.args)
		if err != nil {
			return err
		}
		limit, err := b.pushLimit(ctx, against)
		if err != nil {
			return fmt.Errorf("limit: %w", err)
		}
		ours, limits = append(ours, our), append(limits, limit)
		first := s.rows[0]
		fmt.Printf("    %s, run %d of %d, %s: %s, limit %s\n", s.name, i+1, runs, time.Since(began).Round(time.Second), first.show(first.of(our)), first.show(first.of(limit)))
	}
	our, limit := median(ours), median(limits)
	for _, r := range s.rows {
		ratio := ""
		if base := r.of(limit); r.ratio && base > 0 {
			ratio = fmt.Sprintf("%.2f", r.of(our)/base)
		}
		t.add(s.name, r.what, r.show(r.of(our)), r.show(r.of(limit)), ratio, r.aim)
	}
	if lost := our["lost"] + our["closed"]; lost > 0 {
		t.add(s.name, "lost or closed", human(lost), "", "", "0")
	}
	return nil
}

func (b *bench) pushOurs(ctx context.Context, args []string) (numbers, error) {
	srv, err := b.start(ctx, 1, false)
	if err != nil {
		return nil, err
	}
	defer srv.end()
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

// command is a run of pushbench; what args say counts.
func (b *bench) command(ctx context.Context, wrap []string, addr string, pid int, args []string) *exec.Cmd {
	argv := append(slices.Clone(wrap), b.temp("pushbench"), "-json", "-addr="+addr, "-pub=http://"+addr+"/api/publish",
		"-pid="+strconv.Itoa(pid), "-dur="+b.dur.String(), "-warm=1s")
	argv = append(argv, args...)
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

func (b *bench) pushbench(ctx context.Context, addr string, pid int, args []string) (numbers, error) {
	cmd := b.command(ctx, b.pin(loaderCore), addr, pid, args)
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

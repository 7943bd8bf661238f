package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// sizes of the scaling rows; a process may have 20,000 descriptors in many places.
func sizes() []int { return []int{1_000, 5_000, 10_000, 18_000} }

// scales shows that cost grows with what is used: a table, the slopes, a plot.
func (b *bench) scales(ctx context.Context) (string, error) {
	t := &table{head: []string{"sessions", "resident", "live heap per session", "idle CPU", "kernel objects per connection", "deliveries per CPU-second", "limit's", "ratio"}}
	rss, cpu, fan := line{name: "resident memory, MB"}, line{name: "idle CPU, ms per second"}, line{name: "fan-out, 1,000 deliveries per CPU-second"}
	var slab float64
	for _, n := range sizes() {
		m, err := b.repeat(ctx, human(float64(n))+" idle", func(ctx context.Context) (numbers, error) {
			return b.idleRun(ctx, idleKind{channel: "bench", n: n})
		})
		if err != nil {
			return "", err
		}
		f, err := b.scaleFanout(ctx, n)
		if err != nil {
			return "", err
		}
		slab = m["slab"] / 2 // the load has the other end of each connection
		t.add(human(float64(n)), fmt.Sprintf("%.1f MB", m["rss_total"]/1e6), fmt.Sprintf("%.2f KB", m["heap"]/1024), fmt.Sprintf("%.1f ms/s", m["cpu_total"]*1e3),
			fmt.Sprintf("%.1f KB", slab/1024), human(f["ours"]), human(f["limit"]), fmt.Sprintf("%.2f", f["ours"]/f["limit"]))
		rss.add(n, m["rss_total"]/1e6)
		cpu.add(n, m["cpu_total"]*1e3)
		fan.add(n, f["ours"]/1e3)
	}
	name, err := b.plot(rss, cpu, fan)
	if err != nil {
		return "", err
	}
	memory, work := rss.slope()*1e6/1024, cpu.slope()*1e3
	return fmt.Sprintf("\n## From 1,000 to 18,000\n\n%s\n![resident memory, idle CPU and fan-out by the number of sessions](%s)\n\nBy least squares: %.2f KB resident and %.2f µs of CPU per second for each idle session more.\n"+
		"Kernel objects are the growth of the kernel's slabs, halved: both ends of a connection are on this machine.\n", t, name, memory, work), nil
}

// scaleFanout is fan-out to n, one in flight, in turn with limit.
func (b *bench) scaleFanout(ctx context.Context, n int) (numbers, error) {
	if !b.withPushbench() {
		return numbers{}, nil
	}
	args := []string{"-mode=fanout", "-n=" + strconv.Itoa(n), "-window=1"}
	return b.repeat(ctx, "fan-out to "+human(float64(n)), func(ctx context.Context) (numbers, error) {
		our, err := b.pushOurs(ctx, args)
		if err != nil {
			return nil, err
		}
		limit, err := b.pushLimit(ctx, args)
		return numbers{"ours": our["deliveries_per_cpu_s"], "limit": limit["deliveries_per_cpu_s"]}, err
	})
}

// plot writes the lines to a file beside the page and gives its name.
func (b *bench) plot(lines ...line) (string, error) {
	name := b.stem() + ".svg"
	if err := os.MkdirAll(b.results, 0o755); err != nil {
		return "", err
	}
	return name, os.WriteFile(filepath.Join(b.results, name), []byte(draw(lines)), 0o644)
}

package main

import (
	"context"
	"fmt"
	"time"
)

// idleKind is one kind of idle session.
type idleKind struct {
	name    string
	channel string
	secure  bool
	n       int
}

const idleSessions = 15_000

func idleKinds() []idleKind {
	return []idleKind{
		{"plain", "bench", false, idleSessions},
		{"plain, presence", "present:bench", false, idleSessions},
		{"TLS", "bench", true, idleSessions},
		{"TLS, presence", "present:bench", true, idleSessions},
	}
}

const (
	// warmSessions come and go before anything is compared, so that what is made
	// once, such as pages of code, is not counted as the sessions'.
	warmSessions = 1000
	// returned is when the server has given back what a storm took: it waits for a
	// second of quiet, and looks once a second (memory_return).
	returned = 4 * time.Second
)

// idles measures sessions that wait.
func (b *bench) idles(ctx context.Context) (string, error) {
	t := &table{head: []string{"15,000 sessions, 1 subscription each", "RSS per session", "live heap per session", "CPU per session and second", "aim"}}
	for _, k := range idleKinds() {
		m, err := b.repeat(ctx, k.name, func(ctx context.Context) (numbers, error) { return b.idleRun(ctx, k) })
		if err != nil {
			return "", err
		}
		aim := "≤ 1.0 KB, ≤ 0.6 µs"
		if k.secure {
			aim = "≤ 10 KB"
		}
		t.add(k.name, fmt.Sprintf("%.2f KB", m["rss"]/1024), fmt.Sprintf("%.2f KB", m["heap"]/1024), fmt.Sprintf("%.2f µs", m["cpu"]*1e6), aim)
	}
	return "\n## Idle sessions\n\nResident and live bytes beyond those of the same process before (after " + human(warmSessions) + " others came and went), when the\n" +
		"server has given back what the storm of connects took. CPU over " + b.hold.String() + ", in which each session is pinged every 25 s and answers.\n\n" + t.String(), nil
}

// idleRun measures one process: bytes and CPU per session.
func (b *bench) idleRun(ctx context.Context, k idleKind) (numbers, error) {
	srv, err := b.start(ctx, 1, k.secure)
	if err != nil {
		return nil, err
	}
	defer srv.end()
	warm, err := b.holdIdle(ctx, srv.Addr(), k.channel, warmSessions, k.secure)
	if err != nil {
		return nil, err
	}
	if err := warm.release(); err != nil {
		return nil, err
	}
	before, err := b.atRest(ctx, srv)
	if err != nil {
		return nil, err
	}
	sessions, err := b.holdIdle(ctx, srv.Addr(), k.channel, k.n, k.secure)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sessions.cmd.Process.Kill() }()
	with, err := b.atRest(ctx, srv)
	if err != nil {
		return nil, err
	}
	cpu, err := cpuSeconds(srv.PID())
	if err != nil {
		return nil, err
	}
	since := time.Now()
	if err := pause(ctx, b.hold); err != nil {
		return nil, err
	}
	later, err := cpuSeconds(srv.PID())
	if err != nil {
		return nil, err
	}
	took := time.Since(since).Seconds()
	rss, err := rssBytes(srv.PID())
	if err != nil {
		return nil, err
	}
	if err := sessions.release(); err != nil {
		return nil, err
	}
	n := float64(k.n)
	return numbers{
		"rss": (rss - before["rss"]) / n, "rss_total": rss, "heap": (with["heap"] - before["heap"]) / n,
		"cpu": (later - cpu) / took / n, "cpu_total": (later - cpu) / took, "slab": (with["slab"] - before["slab"]) / n,
	}, nil
}

// atRest is what a server holds when memory has been given back.
func (b *bench) atRest(ctx context.Context, srv *subject) (numbers, error) {
	if err := pause(ctx, returned); err != nil {
		return nil, err
	}
	rss, err := rssBytes(srv.PID())
	if err != nil {
		return nil, err
	}
	slab, err := slabBytes()
	if err != nil {
		return nil, err
	}
	heap, err := srv.metric(ctx, "go_memstats_heap_alloc_bytes") // the collector has just run
	return numbers{"rss": rss, "slab": slab, "heap": heap}, err
}

// repeat runs a measurement as often as is asked for, says how it goes, and gives
// the medians.
func (b *bench) repeat(ctx context.Context, name string, run func(context.Context) (numbers, error)) (numbers, error) {
	var all []numbers
	for i := range b.runs {
		began := time.Now()
		n, err := run(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s, run %d: %w", name, i+1, err)
		}
		all = append(all, n)
		fmt.Printf("    %s, run %d of %d, %s: %s\n", name, i+1, b.runs, time.Since(began).Round(time.Second), n)
	}
	return median(all), nil
}

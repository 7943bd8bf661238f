package app

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine/local"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// This file turns settings into the Config of each part.

func (a *App) engineConfig() local.Config {
	return local.Config{
		Dir: a.cfg.DataDir, Logger: a.log, OnFatal: a.fatal, OnCommit: a.committed,
		CacheBytes:   int64(a.cfg.Store.CacheSize),
		MemoryBytes:  int64(a.cfg.Store.MemorySize),
		ReserveBytes: int64(a.cfg.Store.ReserveSize),
	}
}

// committed observes a commit to disk.
func (a *App) committed(publications int, took time.Duration) {
	if publications > 0 {
		a.metrics.BatchSize.Observe(float64(publications))
	}
	a.metrics.SyncTime.Took(took)
}

func (a *App) hubConfig(ns *channel.Namespaces, node hub.Node) hub.Config {
	c := a.cfg
	return hub.Config{
		Engine: a.engine, Namespaces: ns, Log: a.log, App: channel.DefaultApp,
		Node: node, Metrics: a.metrics, Observer: a.observer(), Backend: a.backend(),
		Auth:           auth.New(a.tokens),
		Shards:         min(runtime.GOMAXPROCS(0), hub.MaxShards),
		NewLoop:        a.transport.NewLoop,
		AllowAnonymous: c.Client.AllowAnonymous,
		TellCounts:     c.Pusher.SubscriptionCount,
		PingInterval:   c.Client.PingInterval,
		PongTimeout:    c.Client.PongTimeout,
		ConnectTimeout: c.Client.ConnectTimeout,
		OutboxMax:      int(c.Client.OutboxMaxBytes),
		MaxSessions:    a.maxConnections(),
		MaxChannels:    c.Client.MaxChannels,
		MaxPending:     c.Client.MaxPending,
		MaxData:        int(c.PublishMaxDataSize),
		PublishWait:    c.PublishWait,
		PublishQueue:   int64(c.PublishQueueBytes),
		Limits:         a.hubLimits(),
		Taken:          a.engine.taken,
	}
}

// spareDescriptors are kept from connections for the store, the API and logs.
const spareDescriptors = 512

// maxConnections is the setting, or what the system allows open files, if that is
// known; 0: unlimited.
func (a *App) maxConnections() int {
	if a.cfg.Client.MaxConnections > 0 {
		return a.cfg.Client.MaxConnections
	}
	limit, known := maxDescriptors()
	if !known {
		return 0
	}
	return max(limit-spareDescriptors, limit/2, 1)
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "fanfare"
	}
	return name
}

// fatal ends the process when the disk has failed: what was not synced was not
// acknowledged, and a failed fsync must not be retried.
func (a *App) fatal(reason string) {
	a.log.Error("the store has failed; stopping without acknowledging what is in flight", "reason", reason)
	fmt.Fprintln(os.Stderr, "fanfare: the store has failed:", reason)
	os.Exit(1)
}

// bindEngine shows what the engine counts itself.
func (a *App) bindEngine() {
	bind := func(c *metrics.Counter, of func(*counters) uint64) {
		c.Bind(func() uint64 { now := a.engine.counters(); return of(&now) })
	}
	gauge := func(g *metrics.Gauge, of func(*counters) int64) {
		g.Bind(func() int64 { now := a.engine.counters(); return of(&now) })
	}
	m := a.metrics
	bind(m.CacheHits, func(c *counters) uint64 { return c.CacheHits })
	bind(m.CacheMisses, func(c *counters) uint64 { return c.CacheMisses })
	bind(m.Duplicates, func(c *counters) uint64 { return c.Duplicates })
	bind(m.Drops.Of(metrics.DropReaderQueueFull), func(c *counters) uint64 { return c.ReaderQueueFull })
	bind(m.Drops.Of(metrics.DropPublishQueueFull), func(c *counters) uint64 { return c.queueFull })
	gauge(m.FreeBytes, func(c *counters) int64 { return int64(c.FreeBytes) })
	gauge(m.UsedBytes, func(c *counters) int64 { return int64(c.UsedBytes) })
	gauge(m.ReadOnly, func(c *counters) int64 {
		if c.ReadOnly {
			return 1
		}
		return 0
	})
}

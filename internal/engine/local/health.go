package local

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// health is what Status and readers go by.
type health struct {
	logTime  atomic.Int64 // of the last durable batch
	failed   atomic.Bool
	readOnly atomic.Bool
	free     atomic.Uint64
	used     atomic.Uint64

	spaceUnknown atomic.Bool // and said so

	// When the write and the sync that are waited for began, in nanoseconds of the
	// monotonic clock; 0: none is.
	commitSince, syncSince atomic.Int64

	mu     sync.Mutex
	reason string // of failed
	damage string // of the first damaged file found
}

// hysteresis keeps a store at the edge of its reserve from flapping: it takes
// publications again once a tenth more than the reserve is free.
const hysteresis = 10

// monotonic is nanoseconds since the engine opened, never 0.
func (e *Engine) monotonic() int64 { return int64(time.Since(e.opened)) + 1 }

// fail ends the engine: nothing is acknowledged any more.
func (e *Engine) fail(reason string) {
	e.health.mu.Lock()
	first := !e.health.failed.Swap(true)
	if first {
		e.health.reason = reason
	}
	e.health.mu.Unlock()
	if first {
		e.cfg.OnFatal(fmt.Sprintf("data directory %s: %s; everything acknowledged is stored, nothing more will be acknowledged: start again once the disk is well",
			e.cfg.Dir, reason))
	}
}

// corrupt notes that a file was found damaged.
func (e *Engine) corrupt(reason string) {
	e.health.mu.Lock()
	first := e.health.damage == ""
	if first {
		e.health.damage = reason
	}
	e.health.mu.Unlock()
	if first {
		e.cfg.Logger.Error("data directory is damaged", "dir", e.cfg.Dir, "reason", reason, "advice", store.Advice)
	}
}

// Status implements engine.Engine.
func (e *Engine) Status() engine.Status {
	h := &e.health
	h.mu.Lock()
	reason, damage := h.reason, h.damage
	h.mu.Unlock()
	switch {
	case h.failed.Load():
		return engine.Status{Reason: "the store failed: " + reason}
	case damage != "":
		return engine.Status{Reason: "the data directory is damaged: " + damage}
	case e.hangs(&h.commitSince), e.hangs(&h.syncSince):
		return engine.Status{Reason: fmt.Sprintf("the disk hangs: a write takes longer than %s", e.cfg.HangAfter)}
	case h.readOnly.Load():
		return engine.Status{Reason: fmt.Sprintf("no space: %d bytes are free, %d are kept in reserve", h.free.Load(), e.cfg.ReserveBytes)}
	}
	return engine.Status{Ready: true}
}

func (e *Engine) hangs(begun *atomic.Int64) bool {
	since := begun.Load()
	return since != 0 && time.Duration(e.monotonic()-since) > e.cfg.HangAfter
}

// watchLoop looks at the disk, and lets time pass on an idle log.
func (e *Engine) watchLoop() {
	tick := time.NewTicker(e.cfg.TickEvery)
	defer tick.Stop()
	for lane := 0; ; lane++ {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
		if e.health.failed.Load() {
			continue
		}
		e.checkSpace()
		e.health.used.Store(e.store.DiskUsage())
		e.sweepMemory(lane)
		e.queue.wakeForTick()
	}
}

// checkSpace turns the store read-only and back.
func (e *Engine) checkSpace() {
	free, err := e.store.FreeBytes()
	if errors.Is(err, store.ErrUnsupported) {
		return
	}
	if unknown := err != nil; e.health.spaceUnknown.Swap(unknown) != unknown && unknown {
		e.cfg.Logger.Warn("free space is unknown", "dir", e.cfg.Dir, "error", err)
	}
	if err != nil {
		return
	}
	e.health.free.Store(free)
	reserve := uint64(max(e.cfg.ReserveBytes, 0))
	switch readOnly := e.health.readOnly.Load(); {
	case !readOnly && free < reserve:
		e.health.readOnly.Store(true)
		e.cfg.Logger.Error("no space: publications to channels on disk are refused", "dir", e.cfg.Dir, "free_bytes", free, "reserve_bytes", reserve)
	case readOnly && free >= reserve+reserve/hysteresis:
		e.health.readOnly.Store(false)
		e.cfg.Logger.Info("space again: publications to channels on disk are taken", "dir", e.cfg.Dir, "free_bytes", free)
	}
}

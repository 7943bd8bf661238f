package index

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

// monotonic is nanoseconds since the index opened, never 0.
func (x *Index) monotonic() int64 { return int64(time.Since(x.opened)) + 1 }

// fail ends the index: nothing is acknowledged any more.
func (x *Index) fail(reason string) {
	x.health.mu.Lock()
	first := !x.health.failed.Swap(true)
	if first {
		x.health.reason = reason
	}
	x.health.mu.Unlock()
	if first {
		x.cfg.OnFatal(fmt.Sprintf("data directory %s: %s; everything acknowledged is stored, nothing more will be acknowledged: start again once the disk is well",
			x.cfg.Store.Dir, reason))
	}
}

// corrupt notes that a file was found damaged.
func (x *Index) corrupt(reason string) {
	x.health.mu.Lock()
	first := x.health.damage == ""
	if first {
		x.health.damage = reason
	}
	x.health.mu.Unlock()
	if first {
		x.cfg.Logger.Error("data directory is damaged", "dir", x.cfg.Store.Dir, "reason", reason, "advice", store.Advice)
	}
}

// Status says whether the store can do its job.
func (x *Index) Status() engine.Status {
	h := &x.health
	h.mu.Lock()
	reason, damage := h.reason, h.damage
	h.mu.Unlock()
	switch {
	case h.failed.Load():
		return engine.Status{Reason: "the store failed: " + reason}
	case damage != "":
		return engine.Status{Reason: "the data directory is damaged: " + damage}
	case x.hangs(&h.commitSince), x.hangs(&h.syncSince):
		return engine.Status{Reason: fmt.Sprintf("the disk hangs: a write takes longer than %s", x.cfg.HangAfter)}
	case h.readOnly.Load():
		return engine.Status{Reason: fmt.Sprintf("no space: %d bytes are free, %d are kept in reserve", h.free.Load(), x.cfg.ReserveBytes)}
	}
	return engine.Status{Ready: true}
}

func (x *Index) hangs(begun *atomic.Int64) bool {
	since := begun.Load()
	return since != 0 && time.Duration(x.monotonic()-since) > x.cfg.HangAfter
}

// Failed reports whether the store broke.
func (x *Index) Failed() bool { return x.health.failed.Load() }

// Writable reports why nothing can be stored now: ErrFailed or ErrReadOnly.
// needsSpace is false for what gives space back, takes none, or has the reserve.
func (x *Index) Writable(needsSpace bool) error {
	switch {
	case x.health.failed.Load():
		return ErrFailed
	case needsSpace && x.health.readOnly.Load():
		return engine.ErrReadOnly
	}
	return nil
}

// Taken is how many bytes of history an App has here, as store.Store.Taken says.
func (x *Index) Taken(app string) int64 { return x.store.Taken(app) }

// CheckSpace looks at the disk, and turns the store read-only and back. It wants
// to be called about once a second.
func (x *Index) CheckSpace() {
	x.health.used.Store(x.store.DiskUsage())
	free, err := x.store.FreeBytes()
	if errors.Is(err, store.ErrUnsupported) {
		return
	}
	if unknown := err != nil; x.health.spaceUnknown.Swap(unknown) != unknown && unknown {
		x.cfg.Logger.Warn("free space is unknown", "dir", x.cfg.Store.Dir, "error", err)
	}
	if err != nil {
		return
	}
	x.health.free.Store(free)
	reserve := uint64(max(x.cfg.ReserveBytes, 0))
	switch readOnly := x.health.readOnly.Load(); {
	case !readOnly && free < reserve:
		x.health.readOnly.Store(true)
		x.cfg.Logger.Error("no space: publications to channels on disk are refused", "dir", x.cfg.Store.Dir, "free_bytes", free, "reserve_bytes", reserve)
	case readOnly && free >= reserve+reserve/hysteresis:
		x.health.readOnly.Store(false)
		x.cfg.Logger.Info("space again: publications to channels on disk are taken", "dir", x.cfg.Store.Dir, "free_bytes", free)
	}
}

package limit

import (
	"log/slog"
	"sync"
	"time"
)

// reportEvery is how often one limit is logged at most.
const reportEvery = time.Second

// Report tells the operator what one limit refuses: everything is counted, and
// once a second one refusal is logged, with how many were not since the last line.
type Report struct {
	name  string
	count func()
	log   *slog.Logger

	mu         sync.Mutex
	next       time.Duration
	suppressed int
}

// NewReport makes the report of the limit called name, the setting that an
// operator can change. count must not block.
func NewReport(name string, count func(), log *slog.Logger) *Report {
	return &Report{name: name, count: count, log: log, next: -1 << 63}
}

// Refused counts one refusal; who it was is logged, and must be no secret.
func (r *Report) Refused(now time.Duration, who string) {
	r.count()
	r.mu.Lock()
	if now < r.next {
		r.suppressed++
		r.mu.Unlock()
		return
	}
	suppressed := r.suppressed
	r.suppressed, r.next = 0, now+reportEvery
	r.mu.Unlock()
	r.log.Warn("limit reached", "limit", r.name, "who", who, "suppressed", suppressed)
}

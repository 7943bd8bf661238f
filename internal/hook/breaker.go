package hook

import (
	"sync"
	"sync/atomic"
	"time"
)

// breaker keeps questions from a backend that fails: after limit failures in a row
// it is open for a pause; then one question tries, and closes it or opens it again.
type breaker struct {
	limit int
	pause time.Duration
	state atomic.Int64 // read by whoever scrapes

	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // zero: closed
	trying   bool      // half open: one question is under way
}

// States of the breaker, as its gauge shows them.
const (
	stateClosed = iota
	stateOpen
	stateHalfOpen
)

// allow reports whether a question may be put now; who is allowed must tell worked,
// failed or pass.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return true
	case b.trying || now.Before(b.until):
		return false
	}
	b.trying = true
	b.state.Store(stateHalfOpen)
	return true
}

// holds reports whether it keeps questions from the backend now.
func (b *breaker) holds(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return now.Before(b.until)
}

// worked says that the backend has answered; closed reports whether that closes an
// open breaker.
func (b *breaker) worked() (closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	closed = !b.until.IsZero()
	b.failures, b.until, b.trying = 0, time.Time{}, false
	b.state.Store(stateClosed)
	return closed
}

// failed says that it has not; opened reports whether that opens a closed breaker.
func (b *breaker) failed(now time.Time) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if b.until.IsZero() && b.failures < b.limit {
		return false
	}
	opened = b.until.IsZero()
	if opened || b.trying {
		b.until, b.trying = now.Add(b.pause), false
		b.state.Store(stateOpen)
	}
	return opened
}

// pass says that nothing was learnt.
func (b *breaker) pass() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trying {
		b.trying = false
		b.state.Store(stateOpen)
	}
}

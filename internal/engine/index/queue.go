package index

import (
	"runtime"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// A take is bounded, so that what is written at once is.
const (
	maxBatchEntries = 1024
	maxBatchBytes   = 1 << 20
)

// Queue holds what publishers handed in until one goroutine takes it.
type Queue struct {
	maxEntries int
	maxBytes   int64
	wake       chan struct{} // capacity 1

	mu     sync.Mutex
	items  []Request
	head   int
	bytes  int64
	tick   bool
	closed bool
}

// NewQueue makes a queue of so many entries and bytes.
func NewQueue(entries int, bytes int64) *Queue {
	return &Queue{maxEntries: entries, maxBytes: bytes, wake: make(chan struct{}, 1)}
}

// Put fails with ErrBusy when the queue is full, with ErrClosed after Close.
func (q *Queue) Put(r Request) error {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return engine.ErrClosed
	case len(q.items)-q.head >= q.maxEntries || q.bytes >= q.maxBytes:
		q.mu.Unlock()
		return engine.ErrBusy
	}
	first := len(q.items) == q.head
	q.items = append(q.items, r)
	q.bytes += r.Cost()
	q.mu.Unlock()
	if first {
		q.nudge()
	}
	return nil
}

func (q *Queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Wake lets Take return with tick set.
func (q *Queue) Wake() {
	q.mu.Lock()
	q.tick = true
	q.mu.Unlock()
	q.nudge()
}

// Take moves the next entries, bounded in number and bytes, to buf. It waits for
// the first one or a tick; open is false once the queue is closed and empty.
func (q *Queue) Take(buf []Request) (batch []Request, tick, open bool) {
	for {
		q.mu.Lock()
		if len(q.items) > q.head || q.tick || q.closed {
			break
		}
		q.mu.Unlock()
		<-q.wake
		runtime.Gosched() // who was just answered together publishes again together
	}
	defer q.mu.Unlock()
	tick, q.tick = q.tick, false
	bytes := int64(0)
	for q.head < len(q.items) && len(buf) < maxBatchEntries && bytes < maxBatchBytes {
		r := &q.items[q.head]
		bytes += r.Cost()
		buf = append(buf, *r)
		*r = Request{}
		q.head++
	}
	q.bytes -= bytes
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head > len(q.items)/2:
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return buf, tick, !q.closed || len(buf) > 0
}

// Overdue takes out the requests that have waited until their time.
func (q *Queue) Overdue(now time.Time) (list []Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.items[:q.head]
	for _, r := range q.items[q.head:] {
		if !r.Until.IsZero() && now.After(r.Until) {
			list = append(list, r)
			q.bytes -= r.Cost()
			continue
		}
		kept = append(kept, r)
	}
	clear(q.items[len(kept):])
	q.items = kept
	return list
}

// Close lets Take return what is left, and then not open.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.nudge()
}

// Len is how many entries wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) - q.head
}

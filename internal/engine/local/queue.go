package local

import (
	"runtime"
	"sync"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// request is one entry on its way to the log, or a publication that only takes
// its place in the order (skip).
type request struct {
	kind store.Kind
	skip bool
	ch   channel.ID
	ret  engine.Retention
	key  string
	pub  *engine.Publication
	done func(engine.PublishResult, error)
}

// requestCost is what a request takes beside its publication.
const requestCost = 256

func (r *request) cost() int64 {
	if r.pub == nil {
		return requestCost
	}
	return requestCost + ringCost(r.pub)
}

// queue holds what publishers handed in until the committer takes it.
type queue struct {
	maxEntries int
	maxBytes   int64
	wake       chan struct{} // capacity 1

	mu     sync.Mutex
	items  []request
	head   int
	bytes  int64
	tick   bool
	closed bool
}

func newQueue(entries int, bytes int64) *queue {
	return &queue{maxEntries: entries, maxBytes: bytes, wake: make(chan struct{}, 1)}
}

// put fails with ErrBusy when the queue is full, with ErrClosed after close.
func (q *queue) put(r request) error {
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
	q.bytes += r.cost()
	q.mu.Unlock()
	if first {
		q.nudge()
	}
	return nil
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// wakeForTick asks the committer to see what has expired.
func (q *queue) wakeForTick() {
	q.mu.Lock()
	q.tick = true
	q.mu.Unlock()
	q.nudge()
}

// take moves the next entries, bounded in number and bytes, to buf. It waits for
// the first one or a tick; open is false once the queue is closed and empty.
func (q *queue) take(buf []request) (batch []request, tick, open bool) {
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
		bytes += r.cost()
		buf = append(buf, *r)
		*r = request{}
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

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.nudge()
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) - q.head
}

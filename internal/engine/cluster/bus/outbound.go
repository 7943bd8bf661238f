package bus

import (
	"sync"
	"sync/atomic"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// What waits to be sent is bounded by these. What others could not do without is
// bounded by what it is about: a beat, and one state for each stream and node.
const (
	// MaxQueueMessages and MaxQueueBytes are reached when NATS takes less than is
	// published: a publication or control is then refused as too busy.
	MaxQueueMessages = 1 << 16
	MaxQueueBytes    = 64 << 20
	// MaxQueueChanges is for joins, leaves and counts, which cannot be refused: one
	// that is dropped is missed by its number.
	MaxQueueChanges = 2 * MaxQueueMessages
)

// maxSpare is how many entries an empty queue keeps room for.
const maxSpare = 1 << 12

// sending is something for NATS to do.
type sending struct {
	subject string
	data    []byte
	do      func() // instead, by the sender; nil: publish
}

// outbound holds in order what NATS is to be given. Its mutex is the innermost
// lock.
type outbound struct {
	wake chan struct{} // capacity 1

	mu     sync.Mutex
	items  []sending
	bytes  int
	closed bool

	urgent atomic.Pointer[sending] // sent before all that waits; nil: nothing is
}

func newOutbound() *outbound { return &outbound{wake: make(chan struct{}, 1)} }

// publish queues what may be refused: with ErrBusy when the queue is full.
func (o *outbound) publish(subject string, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) >= MaxQueueMessages || o.bytes >= MaxQueueBytes {
		return engine.ErrBusy
	}
	o.putLocked(sending{subject: subject, data: data})
	return nil
}

// change queues what may be dropped; it reports whether it was not.
func (o *outbound) change(subject string, data []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) >= MaxQueueChanges || o.bytes >= 2*MaxQueueBytes {
		return false
	}
	o.putLocked(sending{subject: subject, data: data})
	return true
}

// put queues what has to be done.
func (o *outbound) put(s sending) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.putLocked(s)
}

func (o *outbound) putLocked(s sending) {
	if o.closed {
		return
	}
	o.items = append(o.items, s)
	o.bytes += len(s.data)
	if len(o.items) == 1 {
		o.nudge()
	}
}

func (o *outbound) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take waits for what is queued and takes all of it; buf is what it gave last.
// open is false once the queue is closed and empty.
func (o *outbound) take(buf []sending) (batch []sending, open bool) {
	for {
		o.mu.Lock()
		if len(o.items) > 0 {
			clear(buf)
			if cap(buf) > maxSpare { // after a burst
				buf = nil
			}
			batch, o.items, o.bytes = o.items, buf[:0], 0
			o.mu.Unlock()
			return batch, true
		}
		closed := o.closed
		o.mu.Unlock()
		if closed {
			return nil, false
		}
		<-o.wake
	}
}

// close lets what is queued be taken and nothing more come in.
func (o *outbound) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.nudge()
}

// size is how much is queued.
func (o *outbound) size() (messages, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items), o.bytes
}

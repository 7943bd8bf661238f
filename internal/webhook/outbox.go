package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// outbox holds events on their way into the queue, in order. What the queue does not
// take now is put there again, and all that came after it: where nodes share a queue
// each event has a key, by which it gets in once.
type outbox struct {
	items  []*outgoing
	number uint64
	again  time.Time // when what has failed is tried again; zero: nothing has
	delay  time.Duration

	mu     sync.Mutex
	failed bool
}

// outgoing is one event.
type outgoing struct {
	event Event
	key   string // "": none
	data  []byte
	mine  bool // an event that only the node that tells may put there

	// Guarded by outbox.mu.
	waits bool // for an answer
	err   error
	done  bool
}

// nodeTag is the tag of an event in the queue that names the node which put it there.
const nodeTag = "node"

// The delay before an event is put into the queue again doubles from the first to the
// last.
const (
	firstAgain = 50 * time.Millisecond
	lastAgain  = time.Second
)

// enqueue puts an event into the queue; calls come from one goroutine, in order.
func (d *Dispatcher) enqueue(e Event, mine bool) {
	data, err := json.Marshal(e)
	if err != nil {
		d.log.Error("webhook event cannot be encoded", "event", e.Name, "error", err)
		return
	}
	o := &d.out
	if len(o.items) >= maxNoted {
		d.lost(e, engine.ErrBusy)
		return
	}
	item := &outgoing{event: e, data: data, mine: mine}
	if d.cfg.Cluster != nil {
		o.number++
		item.key = keyOf(&e, d.cfg.Node, o.number)
	}
	o.items = append(o.items, item)
	if o.again.IsZero() {
		d.put(item)
	}
}

// keyOf is the same for what several nodes may tell: of publications that are stored,
// and of sessions whose node has died.
func keyOf(e *Event, node string, number uint64) string {
	parts := node + "\x00" + strconv.FormatUint(number, 10)
	switch {
	case e.Name == Published && e.Offset > 0:
		parts = e.Name + "\x00" + e.Channel + "\x00" + e.Epoch + "\x00" + strconv.FormatUint(e.Offset, 10)
	case e.Code == Killed && e.Name == Disconnected:
		parts = e.Name + "\x00" + e.Client
	}
	sum := sha256.Sum256([]byte(parts)) // keys are bounded, names are long
	return hex.EncodeToString(sum[:16])
}

// put hands an event to the log.
func (d *Dispatcher) put(item *outgoing) {
	o := &d.out
	o.mu.Lock()
	item.waits, item.err = true, nil
	o.mu.Unlock()
	d.cfg.Log.Publish(engine.PublishRequest{
		Channel: d.queue(), Retention: d.retention(), IdempotencyKey: item.key,
		Publication: engine.Publication{Data: item.data, Tags: map[string]string{nodeTag: d.cfg.Node}},
	}, func(_ engine.PublishResult, err error) {
		o.mu.Lock()
		item.waits, item.done, item.err = false, err == nil, err
		o.failed = o.failed || err != nil
		o.mu.Unlock()
		d.nudge()
	})
}

// temporary reports whether an event may be put into the queue again.
func (d *Dispatcher) temporary(err error) bool {
	return d.cfg.Cluster != nil || errors.Is(err, engine.ErrBusy) || errors.Is(err, engine.ErrReadOnly)
}

// settle takes out what is in the queue, and tries again what is not.
func (d *Dispatcher) settle(now time.Time) {
	o := &d.out
	var lost []*outgoing
	o.mu.Lock()
	failed := o.failed
	if failed {
		o.items = slices.DeleteFunc(o.items, func(i *outgoing) bool {
			gone := !i.waits && i.err != nil && !d.temporary(i.err)
			if gone {
				lost = append(lost, i)
			}
			return gone
		})
		o.failed = slices.ContainsFunc(o.items, func(i *outgoing) bool { return i.err != nil })
		failed = o.failed
	}
	n := 0
	for n < len(o.items) && o.items[n].done {
		n++
	}
	waits := failed && slices.ContainsFunc(o.items, func(i *outgoing) bool { return i.waits })
	o.mu.Unlock()
	o.items = slices.Delete(o.items, 0, n)
	for _, i := range lost {
		d.lost(i.event, i.err)
	}
	switch {
	case len(o.items) == 0:
		o.again, o.delay = time.Time{}, 0
	case !failed:
		o.again = time.Time{}
	case o.again.IsZero():
		o.delay = min(max(2*o.delay, firstAgain), lastAgain)
		o.again = now.Add(o.delay)
	case !waits && !now.Before(o.again): // all are answered: the order of the next try is that of the events
		o.mu.Lock()
		o.failed = false
		o.mu.Unlock()
		o.again = time.Time{}
		for _, i := range o.items {
			if i.key != "" || !i.done {
				d.put(i)
			}
		}
	}
}

// forget takes out what only the node that tells may put into the queue.
func (o *outbox) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.items = slices.DeleteFunc(o.items, func(i *outgoing) bool { return i.mine })
}

func (d *Dispatcher) lost(e Event, err error) {
	d.cfg.Metrics.Drops.Of(metrics.DropWebhookQueue).Inc()
	d.log.Warn("webhook event is lost", "event", e.Name, "channel", e.Channel, "error", err)
}

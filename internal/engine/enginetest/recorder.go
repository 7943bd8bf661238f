package enginetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// patience bounds every wait; no test is decided by it.
const patience = 60 * time.Second

// told is one publication as a Follower was told it.
type told struct {
	epoch string
	pub   *engine.Publication
}

// recorder is a Follower that writes down what it is told, and faults an engine
// that tells a channel's events at the same time, or offsets out of sequence.
type recorder struct {
	t       *testing.T
	onTold  func(ch channel.ID, epoch string, pub *engine.Publication) // must not block; nil: none
	mu      sync.Mutex
	changed chan struct{} // closed and renewed with every event
	busy    map[channel.ID]bool
	pubs    map[channel.ID][]told
	last    map[channel.ID]engine.Position
	joins   []string // channel client, and "+" for the first of its user
	leaves  []string
	control []engine.Control
	shared  []string // keys
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	return &recorder{
		t: t, changed: make(chan struct{}), busy: make(map[channel.ID]bool),
		pubs: make(map[channel.ID][]told), last: make(map[channel.ID]engine.Position),
	}
}

// enter faults a second call for a channel before the first has returned.
func (r *recorder) enter(ch channel.ID) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[ch] {
		r.t.Errorf("%s: the Follower was called twice at the same time", ch)
	}
	r.busy[ch] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy[ch] = false
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// Publication implements engine.Follower.
func (r *recorder) Publication(ch channel.ID, epoch string, pub *engine.Publication) {
	defer r.enter(ch)()
	r.mu.Lock()
	if pub.Offset > 0 {
		if last := r.last[ch]; last.Epoch == epoch && pub.Offset != last.Offset+1 {
			r.t.Errorf("%s: offset %d was handed over after %d", ch, pub.Offset, last.Offset)
		}
		r.last[ch] = engine.Position{Epoch: epoch, Offset: pub.Offset}
	}
	r.pubs[ch] = append(r.pubs[ch], told{epoch, pub})
	r.mu.Unlock()
	if r.onTold != nil {
		r.onTold(ch, epoch, pub)
	}
}

// Join implements engine.Follower.
func (r *recorder) Join(ch channel.ID, info *engine.ClientInfo, edge bool) {
	defer r.enter(ch)()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joins = append(r.joins, ch.String()+" "+info.Client+atEdge(edge))
}

// Leave implements engine.Follower.
func (r *recorder) Leave(ch channel.ID, info *engine.ClientInfo, edge bool) {
	defer r.enter(ch)()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaves = append(r.leaves, ch.String()+" "+info.Client+atEdge(edge))
}

func atEdge(edge bool) string {
	if edge {
		return "+"
	}
	return ""
}

// Control implements engine.Follower.
func (r *recorder) Control(c engine.Control) {
	defer r.enter(channel.ID{App: c.App, Name: c.Channel})()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.control = append(r.control, c)
}

// controls is what was told so far.
func (r *recorder) controls() []engine.Control {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.control)
}

// until waits for something that events make true; ok is called with the lock
// held.
func (r *recorder) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		done, changed := ok(), r.changed
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// of is what was told of a channel so far.
func (r *recorder) of(ch channel.ID) []told {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]told(nil), r.pubs[ch]...)
}

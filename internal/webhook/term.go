package webhook

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// term is the time in which this node is the one that tells: it decides what has
// happened to channels and members of all nodes, calls the receivers, and takes leave
// of the sessions of nodes that have died. A new term begins with what the queue says
// that was told, by whichever node.
type term struct {
	watcher *watcher
	roster  *roster
	at      engine.Position // up to here the queue is in the roster
	since   int             // events in the roster since the last snapshot
	parts   int             // of the last snapshot
	dead    map[string]time.Time

	more   []chan struct{} // wakes the senders
	unsend context.CancelFunc
	hangUp context.CancelFunc // on calls under way
	sends  sync.WaitGroup
}

const (
	// lookEvery is how often a node that is one of several looks whether it tells, and
	// at what others have put into the queue.
	lookEvery = 250 * time.Millisecond
	// settling is how long such a node waits after its start: until it knows the
	// others, and has heard what they share.
	settling = 3 * time.Second
	// readWait bounds how long the queue may take to be read.
	readWait = 5 * time.Second
	// restartGrace is what clients take to come back to a server that was killed.
	restartGrace = 10 * time.Second
)

// tells reports whether this node is the one that tells. One that is not ready may be
// cut off from the others, who then have one of their own.
func (d *Dispatcher) tells(now time.Time) bool {
	c := d.cfg.Cluster
	if c == nil {
		return true
	}
	if now.Sub(d.started) < settling || !c.Status().Ready {
		return false
	}
	_, mine := c.Owner("webhook\x00" + d.cfg.App)
	return mine
}

// run turns what happens into events, on one goroutine, so that those of a channel
// are in order.
func (d *Dispatcher) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.wake:
		case <-timer.C:
		case ctx := <-d.closing:
			d.end(ctx)
			return
		}
		timer.Reset(d.turn(time.Now()))
	}
}

// turn does what there is to do, and says in how long there will be more.
func (d *Dispatcher) turn(now time.Time) (next time.Duration) {
	tells := d.tells(now)
	switch {
	case tells && d.term == nil:
		t, err := d.begin(now)
		if err != nil {
			d.log.Warn("webhooks cannot be told yet", "error", err)
			d.pass(d.take(), now)
			return lastAgain
		}
		d.term = t
	case !tells && d.term != nil:
		d.resign()
	}
	d.pass(d.take(), now)
	d.settle(now)
	d.follows(now)
	return d.next(now)
}

// next is when to look again.
func (d *Dispatcher) next(now time.Time) time.Duration {
	next := time.Hour
	if d.cfg.Cluster != nil {
		next = lookEvery
	}
	if t := d.term; t != nil {
		if at, waits := t.watcher.next(); waits {
			next = min(next, at.Sub(now))
		}
	}
	if !d.out.again.IsZero() {
		next = min(next, d.out.again.Sub(now))
	}
	return max(next, 0)
}

// begin begins a term.
func (d *Dispatcher) begin(now time.Time) (*term, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readWait)
	defer cancel()
	senders := make([]*sender, len(d.cfg.URLs))
	t := &term{roster: newRoster(), dead: make(map[string]time.Time)}
	for i, url := range d.cfg.URLs {
		at, err := d.position(ctx, url)
		if err != nil {
			return nil, err
		}
		senders[i] = newSender(d, url, at)
		t.more = append(t.more, senders[i].more)
	}
	if err := d.read(ctx, t); err != nil {
		return nil, err
	}
	t.watcher = newWatcher(d.cfg.Debounce, func(e Event) { d.enqueue(e, true) })
	t.watcher.want = d.want
	var sending, calling context.Context
	sending, t.unsend = context.WithCancel(context.Background())
	calling, t.hangUp = context.WithCancel(context.Background())
	for _, s := range senders {
		t.sends.Go(func() {
			s.run(sending, calling)
			s.client.CloseIdleConnections()
		})
	}
	// Channels and members that nobody is on any more have a while to come back.
	t.watcher.expect(d.cfg.App, t.roster, now.Add(max(d.cfg.Debounce, restartGrace)))
	d.takeLeave(t, now)
	if d.cfg.Everyone != nil {
		d.cfg.Everyone(d.Changed, d.Member)
	}
	return t, nil
}

// resign ends a term: another node tells from now on.
func (d *Dispatcher) resign() {
	t := d.term
	d.term = nil
	d.out.forget()
	t.unsend()
	t.hangUp()
	t.sends.Wait()
}

// pass puts what has happened into the queue. What happens to channels and members is
// for the node that tells; the others forget it.
func (d *Dispatcher) pass(h happened, now time.Time) {
	var vacant []channel.ID
	if t := d.term; t != nil {
		vacant = d.arrivals(t, h.changed, now)
		d.members(t, h.moved, now)
	}
	for i := range h.events {
		d.enqueue(h.events[i], false)
	}
	if t := d.term; t != nil {
		for _, ch := range vacant {
			t.watcher.subscribers(ch, 0, now)
		}
		t.watcher.expire(now)
	}
}

// arrivals tells of channels with subscribers, and gives those without: a channel is
// occupied before its first member comes, and vacated after its last has left.
func (d *Dispatcher) arrivals(t *term, changed []channel.ID, now time.Time) (vacant []channel.ID) {
	slices.SortFunc(changed, func(a, b channel.ID) int { return strings.Compare(a.Name, b.Name) })
	for _, ch := range changed {
		if n := d.cfg.Subscribers(ch); n > 0 {
			t.watcher.subscribers(ch, n, now)
		} else {
			vacant = append(vacant, ch)
		}
	}
	return vacant
}

func (d *Dispatcher) members(t *term, moved []hub.Member, now time.Time) {
	slices.SortFunc(moved, func(a, b hub.Member) int {
		return strings.Compare(a.Channel.Name+"\x00"+a.User, b.Channel.Name+"\x00"+b.User)
	})
	for _, m := range moved {
		t.watcher.member(m.Channel, m.User, d.cfg.IsMember(m), now)
	}
}

// follows takes in what is new in the queue, wakes the senders, and takes leave of
// those whose node has died.
func (d *Dispatcher) follows(now time.Time) {
	t := d.term
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), readWait)
	defer cancel()
	events, err := d.follow(ctx, t)
	if err != nil {
		d.log.Warn("webhook roster is behind the queue", "error", err)
	}
	if events > 0 {
		for _, more := range t.more {
			select {
			case more <- struct{}{}:
			default:
			}
		}
	}
	if t.since += events; t.since >= min(max(snapshotEvery, t.roster.size), max(d.cfg.MaxQueue/2, 1)) {
		t.since = 0
		d.keep(t)
	}
	d.takeLeave(t, now)
}

// takeLeave tells of the end of sessions whose node has died. A node that only seems
// to have has webhook.debounce to be heard of again.
func (d *Dispatcher) takeLeave(t *term, now time.Time) {
	var alive []string
	if d.cfg.Cluster != nil {
		alive = d.cfg.Cluster.Alive()
	}
	for _, node := range sorted(t.roster.of) {
		if node == d.cfg.Node || slices.Contains(alive, node) {
			delete(t.dead, node)
			continue
		}
		since, known := t.dead[node]
		if !known {
			t.dead[node], since = now, now
		}
		if d.cfg.Cluster != nil && now.Sub(since) < d.cfg.Debounce {
			continue
		}
		delete(t.dead, node)
		for _, e := range t.roster.farewells(node) {
			if d.want[e.Name] {
				d.enqueue(e, true)
			}
			t.roster.apply(&entry{Event: e, Node: node})
		}
	}
}

// end puts what has happened into the queue, and returns once it is there and no call
// is under way, or ctx ends.
func (d *Dispatcher) end(ctx context.Context) {
	if d.term == nil && d.cfg.Cluster == nil { // it was closed before its first turn
		d.turn(time.Now())
	}
	d.pass(d.take(), time.Now())
	if t := d.term; t != nil && d.cfg.Cluster == nil {
		t.watcher.end() // nobody is left
	}
	d.flush(ctx)
	t := d.term
	if t == nil {
		return
	}
	d.term = nil
	t.unsend()
	stop := context.AfterFunc(ctx, t.hangUp)
	t.sends.Wait()
	stop()
	t.hangUp()
}

// flush waits for what is on its way into the queue.
func (d *Dispatcher) flush(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		if d.settle(now); len(d.out.items) == 0 {
			break
		}
		if !d.out.again.IsZero() {
			timer.Reset(max(d.out.again.Sub(now), 0))
		}
		select {
		case <-d.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	for _, i := range d.out.items {
		d.lost(i.event, ctx.Err())
	}
}

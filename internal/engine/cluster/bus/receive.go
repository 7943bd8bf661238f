package bus

import (
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/engine"
)

const (
	// topsEvery is in how many beats the number of each stream is told once, whatever
	// happens there: however many beats are lost, what else was is missed in the end.
	topsEvery = 4
	// askAgain is after how long a state is asked for once more.
	askAgain = time.Second
)

// receiver looks at what comes from other nodes, one message at a time, and knows
// who they are.
type receiver struct {
	bus       *Bus
	subs      []*nats.Subscription // of what is listened to for ever
	dropped   []int                // of each, as far as it is counted
	peers     map[string]*peer     // alive
	numbers   uint32
	gone      map[string]time.Time // nodes that have left, and when
	asked     map[uint64]*query
	lastQuery uint64
	ticked    time.Time
	beats     int      // said
	logged    Counters // as far as it was complained of
}

func newReceiver(b *Bus) *receiver {
	return &receiver{
		bus: b, peers: make(map[string]*peer), gone: make(map[string]time.Time), asked: make(map[uint64]*query),
	}
}

func (r *receiver) run() {
	b := r.bus
	defer r.end()
	select {
	case <-b.attached:
	case <-b.stop:
		return
	}
	tick := time.NewTicker(b.cfg.Beat)
	defer tick.Stop()
	r.ticked = time.Now()
	r.beat(beatGreets)
	for {
		select {
		case msg := <-b.inbound:
			r.hear(msg.Data)
		case msg := <-b.pulses:
			r.hear(msg.Data)
		case q := <-b.queries:
			r.ask(q)
		case <-tick.C:
			r.tick(time.Now())
		case <-b.stop:
			return
		}
	}
}

// end answers what is under way, and says farewell.
func (r *receiver) end() {
	b := r.bus
	for id, q := range r.asked {
		delete(r.asked, id)
		r.conclude(q, engine.ErrClosed)
	}
	for len(b.queries) > 0 {
		r.conclude(<-b.queries, engine.ErrClosed)
	}
	for i := range b.streams {
		st := &b.streams[i]
		st.mu.Lock()
		for _, w := range st.waiting {
			w.done(engine.ErrClosed)
		}
		st.waiting = nil
		st.mu.Unlock()
		b.out.put(sending{do: func() { b.unsubscribe(st) }})
	}
	b.out.put(sending{do: r.unsubscribe})
	if !r.ticked.IsZero() {
		r.beat(beatLeaves)
	}
}

func (r *receiver) unsubscribe() {
	for _, sub := range r.subs {
		_ = sub.Unsubscribe() // fails only with the connection, and then nothing comes
	}
}

// tick is what happens with every beat.
func (r *receiver) tick(now time.Time) {
	b := r.bus
	if now.Sub(r.ticked) > b.cfg.Dead/2 {
		// This node has stood still; what others have said meanwhile is still to come.
		for _, p := range r.peers {
			p.last = now
		}
	}
	r.ticked = now
	for _, p := range r.peers {
		if now.Sub(p.last) > b.cfg.Dead {
			b.count.deaths.Add(1)
			b.cfg.Logger.Warn("another node is dead", "node", *p.name.Load(), "id", p.id, "silent", now.Sub(p.last))
			r.lose(p)
			b.cfg.OnDead(p.info())
		}
	}
	for id, at := range r.gone {
		if now.Sub(at) > rememberGone {
			delete(r.gone, id)
		}
	}
	r.expire(now)
	r.look(now)
	r.tellCounts()
	r.pulse()
	r.beat(0)
	r.complain()
}

// look sees to every stream.
func (r *receiver) look(now time.Time) {
	b := r.bus
	wanted := make(map[*peer][]int)
	for i := range b.streams {
		st := &b.streams[i]
		st.mu.Lock()
		b.restLocked(st, now)
		b.countDroppedLocked(st)
		for _, src := range st.sources {
			if !src.synced && now.Sub(src.asked) >= askAgain {
				src.asked = now
				wanted[src.peer] = append(wanted[src.peer], i)
			}
		}
		st.waiting = slices.DeleteFunc(st.waiting, func(w waiter) bool {
			late := now.After(w.until)
			if late {
				w.done(engine.ErrBusy)
			}
			return late
		})
		st.mu.Unlock()
	}
	for p, streams := range wanted {
		b.want(p, streams)
	}
	for i, sub := range r.subs {
		if n, err := sub.Dropped(); err == nil && n > r.dropped[i] {
			b.count.dropped.Add(uint64(n - r.dropped[i]))
			r.dropped[i] = n
		}
	}
}

// want asks a node for its part of streams.
func (b *Bus) want(p *peer, streams []int) {
	m := b.message(kindAsk)
	m.streams = streams
	b.out.put(sending{subject: b.subjects.nodes + p.id, data: m.append(nil)})
}

// beat says that this node is alive, and what it has said.
func (r *receiver) beat(flags uint64) {
	b := r.bus
	m := b.message(kindBeat)
	m.name, m.flags = b.cfg.Name, flags
	for i := range b.streams {
		st := &b.streams[i]
		st.mu.Lock()
		number := st.number
		st.mu.Unlock()
		if number != st.told || number > 0 && (i+r.beats)%topsEvery == 0 {
			st.told = number
			m.tops = append(m.tops, top{i, number})
		}
	}
	r.beats++
	b.out.put(sending{subject: b.subjects.streams[everyone], data: m.append(nil)})
}

// pulse says that this node is alive before all that waits to be sent.
func (r *receiver) pulse() {
	m := r.bus.message(kindBeat)
	m.name = r.bus.cfg.Name
	r.bus.out.urgent.Store(&sending{subject: r.bus.subjects.alive, data: m.append(nil)})
}

// tellCounts tells what has changed since the last beat.
func (r *receiver) tellCounts() {
	b := r.bus
	st := &b.streams[everyone]
	st.mu.Lock()
	defer st.mu.Unlock()
	if list := b.counts.changed(); len(list) > 0 {
		inParts(b.partSize(), list, sizeOfCount, func(_ int, list []count, _ bool) {
			m := b.message(kindCounts)
			m.counts = list
			b.changeLocked(st, m)
		})
	}
}

// complain logs, once a beat, what should not happen.
func (r *receiver) complain() {
	now, was := r.bus.Counters(), &r.logged
	if now.Missed != was.Missed || now.Dropped != was.Dropped || now.Unsent != was.Unsent || now.Unshared != was.Unshared {
		r.bus.cfg.Logger.Warn("messages between nodes were lost",
			"missed", now.Missed-was.Missed, "dropped", now.Dropped-was.Dropped,
			"unsent", now.Unsent-was.Unsent, "unshared", now.Unshared-was.Unshared)
	}
	if now.Malformed != was.Malformed || now.Strangers != was.Strangers {
		r.bus.cfg.Logger.Error("messages of other nodes were not read",
			"malformed", now.Malformed-was.Malformed, "strangers", now.Strangers-was.Strangers)
	}
	r.logged = now
}

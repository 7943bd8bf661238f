package hub

import (
	"time"

	"github.com/google/uuid"
)

// This file brings the broadcasts of a shard to its subscribers. What waits for
// one topic is a volley: its subscribers are visited once for all of it. A
// volley is served in slices, so that a large topic does not hold up the others.

// Limits of one volley and of one slice.
const (
	maxVolleyEvents = 64
	maxVolleyBytes  = 32 << 10 // of data; one event at least
	sliceDeliveries = 128      // about half a millisecond of writing
	// A topic whose messages come faster than its subscribers can be visited rests
	// between two volleys, half as long as a volley takes, so that more messages
	// share the next one: 16 frames in one write cost little more than one. It is
	// behind when messages wait at the end of a volley, or had waited for its
	// beginning: publishers that wait for their messages to arrive send the next
	// ones together, and the first of them should not be a volley of its own. A
	// topic that is not behind never rests.
	restFrom = 500 * time.Microsecond // a volley that takes less is not worth a rest
	maxRest  = 4 * time.Millisecond
	// maxSpareFanOuts bounds what a shard keeps for re-use.
	maxSpareFanOuts = 256
)

// fanOut is what a shard has to bring to the subscribers of one topic.
type fanOut struct {
	queue  []*broadcast
	volley int      // so many of the queue are under way; 0: none
	stale  int      // so many of the queue are for nobody: everybody had left after them
	next   int      // the place in the list to go on at
	end    int      // those from here on subscribed later
	blocks [][]byte // the volley's frames in one piece, by Encoding.index

	began  time.Time // the volley
	many   bool      // it has more than one message
	resume time.Time // the end of a rest; zero: it is not resting
}

// accept queues a broadcast for the topic's subscribers.
func (sh *Shard) accept(b *broadcast) {
	l := &b.topic.local[sh.index]
	if l.out == nil {
		l.out = sh.newFanOut()
		sh.fresh = true
		sh.active = append(sh.active, b.topic)
	}
	l.out.queue = append(l.out.queue, b)
}

// inLine calls fn once the events that are queued for a topic here have been
// delivered.
func (sh *Shard) inLine(t *topic, fn func()) {
	l := &t.local[sh.index]
	if l.out == nil {
		fn()
		return
	}
	l.out.queue = append(l.out.queue, &broadcast{topic: t, then: fn})
}

func (sh *Shard) newFanOut() *fanOut {
	last := len(sh.spareFanOuts) - 1
	if last < 0 {
		return &fanOut{blocks: make([][]byte, len(sh.hub.encodings))}
	}
	o := sh.spareFanOuts[last]
	sh.spareFanOuts = sh.spareFanOuts[:last]
	return o
}

func (sh *Shard) freeFanOut(o *fanOut) {
	if len(sh.spareFanOuts) < maxSpareFanOuts && cap(o.queue) <= maxVolleyEvents {
		sh.spareFanOuts = append(sh.spareFanOuts, o)
	}
}

// deliver serves every active topic one slice, and returns how long it may take
// until it is called again; 0: there is more to do at once, negative: nothing is
// left. With last nothing else follows in this turn.
func (sh *Shard) deliver(last bool) time.Duration {
	sh.fresh = false
	wait := time.Duration(-1)
	alone := last && len(sh.active) == 1
	left := sh.active[:0]
	for _, t := range sh.active {
		l := &t.local[sh.index]
		pause := l.out.resting(sh.turn)
		if pause == 0 && !sh.slice(l, alone) {
			sh.freeFanOut(l.out)
			l.out = nil
			l.settle()
			continue
		}
		left = append(left, t)
		if wait < 0 || pause < wait {
			wait = pause
		}
	}
	clear(sh.active[len(left):])
	sh.active = left
	return wait
}

// resting is how much of a rest is left; a full volley ends it.
func (o *fanOut) resting(now time.Time) time.Duration {
	if o.resume.IsZero() {
		return 0
	}
	if left := o.resume.Sub(now); left > 0 && len(o.queue) < maxVolleyEvents {
		return left
	}
	o.resume = time.Time{}
	return 0
}

// rest decides whether the next volley waits for company.
func (o *fanOut) rest() bool {
	now := time.Now()
	took := now.Sub(o.began)
	if len(o.queue) == 0 && !o.many || len(o.queue) >= maxVolleyEvents || took < restFrom {
		return false
	}
	o.resume = now.Add(min(took/2, maxRest))
	return true
}

// slice brings a part of a volley, or several small volleys, to subscribers and
// reports whether there is more. alone says that nothing else waits on this
// shard: frames then go straight to the connections.
func (sh *Shard) slice(l *subscribers, alone bool) bool {
	o := l.out
	for budget := sliceDeliveries; len(o.queue) > 0; {
		if o.volley == 0 {
			sh.begin(l)
		}
		if o.volley == 0 {
			break // nothing of it was to be delivered
		}
		for ; o.next < o.end; o.next++ {
			if budget <= 0 {
				return true
			}
			if alone && budget%warmAhead == 0 {
				warm(l.list[o.next:min(o.next+warmAhead, o.end)])
			}
			if sub := l.list[o.next]; sub != nil { // otherwise it has left
				budget--
				sub.take(o, alone)
			}
		}
		sh.finish(o)
		if o.rest() {
			return true
		}
	}
	return false
}

// warmAhead sessions are looked at before they are written to.
const warmAhead = 16

// warm looks at them; see Warmer.
func warm(subs []*subscription) (all bool) {
	for _, sub := range subs {
		if sub != nil {
			if w, ok := sub.session.conn.(Warmer); ok {
				all = w.Warm() || all
			}
		}
	}
	return all
}

// begin makes a volley of what is queued. Only publications go together.
func (sh *Shard) begin(l *subscribers) {
	o := l.out
	size := 0
	sh.discard(o)
	for o.volley < len(o.queue) && o.volley < maxVolleyEvents {
		b := o.queue[o.volley]
		pub := b.event.Publication
		if b.then != nil && o.volley == 0 {
			o.queue = append(o.queue[:0], o.queue[1:]...)
			b.then()
			continue
		}
		if pub == nil {
			o.volley = max(o.volley, 1)
			break
		}
		if size += len(pub.Data); o.volley > 0 && size > maxVolleyBytes {
			break
		}
		if o.volley > 0 && (!l.follows(b) || b.from != uuid.Nil) {
			break // what came before it is delivered first
		}
		if pub.Offset > 0 && !sh.inSequence(l, b) {
			o.queue = append(o.queue[:o.volley], o.queue[o.volley+1:]...)
			sh.hub.gate.release(b.share)
			continue
		}
		o.volley++
		if b.from != uuid.Nil {
			break // not for everybody: by itself
		}
	}
	o.next, o.end = 0, len(l.list)
	o.began = time.Now()
}

// discard drops what was queued before the last subscriber left: who came
// later has it from history, and it would not follow what they are sent.
func (sh *Shard) discard(o *fanOut) {
	for ; o.stale > 0 && len(o.queue) > 0; o.stale-- {
		b := o.queue[0]
		o.queue = append(o.queue[:0], o.queue[1:]...)
		sh.hub.gate.release(b.share)
		if b.then != nil {
			b.then()
		}
	}
}

// finish gives back what the volley took of the gate.
func (sh *Shard) finish(o *fanOut) {
	released := int64(0)
	for _, b := range o.queue[:o.volley] {
		released += b.share
	}
	left := copy(o.queue, o.queue[o.volley:])
	clear(o.queue[left:])
	o.queue = o.queue[:left]
	o.stale = max(o.stale-o.volley, 0)
	o.many = o.volley > 1
	o.volley = 0
	clear(o.blocks)
	sh.hub.gate.release(released)
}

// block is the volley's frames in one piece, shared by all who get all of them.
func (o *fanOut) block(e *Encoding) []byte {
	if o.volley == 1 {
		return o.queue[0].frameFor(e)
	}
	if o.blocks[e.index] == nil {
		size := 0
		for _, b := range o.queue[:o.volley] {
			size += len(b.frameFor(e))
		}
		block := make([]byte, 0, size)
		for _, b := range o.queue[:o.volley] {
			block = append(block, b.frameFor(e)...)
		}
		o.blocks[e.index] = block
	}
	return o.blocks[e.index]
}

// take hands a subscription the volley: in one piece where it gets all of it.
func (sub *subscription) take(o *fanOut, alone bool) {
	first := &o.queue[0].event
	whole := first.Kind == EventPublication && o.queue[0].from == uuid.Nil && sub.reading == nil && sub.variant == nil && sub.flags&flagFresh == 0 && sub.session.shares() &&
		(first.Publication.Offset == 0 || first.Publication.Offset > sub.after)
	if !whole {
		for _, b := range o.queue[:o.volley] {
			sub.offer(b)
		}
		return
	}
	s := sub.session
	s.shard.delivered += uint64(o.volley)
	if sub.options.MayLose() {
		for _, b := range o.queue[:o.volley] { // one by one: each may be lost by itself
			s.enqueueOf(sub, b)
		}
		return
	}
	s.push(o.block(s.enc), alone)
}

// follows reports whether a publication has no offset, or the one after the last.
func (l *subscribers) follows(b *broadcast) bool {
	offset := b.event.Publication.Offset
	if offset == 0 {
		return true
	}
	if l.last == 0 { // nothing has passed yet; what subscribers have read says which epoch it is
		return l.epoch == "" || l.epoch == b.event.Epoch
	}
	return l.epoch == b.event.Epoch && offset == l.last+1
}

// inSequence checks that a publication with an offset is the one that follows
// the last. The engine promises as much; should it fail, nobody is left with a
// silent gap: positioned subscriptions are told to subscribe again.
func (sh *Shard) inSequence(l *subscribers, b *broadcast) bool {
	pub := b.event.Publication
	switch {
	case l.follows(b):
		l.epoch, l.last = b.event.Epoch, pub.Offset
		return true
	case l.epoch == b.event.Epoch && pub.Offset <= l.last:
		sh.hub.count.Repeated.Inc()
		return false
	}
	sh.hub.count.Gaps.Inc()
	l.epoch, l.last = b.event.Epoch, pub.Offset
	for i := len(l.list) - 1; i >= 0; i-- {
		switch sub := l.list[i]; {
		case sub == nil || !sub.positioned():
		case sub.reading != nil: // it may find in history what is missing here
			sub.reading.gap = pub.Offset
		default:
			sub.session.dropSubscription(sub, UnsubscribeInsufficientState)
		}
	}
	return true
}

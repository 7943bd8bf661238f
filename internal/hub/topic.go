package hub

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// topic is a channel that has subscribers here. It lives from the first
// subscription to the last, in one place for all shards, so that a publication
// costs one look-up.
type topic struct {
	id channel.ID

	// Guarded by the mutex of its stripe.
	shards uint64 // bit i: shard i has subscribers
	count  int    // subscribers on all shards

	deltas atomic.Int32 // subscribers with delta, on all shards

	// What publications are changes of; touched in the order of the channel. nil
	// while nobody has delta.
	newest *engine.Publication
	epoch  string

	// local[i] is touched by shard i's goroutine only.
	local []subscribers
}

// subscribers are a topic's subscriptions on one shard.
type subscribers struct {
	list  []*subscription
	holes int     // places in list whose subscription left during a fan-out
	out   *fanOut // nil: nothing is under way
	epoch string
	last  uint64 // offset of the newest publication seen here; 0: none yet
}

// MaxShards is as many as fit a topic's bit set.
const MaxShards = 64

const topicStripes = 64

// topics finds a topic by channel. Lock order: a stripe's mutex is the innermost
// lock; nothing is called while it is held.
type topics struct {
	seed    maphash.Seed
	shards  int
	stripes [topicStripes]topicStripe
}

type topicStripe struct {
	mu sync.RWMutex
	m  map[channel.ID]*topic
}

func newTopics(shards int) *topics {
	t := &topics{seed: maphash.MakeSeed(), shards: shards}
	for i := range t.stripes {
		t.stripes[i].m = make(map[channel.ID]*topic)
	}
	return t
}

func (t *topics) stripe(id channel.ID) *topicStripe {
	return &t.stripes[maphash.Comparable(t.seed, id)%topicStripes]
}

// find returns the topic, the shards that have subscribers, and how many those
// are; nil when nobody is subscribed.
func (t *topics) find(id channel.ID) (top *topic, shards uint64, count int) {
	st := t.stripe(id)
	st.mu.RLock()
	defer st.mu.RUnlock()
	if top = st.m[id]; top == nil {
		return nil, 0, 0
	}
	return top, top.shards, top.count
}

// join counts one more subscriber of a shard. first reports that the channel had
// none before.
func (t *topics) join(id channel.ID, shard int) (top *topic, first bool) {
	st := t.stripe(id)
	st.mu.Lock()
	defer st.mu.Unlock()
	top = st.m[id]
	if top == nil {
		top = &topic{id: id, local: make([]subscribers, t.shards)}
		st.m[id] = top
		first = true
	}
	top.shards |= 1 << shard
	top.count++
	return top, first
}

// leave counts one less; empty says that it was the last of its shard. last
// reports that the channel has none any more.
func (t *topics) leave(top *topic, shard int, empty bool) (last bool) {
	st := t.stripe(top.id)
	st.mu.Lock()
	defer st.mu.Unlock()
	if empty {
		top.shards &^= 1 << shard
	}
	top.count--
	if top.count == 0 {
		delete(st.m, top.id)
		return true
	}
	return false
}

// each calls fn for every topic, stripe by stripe.
func (t *topics) each(fn func(id channel.ID, subscribers int)) {
	type row struct {
		id channel.ID
		n  int
	}
	var rows []row
	for i := range t.stripes {
		st := &t.stripes[i]
		rows = rows[:0]
		st.mu.RLock()
		for id, top := range st.m {
			rows = append(rows, row{id, top.count})
		}
		st.mu.RUnlock()
		for _, r := range rows {
			fn(r.id, r.n)
		}
	}
}

// eachShard calls fn with the index of every bit set.
func eachShard(set uint64, fn func(int)) {
	for ; set != 0; set &= set - 1 {
		fn(bits.TrailingZeros64(set))
	}
}

// began notes the epoch that a subscriber has read.
func (l *subscribers) began(epoch string) {
	if l.last == 0 {
		l.epoch = epoch
	}
}

// add appends a subscription to its shard's list, remembering its place.
func (l *subscribers) add(sub *subscription) {
	sub.place = int32(len(l.list))
	l.list = append(l.list, sub)
}

// remove takes a subscription out; the order of the others may change, but not
// while a fan-out walks over them.
func (l *subscribers) remove(sub *subscription) {
	if l.out != nil {
		l.list[sub.place] = nil
		l.holes++
		if l.empty() { // what is published from here on does not come here
			l.epoch, l.last = "", 0
			l.out.stale = len(l.out.queue)
		}
		return
	}
	end := len(l.list) - 1
	moved := l.list[end]
	l.list[sub.place] = moved
	moved.place = sub.place
	l.list[end] = nil
	l.list = l.list[:end]
	l.forget()
}

// settle closes the holes that a fan-out left.
func (l *subscribers) settle() {
	if l.holes == 0 {
		l.forget() // a publication on its way to those who left has come through
		return
	}
	n := 0
	for _, sub := range l.list {
		if sub != nil {
			sub.place = int32(n)
			l.list[n] = sub
			n++
		}
	}
	clear(l.list[n:])
	l.list, l.holes = l.list[:n], 0
	l.forget()
}

func (l *subscribers) empty() bool { return len(l.list) == l.holes }

// forget drops where the channel stood once nobody is left: publications no
// longer pass here.
func (l *subscribers) forget() {
	if len(l.list) == 0 {
		*l = subscribers{}
	}
}

// totals counts channels and subscriptions.
func (t *topics) totals() (channels, subscriptions int) {
	t.each(func(id channel.ID, n int) {
		if !isOnline(id) {
			channels++
			subscriptions += n
		}
	})
	return channels, subscriptions
}

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
	shards uint64      // bit i: shard i has subscribers
	count  int         // subscribers on all shards
	use    *channelUse // of its App in the stripe

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
	mu   sync.RWMutex
	m    map[channel.ID]*topic
	apps map[string]*channelUse // what is in m, by App; those that have something only
	all  channelUse             // of them together, but for who is online
}

// channelUse is how many channels and subscriptions there are. Each stripe counts its
// own, so that who subscribes writes nothing that all shards share.
type channelUse struct{ channels, subscriptions int }

func (u *channelUse) add(channels, subscriptions int) {
	u.channels += channels
	u.subscriptions += subscriptions
}

func newTopics(shards int) *topics {
	t := &topics{seed: maphash.MakeSeed(), shards: shards}
	for i := range t.stripes {
		t.stripes[i].m, t.stripes[i].apps = make(map[channel.ID]*topic), make(map[string]*channelUse)
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
		top = &topic{id: id, use: st.useOf(id.App), local: make([]subscribers, t.shards)}
		st.m[id] = top
		st.count(top, 1, 0)
		first = true
	}
	top.shards |= 1 << shard
	top.count++
	st.count(top, 0, 1)
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
	st.count(top, 0, -1)
	if top.count == 0 {
		delete(st.m, top.id)
		st.count(top, -1, 0)
		return true
	}
	return false
}

// useOf makes it.
func (st *topicStripe) useOf(app string) *channelUse {
	u := st.apps[app]
	if u == nil {
		u = &channelUse{}
		st.apps[app] = u
	}
	return u
}

// count adds to what the topic's App has in the stripe, and to all of it.
func (st *topicStripe) count(top *topic, channels, subscriptions int) {
	top.use.add(channels, subscriptions)
	if !isOnline(top.id) {
		st.all.add(channels, subscriptions)
	}
	if top.use.channels == 0 {
		delete(st.apps, top.id.App)
	}
}

// useOf is how many channels of an App there are, and subscriptions to them.
func (t *topics) useOf(app string) (u channelUse) {
	for i := range t.stripes {
		st := &t.stripes[i]
		st.mu.RLock()
		if of := st.apps[app]; of != nil {
			u.add(of.channels, of.subscriptions)
		}
		st.mu.RUnlock()
	}
	return u
}

// use is that of every App that has channels.
func (t *topics) use() map[string]channelUse {
	all := make(map[string]channelUse)
	for i := range t.stripes {
		st := &t.stripes[i]
		st.mu.RLock()
		for app, of := range st.apps {
			u := all[app]
			u.add(of.channels, of.subscriptions)
			all[app] = u
		}
		st.mu.RUnlock()
	}
	return all
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

// totals is what all Apps have together.
func (t *topics) totals() (u channelUse) {
	for i := range t.stripes {
		st := &t.stripes[i]
		st.mu.RLock()
		u.add(st.all.channels, st.all.subscriptions)
		st.mu.RUnlock()
	}
	return u
}

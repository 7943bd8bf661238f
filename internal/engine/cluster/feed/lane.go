package feed

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
	"github.com/fanfare-push/fanfare/internal/pack"
)

// This file keeps what is told of a channel whole.

const (
	// maxChecks is how many channels are compared at a time: readers of the core node wait
	// in the same line.
	maxChecks = 64
	// How much is looked up with one question.
	lookLimit = 1000
	lookBytes = 1 << 20
)

// followed is a channel that is followed here.
type followed struct {
	ch    channel.ID
	count int         // guarded by the shard's mutex
	gone  atomic.Bool // nobody follows it any more

	// Owned by the client's goroutine.
	queued bool // to be compared
	asking bool // it is being compared
	lanes  [2]lane
}

// lane is what was told of a channel from one kind of logs.
type lane struct {
	// cursor is where the Follower is: what was told last, or before it where the
	// channel stood when it was first heard of. Without an epoch: nothing was there.
	cursor engine.Position
	known  bool // cursor is
	// base says that what stands at the cursor was not told: it may still come, as it
	// can be read before it is told.
	base     bool
	fetching bool
	told     atomic.Uint64   // offset of what was told last, for readers on any goroutine; 0: nothing in this epoch
	missed   engine.Position // what is heard of since the last look and was not told; without an epoch: nothing
	waiting  []func()        // publishers whose publication is being fetched
}

func laneOf(memory bool) int {
	if memory {
		return 1
	}
	return 0
}

func (l *lane) release() {
	waiting := l.waiting
	l.waiting = nil
	for _, done := range waiting {
		done()
	}
}

// joinedLocked lets those go on who wait for the feed.
func (sh *shard) joinedLocked() {
	if sh.joined != nil {
		close(sh.joined)
		sh.joined = nil
	}
}

// Follow is in force once it returns, unless the feeder does not answer within
// FollowWait. What comes between then and the first answer of a feeder is told to who
// has a position, and may be missed by who has none.
func (c *Client) Follow(ch channel.ID) {
	sh := &c.shards[bus.Shard(ch)]
	sh.mu.Lock()
	f := sh.countLocked(ch, 1)
	if f == nil {
		sh.mu.Unlock()
		return
	}
	sh.active++
	wanted := sh.wanted
	if !wanted {
		sh.wanted = true
		c.subscribeLocked(sh)
	}
	var joined chan struct{}
	if !sh.live {
		if sh.joined == nil {
			sh.joined = make(chan struct{})
		}
		joined = sh.joined
	}
	sh.mu.Unlock()
	if !wanted {
		c.listen()
	}
	c.mu.Lock()
	c.fresh = append(c.fresh, f)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	if joined == nil || c.mute.Load() {
		return
	}
	timer := time.NewTimer(c.cfg.FollowWait)
	defer timer.Stop()
	select {
	case <-joined:
	case <-c.stop:
	case <-timer.C:
		c.mute.Store(true)
	}
}

// Unfollow ends it.
func (c *Client) Unfollow(ch channel.ID) {
	sh := &c.shards[bus.Shard(ch)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f := sh.countLocked(ch, -1); f != nil {
		f.gone.Store(true)
		sh.active--
		sh.idle = time.Now()
	}
}

// countLocked is the channel that is followed from here on, or was up to here; nil:
// nothing has changed.
func (sh *shard) countLocked(ch channel.ID, by int) *followed {
	f := sh.channels[ch]
	was := 0
	if f != nil {
		was = f.count
	}
	now := was + by
	switch {
	case was <= 0 && now > 0:
		f = &followed{ch: ch, count: now}
		sh.channels[ch] = f
		return f
	case now == 0:
		delete(sh.channels, ch)
	case f == nil:
		sh.channels[ch] = &followed{ch: ch, count: now}
	default:
		f.count = now
	}
	if was > 0 && now <= 0 {
		return f
	}
	return nil
}

// find is the channel, if it is followed.
func (c *Client) find(ch channel.ID) *followed {
	sh := &c.shards[bus.Shard(ch)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f := sh.channels[ch]; f != nil && f.count > 0 {
		return f
	}
	return nil
}

// item takes a publication of the feed.
func (c *Client) item(m *message) {
	c.count.items.Add(1)
	sh := &c.shards[m.shard]
	sh.mu.Lock()
	f := sh.channels[m.ch]
	if f != nil && f.count <= 0 {
		f = nil
	}
	if sh.live && m.number > sh.seen {
		if m.number > sh.seen+1 {
			c.count.gaps.Add(1)
			for _, other := range sh.channels {
				if other.count > 0 {
					c.queue(other)
				}
			}
		}
		sh.seen = m.number
	}
	sh.mu.Unlock()
	if f != nil {
		c.deliver(f, laneOf(m.memory), m.epoch, m.pub)
	}
}

// deliver tells what follows the cursor, drops what was told, and has looked up
// what is missing.
func (c *Client) deliver(f *followed, n int, epoch string, pub *engine.Publication) {
	l := &f.lanes[n]
	same := l.cursor.Epoch == epoch
	switch {
	case !l.known,
		l.cursor.Epoch == "" && pub.Offset == 1,
		same && pub.Offset == l.cursor.Offset+1,
		same && l.base && pub.Offset == l.cursor.Offset:
		c.hand(f, l, epoch, pub)
	case same && pub.Offset <= l.cursor.Offset:
	default:
		c.miss(f, n, engine.Position{Epoch: epoch, Offset: pub.Offset})
	}
}

// miss has looked up what stands between the cursor and a position. What is being looked
// up already may be older.
func (c *Client) miss(f *followed, n int, at engine.Position) {
	l := &f.lanes[n]
	if l.missed.Epoch != at.Epoch || l.missed.Offset < at.Offset {
		l.missed = at
	}
	c.fetch(f, n)
}

// hand tells the Follower.
func (c *Client) hand(f *followed, l *lane, epoch string, pub *engine.Publication) {
	l.known, l.base = true, false
	l.cursor = engine.Position{Epoch: epoch, Offset: pub.Offset}
	l.told.Store(pub.Offset)
	c.tell(f.ch, epoch, pub)
}

// takeFresh has channels looked after that are followed since.
func (c *Client) takeFresh() {
	c.mu.Lock()
	fresh := c.fresh
	c.fresh = nil
	c.mu.Unlock()
	for _, f := range fresh {
		c.queue(f)
	}
}

// queue has a channel compared with where it stands.
func (c *Client) queue(f *followed) {
	if f.queued {
		return
	}
	f.queued = true
	c.checks = append(c.checks, f)
}

// check compares some of what is queued.
func (c *Client) check() {
	for c.asked < maxChecks && len(c.checks) > 0 {
		f := c.checks[0]
		c.checks[0] = nil
		c.checks = c.checks[1:]
		f.queued = false
		switch {
		case f.gone.Load():
			continue
		case f.asking: // it may have been asked for too early
			c.later = append(c.later, f)
			continue
		}
		f.asking = true
		c.asked++
		c.begin(&call{op: opTops, body: appendChannel(nil, f.ch), done: func(_ *call, body []byte, err error) {
			c.asked--
			f.asking = false
			c.compare(f, body, err)
		}})
	}
}

// compare looks where a channel stands, and fetches what is missing.
func (c *Client) compare(f *followed, body []byte, err error) {
	c.count.checked.Add(1)
	r := reader{pack.Reader{B: body}}
	tops := [2]engine.Position{r.position(), r.position()}
	switch {
	case f.gone.Load(), errors.Is(err, engine.ErrClosed):
		return
	case err != nil || r.End("tops") != nil:
		c.later = append(c.later, f)
		return
	}
	for n := range f.lanes {
		l := &f.lanes[n]
		switch {
		case !l.known:
			l.known, l.base, l.cursor = true, true, tops[n]
		case tops[n] != l.cursor:
			c.miss(f, n, tops[n])
		}
	}
}

// stands learns from a reader where a channel stands: from there on nothing is missed.
// It reports whether the feeder is behind what was told before it was asked: the reader
// would miss what is between.
func (l *lane) stands(top engine.Position, told uint64) (behind bool) {
	if !l.known && top.Epoch != "" {
		l.known, l.base, l.cursor = true, true, top
	}
	return l.cursor.Epoch == top.Epoch && top.Offset < told
}

// handed calls done once the Follower was told of a publication, if the channel is
// followed. The feed comes before the answer, unless something was lost. A fresh one was
// stored for this call, and not at another time.
func (c *Client) handed(ch channel.ID, memory bool, at engine.Position, fresh bool, done func()) {
	f := c.find(ch)
	if f == nil {
		done()
		return
	}
	n := laneOf(memory)
	l := &f.lanes[n]
	if !l.known && fresh && at.Offset > 0 { // the channel was followed before it was asked where it stands
		l.known, l.cursor = true, engine.Position{Epoch: at.Epoch, Offset: at.Offset - 1}
	}
	if !l.known || l.cursor.Epoch == at.Epoch && l.cursor.Offset >= at.Offset {
		done()
		return
	}
	l.waiting = append(l.waiting, done)
	c.miss(f, n, at)
}

// fetch looks up what follows the cursor. What comes meanwhile and does not follow
// it is left to the next look.
func (c *Client) fetch(f *followed, n int) {
	l := &f.lanes[n]
	if l.fetching {
		return
	}
	l.fetching = true
	since := l.cursor
	if since.Epoch == "" {
		c.look(f, n, nil)
		return
	}
	c.look(f, n, &since)
}

// look asks for a page after a position; nil: from the oldest on.
func (c *Client) look(f *followed, n int, since *engine.Position) {
	l := &f.lanes[n]
	l.missed = engine.Position{}
	req := engine.HistoryRequest{
		Channel: f.ch, Since: since, Limit: lookLimit, MaxBytes: lookBytes,
		Retention: engine.Retention{Size: 1, Durability: channel.Disk},
	}
	if n == laneOf(true) {
		req.Retention.Durability = channel.Memory
	}
	c.begin(&call{op: opLook, body: appendRequest(nil, &req), done: func(x *call, _ []byte, err error) {
		switch {
		case f.gone.Load(), errors.Is(err, engine.ErrClosed):
			l.fetching = false
			l.release()
		case errors.Is(err, engine.ErrUnrecoverable) && since != nil:
			c.look(f, n, nil) // the channel has begun anew
		case err != nil:
			l.fetching = false
			l.release()
			c.later = append(c.later, f)
		default:
			c.looked(f, n, &x.res)
		}
	}})
}

// looked tells a page that was looked up.
func (c *Client) looked(f *followed, n int, res *engine.HistoryResult) {
	l := &f.lanes[n]
	for _, p := range res.Publications {
		if l.cursor.Epoch != res.Top.Epoch || p.Offset > l.cursor.Offset {
			c.count.fetched.Add(1)
			c.hand(f, l, res.Top.Epoch, p)
		}
	}
	if l.cursor.Epoch != res.Top.Epoch || len(res.Publications) == 0 && res.Top.Offset > l.cursor.Offset {
		l.known, l.base, l.cursor = true, true, res.Top // what was between is kept no more
		l.told.Store(0)
	}
	behind := l.cursor.Offset < res.Top.Offset
	if m := l.missed; m.Epoch != "" && (m.Epoch != l.cursor.Epoch || m.Offset > l.cursor.Offset) {
		behind = true
	}
	if behind {
		since := l.cursor
		if since.Epoch == "" {
			c.look(f, n, nil)
		} else {
			c.look(f, n, &since)
		}
		return
	}
	l.fetching = false
	l.release()
}

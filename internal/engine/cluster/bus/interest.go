package bus

import (
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Follow implements engine.Interest. It waits for other nodes when the stream of
// the channel was not listened to, which is seldom: at most FollowWait, once for a
// node that does not answer.
func (b *Bus) Follow(ch channel.ID) {
	if !b.door.Enter() {
		return
	}
	st := b.streamOf(ch)
	st.mu.Lock()
	if st.countLocked(ch, 1) {
		st.active++
	}
	if st.active > 0 && st.sources == nil {
		b.listenLocked(st)
	}
	moved := st.awaitLocked()
	st.mu.Unlock()
	b.door.Leave()
	if moved == nil {
		return
	}
	timer := time.NewTimer(b.cfg.FollowWait)
	defer timer.Stop()
	for moved != nil {
		select {
		case <-moved:
		case <-timer.C:
			b.count.unreached.Add(1)
			st.muteUnreached()
			return
		case <-b.stop:
			return
		}
		st.mu.Lock()
		moved = st.awaitLocked()
		st.mu.Unlock()
	}
}

// Unfollow implements engine.Interest.
func (b *Bus) Unfollow(ch channel.ID) {
	if !b.door.Enter() {
		return
	}
	defer b.door.Leave()
	st := b.streamOf(ch)
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.countLocked(ch, -1) {
		st.active--
		st.idle = time.Now()
	}
}

// countLocked reports whether the channel is followed that was not, or the other
// way round.
func (st *stream) countLocked(ch channel.ID, by int) (turned bool) {
	was := st.follows[ch]
	now := was + by
	if now == 0 {
		delete(st.follows, ch)
	} else {
		st.follows[ch] = now
	}
	return (was > 0) != (now > 0)
}

// listenLocked subscribes, and asks all others for their part, in this order.
func (b *Bus) listenLocked(st *stream) {
	st.sources = make(map[uint32]*source)
	st.stale = 0
	now := time.Now()
	for _, p := range *b.others.Load() {
		st.addLocked(p, now, true)
	}
	b.count.streams.Add(1)
	b.out.put(sending{do: func() { b.subscribe(st) }})
	if len(st.sources) > 0 {
		m := b.message(kindAsk)
		m.streams = []int{st.index}
		b.out.put(sending{subject: b.subjects.streams[everyone], data: m.append(nil)})
	}
}

// subscribe runs on the sender's goroutine.
func (b *Bus) subscribe(st *stream) {
	sub, err := b.cfg.Conn.ChanSubscribe(b.subjects.streams[st.index], b.inbound)
	if err != nil { // the connection is closed, as Status says
		b.cfg.Logger.Error("cannot listen to other nodes", "stream", st.index, "error", err)
		return
	}
	st.mu.Lock()
	st.sub = sub
	st.mu.Unlock()
}

// restLocked ends the interest of a stream that nothing has been followed in for a
// while. What others have there is forgotten without a word.
func (b *Bus) restLocked(st *stream, now time.Time) {
	if st.index == everyone || st.sources == nil || st.active > 0 || now.Sub(st.idle) < b.cfg.Linger || len(st.waiting) > 0 {
		return
	}
	for ch, r := range st.rosters {
		for m := range r.All() {
			if m.Node != 0 {
				r.Remove(m.Info.Client, m.Node)
			}
		}
		if r.Empty() {
			delete(st.rosters, ch)
		}
	}
	st.sources, st.stale = nil, 0
	st.movedLocked()
	b.count.streams.Add(-1)
	b.out.put(sending{do: func() { b.unsubscribe(st) }})
}

// unsubscribe runs on the sender's goroutine.
func (b *Bus) unsubscribe(st *stream) {
	st.mu.Lock()
	b.countDroppedLocked(st)
	sub := st.sub
	st.sub, st.dropped = nil, 0
	st.mu.Unlock()
	if sub != nil {
		_ = sub.Unsubscribe() // fails only with the connection, and then nothing comes
	}
}

// countDroppedLocked counts what NATS has dropped since it was asked last.
func (b *Bus) countDroppedLocked(st *stream) {
	if st.sub == nil {
		return
	}
	if n, err := st.sub.Dropped(); err == nil && n > st.dropped {
		b.count.dropped.Add(uint64(n - st.dropped))
		st.dropped = n
	}
}

// awaitLocked is closed when it is worth looking again; nil: the interest is in
// force at every node that answers.
func (st *stream) awaitLocked() <-chan struct{} {
	if st.stale == 0 {
		return nil
	}
	for _, src := range st.sources {
		if !src.reached && !src.peer.mute.Load() {
			if st.moved == nil {
				st.moved = make(chan struct{})
			}
			return st.moved
		}
	}
	return nil
}

// muteUnreached lets nobody else wait for those who do not answer.
func (st *stream) muteUnreached() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, src := range st.sources {
		if !src.reached {
			src.peer.mute.Store(true)
		}
	}
	st.movedLocked()
}

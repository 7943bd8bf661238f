package bus

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/roster"
)

// stream is what this node says and hears of the channels that hash to it.
type stream struct {
	index int

	mu      sync.Mutex
	number  uint64                        // of what this node said last
	rosters map[channel.ID]*roster.Roster // this node's sessions; with interest, everybody's
	follows map[channel.ID]int            // may be negative, see engine.Interest
	active  int                           // channels that are followed
	idle    time.Time                     // since when none is
	sources map[uint32]*source            // by peer.number; nil: no interest
	stale   int                           // sources that are not synced
	moved   chan struct{}                 // closed when a source is reached or lost; nil: nobody waits
	waiting []waiter
	owed    map[uint32]bool // peers that a state is queued for
	sub     *nats.Subscription
	dropped int // messages that sub has, as far as they are counted

	told uint64 // number as the last beat said; owned by the receiver
}

// source is what another node says in a stream.
type source struct {
	peer    *peer
	reached bool   // it has answered: what it publishes comes here
	synced  bool   // the rosters hold what it has
	quiet   bool   // its sessions were there before the interest: nobody is told
	seen    uint64 // number of what came last; 0: not reached
	asked   time.Time

	// What has come of a state that is not complete.
	part int
	here map[place]struct{} // sessions in it; nil: none yet
}

// place is a session on a channel.
type place struct {
	ch     channel.ID
	client string
}

func (p present) place() place { return place{p.ch, p.info.Client} }

// waiter is somebody who asks for a view that is not complete.
type waiter struct {
	until time.Time
	done  func(error) // called with the stream's lock held
}

func (st *stream) init(index int) {
	st.index = index
	st.rosters = make(map[channel.ID]*roster.Roster)
	st.follows = make(map[channel.ID]int)
	st.owed = make(map[uint32]bool)
}

func (b *Bus) streamOf(ch channel.ID) *stream { return &b.streams[shardOf(ch)] }

func (st *stream) rosterLocked(ch channel.ID) *roster.Roster {
	r := st.rosters[ch]
	if r == nil {
		r = roster.New()
		st.rosters[ch] = r
	}
	return r
}

// joinLocked puts a session in and tells the Follower as the notice says.
func (b *Bus) joinLocked(st *stream, p present, node uint32, quiet bool) {
	fresh, edge := true, true
	if p.notice&engine.Track != 0 {
		fresh, edge = st.rosterLocked(p.ch).Add(roster.Member{Info: p.info, Node: node, Notice: p.notice})
	}
	if fresh && !quiet && p.notice&engine.Announce != 0 {
		b.follower.Join(p.ch, p.info, edge)
	}
}

// leaveLocked takes a session out and tells the Follower as the notice says. What
// is told is what the session came with.
func (b *Bus) leaveLocked(st *stream, p present, node uint32) {
	info, edge := p.info, true
	if p.notice&engine.Track != 0 {
		r := st.rosters[p.ch]
		if r.Empty() {
			return
		}
		left, last, found := r.Remove(info.Client, node)
		if !found {
			return
		}
		info, edge = left.Info, last
		if r.Empty() {
			delete(st.rosters, p.ch)
		}
	}
	if p.notice&engine.Announce != 0 {
		b.follower.Leave(p.ch, info, edge)
	}
}

// ofLocked are the sessions of a node in this stream.
func (st *stream) ofLocked(node uint32) []present {
	var list []present
	for ch, r := range st.rosters {
		for m := range r.All() {
			if m.Node == node {
				list = append(list, present{ch, m.Notice, m.Info})
			}
		}
	}
	return list
}

// movedLocked wakes who waits for sources.
func (st *stream) movedLocked() {
	if st.moved != nil {
		close(st.moved)
		st.moved = nil
	}
}

// completeLocked answers who waits once every source is synced.
func (st *stream) completeLocked() {
	if st.stale > 0 {
		return
	}
	for _, w := range st.waiting {
		w.done(nil)
	}
	st.waiting = nil
}

// addLocked makes a source of a peer, where there is interest.
func (st *stream) addLocked(p *peer, now time.Time, quiet bool) {
	if st.sources == nil || st.sources[p.number] != nil {
		return
	}
	st.sources[p.number] = &source{peer: p, quiet: quiet, asked: now}
	st.stale++
}

// syncedLocked notes that the rosters hold what a source has.
func (st *stream) syncedLocked(src *source, number uint64) {
	if !src.synced {
		src.synced = true
		st.stale--
	}
	src.reached, src.quiet, src.seen = true, false, number
	st.movedLocked()
	st.completeLocked()
}

// staleLocked notes that they do not.
func (st *stream) staleLocked(src *source) {
	if src.synced {
		src.synced = false
		st.stale++
	}
	src.part, src.here = 0, nil
}

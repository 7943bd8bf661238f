package bus

import (
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// MaxWaiting is how many views of one stream may wait until it is complete; more
// are refused with ErrBusy.
const MaxWaiting = 1024

// Join implements engine.Presence.
func (b *Bus) Join(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	if !b.door.Enter() {
		return
	}
	defer b.door.Leave()
	st := b.streamOf(ch)
	st.mu.Lock()
	defer st.mu.Unlock()
	m := b.message(kindJoin)
	m.present = present{ch, n, b.shown(info)}
	b.changeLocked(st, m)
	b.joinLocked(st, present{ch, n, info}, 0, false)
}

// Leave implements engine.Presence.
func (b *Bus) Leave(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	if !b.door.Enter() {
		return
	}
	defer b.door.Leave()
	st := b.streamOf(ch)
	st.mu.Lock()
	defer st.mu.Unlock()
	m := b.message(kindLeave)
	m.present = present{ch, n, b.shown(info)}
	b.changeLocked(st, m)
	b.leaveLocked(st, present{ch, n, info}, 0)
}

// Members implements engine.Presence. It fails with ErrBusy when too many ask, or
// a node that is alive has not answered within QueryWait.
func (b *Bus) Members(ch channel.ID, done func(engine.Members, error)) {
	b.view(ch, false, func(sessions []*engine.ClientInfo, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		members := b.streamOf(ch).rosters[ch].Members()
		for _, info := range sessions {
			members[info.Client] = info
		}
		done(members, nil)
	})
}

// Stats implements engine.Presence. Errors are those of Members.
func (b *Bus) Stats(ch channel.ID, done func(engine.PresenceStats, error)) {
	b.view(ch, true, func(sessions []*engine.ClientInfo, err error) {
		if err != nil {
			done(engine.PresenceStats{}, err)
			return
		}
		r := b.streamOf(ch).rosters[ch]
		if len(sessions) == 0 {
			done(r.Stats(), nil)
			return
		}
		members, users := r.Members(), make(map[string]struct{})
		for _, info := range sessions {
			members[info.Client] = info
		}
		for _, info := range members {
			users[info.User] = struct{}{}
		}
		done(engine.PresenceStats{Clients: len(members), Users: len(users)}, nil)
	})
}

// view calls done in line with what the Follower is told of the channel: the
// roster, which done may read then, and sessions hold everybody. The sessions are
// without their info where it is brief.
func (b *Bus) view(ch channel.ID, brief bool, done func(sessions []*engine.ClientInfo, err error)) {
	if !b.door.Enter() {
		done(nil, engine.ErrClosed)
		return
	}
	defer b.door.Leave()
	st := b.streamOf(ch)
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.stale == 0 && (st.sources != nil || b.alone()):
		done(nil, nil)
	case st.sources != nil && len(st.waiting) < MaxWaiting:
		until := time.Now().Add(b.cfg.QueryWait)
		st.waiting = append(st.waiting, waiter{until, func(err error) { done(nil, err) }})
	case st.sources != nil:
		done(nil, engine.ErrBusy)
	default:
		q := &query{ch: ch, brief: brief, until: time.Now().Add(b.cfg.QueryWait), done: done}
		select {
		case b.queries <- q:
		default:
			done(nil, engine.ErrBusy)
		}
	}
}

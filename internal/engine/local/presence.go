package local

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/roster"
)

// Join implements engine.Presence.
func (e *Engine) Join(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	if !e.door.Enter() {
		return
	}
	defer e.door.Leave()
	l := e.lanes.of(ch)
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh, edge := true, true
	if n&engine.Track != 0 {
		m := l.presence[ch]
		if m == nil {
			m = roster.New()
			l.presence[ch] = m
		}
		fresh, edge = m.Add(roster.Member{Info: info, Notice: n})
	}
	if fresh && n&engine.Announce != 0 {
		e.follower.Join(ch, info, edge)
	}
}

// Leave implements engine.Presence.
func (e *Engine) Leave(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	if !e.door.Enter() {
		return
	}
	defer e.door.Leave()
	l := e.lanes.of(ch)
	l.mu.Lock()
	defer l.mu.Unlock()
	edge := true
	if n&engine.Track != 0 {
		m := l.presence[ch]
		if m == nil {
			return
		}
		left, last, found := m.Remove(info.Client, 0)
		if !found {
			return
		}
		info, edge = left.Info, last
		if m.Empty() {
			delete(l.presence, ch)
		}
	}
	if n&engine.Announce != 0 {
		e.follower.Leave(ch, info, edge)
	}
}

// Members implements engine.Presence.
func (e *Engine) Members(ch channel.ID, done func(engine.Members, error)) {
	if !e.door.Enter() {
		done(nil, engine.ErrClosed)
		return
	}
	defer e.door.Leave()
	l := e.lanes.of(ch)
	l.mu.Lock()
	defer l.mu.Unlock()
	done(l.presence[ch].Members(), nil)
}

// Stats implements engine.Presence.
func (e *Engine) Stats(ch channel.ID, done func(engine.PresenceStats, error)) {
	if !e.door.Enter() {
		done(engine.PresenceStats{}, engine.ErrClosed)
		return
	}
	l := e.lanes.of(ch)
	l.mu.Lock()
	s := l.presence[ch].Stats()
	l.mu.Unlock()
	e.door.Leave()
	done(s, nil)
}

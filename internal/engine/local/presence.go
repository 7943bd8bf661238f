package local

import (
	"maps"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// members is the presence of one channel: its sessions, and how many of them
// each user has.
type members struct {
	clients engine.Members
	users   map[string]int
}

// add reports whether the session is new, and the first of its user.
func (m *members) add(info *engine.ClientInfo) (joined, edge bool) {
	old := m.clients[info.Client]
	if old != nil {
		m.forget(old.User)
	}
	m.clients[info.Client] = info
	m.users[info.User]++
	return old == nil, info.User == "" || m.users[info.User] == 1
}

// remove returns what the session had joined with, nil: nothing, and whether it
// was the last of its user.
func (m *members) remove(client string) (left *engine.ClientInfo, edge bool) {
	left = m.clients[client]
	if left == nil {
		return nil, false
	}
	delete(m.clients, client)
	m.forget(left.User)
	return left, left.User == "" || m.users[left.User] == 0
}

func (m *members) forget(user string) {
	if m.users[user]--; m.users[user] == 0 {
		delete(m.users, user)
	}
}

// Join implements engine.Presence.
func (e *Engine) Join(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	if !e.enter() {
		return
	}
	defer e.leave()
	l := e.lanes.of(ch)
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh, edge := true, true
	if n&engine.Track != 0 {
		m := l.presence[ch]
		if m == nil {
			m = &members{make(engine.Members), make(map[string]int)}
			l.presence[ch] = m
		}
		fresh, edge = m.add(info)
	}
	if fresh && n&engine.Announce != 0 {
		e.follower.Join(ch, info, edge)
	}
}

// Leave implements engine.Presence.
func (e *Engine) Leave(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	if !e.enter() {
		return
	}
	defer e.leave()
	l := e.lanes.of(ch)
	l.mu.Lock()
	defer l.mu.Unlock()
	edge := true
	if n&engine.Track != 0 {
		m := l.presence[ch]
		if m == nil {
			return
		}
		if info, edge = m.remove(info.Client); info == nil {
			return
		}
		if len(m.clients) == 0 {
			delete(l.presence, ch)
		}
	}
	if n&engine.Announce != 0 {
		e.follower.Leave(ch, info, edge)
	}
}

// Members implements engine.Presence.
func (e *Engine) Members(ch channel.ID, done func(engine.Members, error)) {
	if !e.enter() {
		done(nil, engine.ErrClosed)
		return
	}
	defer e.leave()
	l := e.lanes.of(ch)
	view := engine.Members{}
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.presence[ch]; m != nil {
		view = maps.Clone(m.clients)
	}
	done(view, nil)
}

// Stats implements engine.Presence.
func (e *Engine) Stats(ch channel.ID, done func(engine.PresenceStats, error)) {
	if !e.enter() {
		done(engine.PresenceStats{}, engine.ErrClosed)
		return
	}
	l := e.lanes.of(ch)
	var s engine.PresenceStats
	l.mu.Lock()
	if m := l.presence[ch]; m != nil {
		s = engine.PresenceStats{Clients: len(m.clients), Users: len(m.users)}
	}
	l.mu.Unlock()
	e.leave()
	done(s, nil)
}

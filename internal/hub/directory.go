package hub

import (
	"slices"
	"sync"
)

// directory finds the sessions of a user on every shard. Anonymous sessions are
// not in it.
type directory struct {
	mu   sync.Mutex
	m    map[sharerKey][]*Session
	apps map[string]int // how many are in m, by App; those that have any only
}

func newDirectory() *directory {
	return &directory{m: make(map[sharerKey][]*Session), apps: make(map[string]int)}
}

// keyOf names the user of a session that has one.
func keyOf(s *Session) sharerKey { return sharerKey{s.identity.App, s.identity.User} }

// add reports whether the user has fewer than most sessions; 0: any number.
func (d *directory) add(s *Session, most int) bool {
	if s.identity.Anonymous() {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.m[keyOf(s)]
	if most > 0 && len(list) >= most {
		return false
	}
	if len(list) == 0 {
		d.apps[s.identity.App]++
	}
	d.m[keyOf(s)] = append(list, s)
	return true
}

func (d *directory) remove(s *Session) {
	if s.identity.Anonymous() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.m[keyOf(s)]
	i := slices.Index(list, s)
	if i < 0 {
		return
	}
	last := len(list) - 1
	list[i], list[last] = list[last], nil
	if d.m[keyOf(s)] = list[:last]; last > 0 {
		return
	}
	delete(d.m, keyOf(s))
	if d.apps[s.identity.App]--; d.apps[s.identity.App] == 0 {
		delete(d.apps, s.identity.App)
	}
}

// sessions copies the user's sessions; each may be touched on its shard only.
func (d *directory) sessions(app, user string) []*Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*Session(nil), d.m[sharerKey{app, user}]...)
}

// usersOf counts the distinct users of an App.
func (d *directory) usersOf(app string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.apps[app]
}

// users counts distinct users.
func (d *directory) users() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.m)
}

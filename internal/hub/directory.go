package hub

import "sync"

// userKey names a user of one App.
type userKey struct{ app, user string }

// directory finds the sessions of a user on every shard. Anonymous sessions are
// not in it.
type directory struct {
	mu sync.Mutex
	m  map[userKey][]*Session
}

func newDirectory() *directory { return &directory{m: make(map[userKey][]*Session)} }

func keyOf(s *Session) userKey { return userKey{s.identity.App, s.identity.User} }

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
	for i := range list {
		if list[i] == s {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			list = list[:len(list)-1]
			break
		}
	}
	if len(list) == 0 {
		delete(d.m, keyOf(s))
	} else {
		d.m[keyOf(s)] = list
	}
}

// sessions copies the user's sessions; each may be touched on its shard only.
func (d *directory) sessions(app, user string) []*Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*Session(nil), d.m[userKey{app, user}]...)
}

// each calls fn with the App of every user.
func (d *directory) each(fn func(app string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.m {
		fn(key.app)
	}
}

// users counts distinct users.
func (d *directory) users() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.m)
}

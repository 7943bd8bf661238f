package roster

import (
	"iter"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// Member is one session.
type Member struct {
	Info   *engine.ClientInfo
	Node   uint32        // where it is, as its owner numbers nodes; 0: on this one
	Notice engine.Notice // what it came with
}

// Roster holds sessions, and how many each user has.
type Roster struct {
	members map[string]Member // by session id
	users   map[string]int
}

// New makes an empty one.
func New() *Roster {
	return &Roster{make(map[string]Member), make(map[string]int)}
}

// Add puts a session in, or replaces what is known of it. It reports whether the
// session is new, and then whether it is the first of its user; one without a user
// always is.
func (r *Roster) Add(m Member) (joined, edge bool) {
	id, user := m.Info.Client, m.Info.User
	old, known := r.members[id]
	if known {
		r.forget(old.Info.User)
	}
	r.members[id] = m
	r.users[user]++
	return !known, user == "" || r.users[user] == 1
}

// Remove takes a session of a node out. It yields what the session had come with,
// false: it was not there, and whether it was the last of its user; one without a
// user always is.
func (r *Roster) Remove(client string, node uint32) (left Member, edge, found bool) {
	left, found = r.members[client]
	if !found || left.Node != node {
		return Member{}, false, false
	}
	delete(r.members, client)
	user := left.Info.User
	r.forget(user)
	return left, user == "" || r.users[user] == 0, true
}

func (r *Roster) forget(user string) {
	if r.users[user]--; r.users[user] == 0 {
		delete(r.users, user)
	}
}

// Empty reports whether nobody is there.
func (r *Roster) Empty() bool { return r == nil || len(r.members) == 0 }

// All are the sessions, in no order. While it runs sessions may be removed.
func (r *Roster) All() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		if r == nil {
			return
		}
		for _, m := range r.members {
			if !yield(m) {
				return
			}
		}
	}
}

// Members is a view of the sessions, the caller's own.
func (r *Roster) Members() engine.Members {
	view := engine.Members{}
	for m := range r.All() {
		view[m.Info.Client] = m.Info
	}
	return view
}

// Stats counts sessions and users.
func (r *Roster) Stats() engine.PresenceStats {
	if r == nil {
		return engine.PresenceStats{}
	}
	return engine.PresenceStats{Clients: len(r.members), Users: len(r.users)}
}

package hub

import (
	"strings"
	"sync"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file is what nodes tell each other how much they have of: sessions of Apps and
// users, subscribers of channels, members. Others hear of it a beat later, about half
// a second.

// What a key of a count begins with, and what follows, each part after a zero byte.
const (
	shareApp      = "a" // App: its sessions
	shareUser     = "u" // App, user: their sessions
	shareAudience = "c" // App, channel: its subscribers
	shareMember   = "m" // App, channel, user: their subscriptions
)

func shareKey(parts ...string) string { return strings.Join(parts, "\x00") }

// sharesAudience reports whether the number of a channel's subscribers is told to
// others: there may be very many channels.
func (h *Hub) sharesAudience() bool { return h.cfg.TellCounts || h.tells(TellAudience) }

// Audience is the number of a channel's subscribers on all nodes: those of others as
// far as this one has heard, where TellCounts or an Observer that wants it have them
// tell.
func (h *Hub) Audience(ch channel.ID) int {
	n := h.Subscribers(ch)
	if h.sharesAudience() {
		n += h.engine.Others(shareKey(shareAudience, ch.App, ch.Name))
	}
	return n
}

// members counts the subscriptions of each user on each presence channel.
type members struct {
	mu sync.Mutex
	m  map[Member]int
}

// Member is a user on a presence channel.
type Member struct {
	Channel channel.ID
	User    string // a session without a user is one of its id
}

func memberOf(ch channel.ID, info *engine.ClientInfo) Member {
	if info.User == "" {
		return Member{ch, info.Client}
	}
	return Member{ch, info.User}
}

func (m Member) key() string { return shareKey(shareMember, m.Channel.App, m.Channel.Name, m.User) }

// IsMember reports whether a user has a subscription on the channel, on any node, as
// far as this one has heard.
func (h *Hub) IsMember(m Member) bool {
	h.members.mu.Lock()
	n := h.members.m[m]
	h.members.mu.Unlock()
	return n > 0 || h.engine.Others(m.key()) > 0
}

// counted says that a subscription that others are told of has begun, 1, or ended, -1.
func (h *Hub) counted(sub *subscription, by int) {
	id := sub.topic.id
	if !h.tells(TellMembers) || sub.flags&flagNoticed == 0 || !channel.KindOf(id.Name).Has(channel.KindPresence) {
		return
	}
	m := memberOf(id, sub.clientInfo())
	h.members.mu.Lock()
	was := h.members.m[m]
	if was+by > 0 {
		h.members.m[m] = was + by
	} else {
		delete(h.members.m, m)
	}
	h.members.mu.Unlock()
	h.engine.Count(m.key(), by)
	if was == 0 || was+by == 0 {
		h.cfg.Observer.Member(m)
	}
}

// Shared implements engine.Respondent: others have another number of something.
func (h *Hub) Shared(keys []string) {
	for _, key := range keys {
		readShare(key, h.changed, func(m Member) {
			if h.tells(TellMembers) {
				h.cfg.Observer.Member(m)
			}
		})
	}
}

// Everyone calls fn with every channel that has subscribers on any node, and every
// member, as far as this node has heard of others; some more than once. Both are those
// that an Observer wants.
func (h *Hub) Everyone(occupied func(channel.ID), member func(Member)) {
	h.topics.each(func(id channel.ID, _ int) { occupied(id) })
	h.members.mu.Lock()
	own := make([]Member, 0, len(h.members.m))
	for m := range h.members.m {
		own = append(own, m)
	}
	h.members.mu.Unlock()
	for _, m := range own {
		member(m)
	}
	for key := range h.engine.Shared() {
		readShare(key, occupied, member)
	}
}

// readShare tells what a key is about, unless that is a session.
func readShare(key string, audience func(channel.ID), member func(Member)) {
	kind, rest, _ := strings.Cut(key, "\x00")
	app, rest, _ := strings.Cut(rest, "\x00")
	switch kind {
	case shareAudience:
		audience(channel.ID{App: app, Name: rest})
	case shareMember:
		name, user, _ := strings.Cut(rest, "\x00") // the user may hold anything
		member(Member{channel.ID{App: app, Name: name}, user})
	}
}

// enterApp counts a session of the App, unless all nodes together have as many as they
// may.
func (s *Session) enterApp() bool {
	h, key := s.shard.hub, shareKey(shareApp, s.tenant.name)
	n, most := s.tenant.sessions.Add(1), int64(s.tenant.app.Load().MaxSessions)
	if most > 0 && n+int64(h.engine.Others(key)) > most {
		s.tenant.sessions.Add(-1)
		return false
	}
	h.engine.Count(key, 1)
	return true
}

func (s *Session) leaveApp() {
	s.tenant.sessions.Add(-1)
	s.shard.hub.engine.Count(shareKey(shareApp, s.tenant.name), -1)
}

// enterUser counts a session of its user, if it has one, unless all nodes together
// have as many of them as they may.
func (s *Session) enterUser() bool {
	h, most := s.shard.hub, s.shard.hub.limits.ConnectionsPerUser
	if most == 0 || s.identity.Anonymous() {
		return h.users.add(s, 0)
	}
	key := s.userShare()
	most -= h.engine.Others(key)
	if most <= 0 || !h.users.add(s, most) {
		return false
	}
	h.engine.Count(key, 1)
	return true
}

func (s *Session) leaveUser() {
	h := s.shard.hub
	h.users.remove(s)
	if h.limits.ConnectionsPerUser > 0 && !s.identity.Anonymous() {
		h.engine.Count(s.userShare(), -1)
	}
}

func (s *Session) userShare() string {
	return shareKey(shareUser, s.identity.App, s.identity.User)
}

// audienceMoved tells others that a subscriber has come, 1, or gone, -1.
func (h *Hub) audienceMoved(ch channel.ID, by int) {
	if h.sharesAudience() && !isOnline(ch) {
		h.engine.Count(shareKey(shareAudience, ch.App, ch.Name), by)
	}
}

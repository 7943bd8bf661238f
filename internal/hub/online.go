package hub

import (
	"slices"
	"strings"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// This file knows who is online: users of sessions that have signed in, by the
// presence of channels of an App that no client can name.

const onlineSuffix = "/online"

func onlineID(app, user string) channel.ID {
	return channel.ID{App: app + onlineSuffix, Name: user}
}

func isOnline(id channel.ID) bool { return strings.HasSuffix(id.App, onlineSuffix) }

// SignIn gives an anonymous session a user, whom the protocol has verified. info
// is JSON shown to others; nil: none. What others have been told of the session
// stays. Errors: ErrBadRequest (the session is another user's, or not connected),
// ErrTooManyRequests (the user has too many sessions, and this one has ended).
func (s *Session) SignIn(user string, info []byte) error {
	switch {
	case !s.connected || user == "" || !s.identity.Anonymous() && s.identity.User != user:
		return ErrBadRequest
	case s.is(online):
		return nil
	}
	for _, sub := range s.subs {
		if sub.info == nil && sub.flags&flagAnnounced != 0 {
			sub.info = s.clientInfo()
		}
	}
	if s.identity.Anonymous() {
		anonymous, identity := s.identity, *s.identity
		identity.User, identity.Info = user, info
		s.identity = &identity
		if !s.enterUser() {
			s.shard.hub.limits.reports[metrics.ConnectionsPerUser].Refused(s.shard.hub.passed(s.shard.turn), user)
			s.identity = anonymous
			s.Disconnect(DisconnectConnectionLimit)
			return ErrTooManyRequests
		}
		s.info = nil
	}
	s.marks |= online
	s.shard.hub.engine.Join(onlineID(s.identity.App, user), s.clientInfo(), engine.Track|engine.Announce)
	return nil
}

// signOut undoes SignIn and Watch for a session that ends.
func (s *Session) signOut() {
	s.unwatch()
	if s.is(online) {
		s.marks &^= online
		s.shard.hub.engine.Leave(onlineID(s.identity.App, s.identity.User), s.clientInfo(), engine.Track|engine.Announce)
	}
}

// watchOptions are those of a subscription to a user's comings and goings.
var watchOptions channel.Options

// Watch tells the session when a session of one of users signs in and none of
// that user had, or the last has ended, from now on; done is told who is online.
// It replaces what was watched before.
func (s *Session) Watch(users []string, done func(online []string)) {
	s.unwatch()
	if s.ended || !s.connected || len(users) == 0 {
		done(nil)
		return
	}
	users = slices.Compact(slices.Sorted(slices.Values(users)))
	h := s.shard.hub
	s.marks |= watching
	if s.shard.watches == nil {
		s.shard.watches = make(map[*Session][]*subscription)
	}
	var there []string
	left := len(users)
	for _, user := range users {
		sub := &subscription{session: s, options: &watchOptions, flags: flagJoinLeave | flagUsers}
		s.shard.watches[s] = append(s.shard.watches[s], sub)
		id := onlineID(s.identity.App, user)
		s.join(sub, id)
		query(s, func(stats engine.PresenceStats, err error) {
			if err == nil && stats.Clients > 0 {
				there = append(there, user)
			}
			if left--; left == 0 {
				slices.Sort(there)
				done(there)
			}
		}, func(answer func(engine.PresenceStats, error)) { h.engine.Stats(id, answer) })
	}
}

func (s *Session) unwatch() {
	if !s.is(watching) {
		return
	}
	s.marks &^= watching
	subs := s.shard.watches[s]
	delete(s.shard.watches, s)
	for _, sub := range subs {
		s.leave(sub)
	}
}

// passOnline tells those who watch a user; it reports whether ch is about one.
func (h *Hub) passOnline(ch channel.ID, kind EventKind, edge bool) bool {
	if !isOnline(ch) {
		return false
	}
	if edge {
		h.broadcast(ch, Event{Kind: kind, Info: &engine.ClientInfo{User: ch.Name}, Edge: true}, 0)
	}
	return true
}

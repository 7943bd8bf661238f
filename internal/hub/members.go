package hub

import "github.com/fanfare-push/fanfare/internal/engine"

// readMembers asks who is there. What the view does not hold is told afterwards;
// what it holds has been told before, to a subscription that did not listen yet.
func (s *Session) readMembers(sub *subscription, r *SubscribeRequest, result SubscribeResult, done func(SubscribeResult, error)) {
	if sub.reading == nil {
		sub.reading = &readBuffer{}
	}
	s.begin()
	s.shard.hub.engine.Members(sub.topic.id, func(members engine.Members, err error) {
		s.shard.Post(func() {
			s.finish()
			s.shard.inLine(sub.topic, func() { s.membersRead(sub, r, result, members, err, done) })
		})
	})
}

func (s *Session) membersRead(sub *subscription, r *SubscribeRequest, result SubscribeResult, members engine.Members, err error, done func(SubscribeResult, error)) {
	if s.ended || s.find(sub.topic.id.Name) != sub {
		return
	}
	if err == nil && r.MaxMembers > 0 && isCrowded(members, sub.clientInfo().User, r.MaxMembers) {
		s.shard.hub.count.members.Inc()
		err = ErrLimitExceeded
	}
	if err != nil {
		s.removeSubscription(sub)
		done(SubscribeResult{}, err)
		return
	}
	members[s.ID()] = sub.clientInfo()
	result.Members = members
	s.conclude(sub, r, result, done)
}

// isCrowded reports whether one more user is one too many.
func isCrowded(members engine.Members, user string, limit int) bool {
	users := make(map[string]struct{}, len(members))
	for _, info := range members {
		users[info.User] = struct{}{}
	}
	_, known := users[user]
	return !known && len(users) >= limit
}

package hub

import (
	"net/netip"
	"time"

	"github.com/fanfare-push/fanfare/internal/limit"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// Place is what a new connection has until it is a session: a shard, and its part
// of what is limited. One of Open and Release follows.
type Place struct {
	*Shard

	peer netip.Addr // counted; the zero value: not
}

// Crowded is the ErrTooManyRequests of a peer that connects too often or has too
// many connections.
type Crowded struct {
	After time.Duration // until it is worth another try; 0: unknown
}

// Error implements error.
func (*Crowded) Error() string { return ErrTooManyRequests.Error() }

// Unwrap makes it an ErrTooManyRequests.
func (*Crowded) Unwrap() error { return ErrTooManyRequests }

// Enter takes a place for a connection from an address, whose host may be limited;
// the zero address is not. Errors: *Crowded, ErrShutdown, ErrLimitExceeded
// (connections of the node); a transport answers 429 to the first and 503 to the
// others.
func (h *Hub) Enter(peer netip.Addr) (Place, error) {
	l := h.limits
	if !peer.IsValid() || l.connects == nil && l.peers == nil {
		sh, err := h.pick(peer)
		return Place{Shard: sh}, err
	}
	host, now := limit.Host(peer).Addr(), h.passed(time.Now())
	if wait, ok := l.connects.Take(now, host, 1); !ok {
		l.reports[metrics.ConnectsPerIP].Refused(now, host.String())
		return Place{}, &Crowded{After: wait}
	}
	if !l.peers.Enter(host) {
		l.reports[metrics.ConnectionsPerIP].Refused(now, host.String())
		return Place{}, &Crowded{}
	}
	sh, err := h.pick(peer)
	if err != nil {
		l.peers.Leave(host)
		return Place{}, err
	}
	if l.peers == nil {
		host = netip.Addr{}
	}
	return Place{Shard: sh, peer: host}, nil
}

// Open is Shard.Open.
func (p Place) Open(c Conn, e *Encoding, hello any) *Session {
	s := p.Shard.Open(c, e, hello)
	if p.peer.IsValid() {
		if p.peers == nil {
			p.peers = make(map[*Session]netip.Addr)
		}
		p.peers[s] = p.peer
	}
	return s
}

// Release gives the place back.
func (p Place) Release() {
	if p.peer.IsValid() {
		p.hub.limits.peers.Leave(p.peer)
	}
	p.hub.release()
}

// giveBack gives back the place of a session that is gone.
func (s *Session) giveBack() {
	sh := s.shard
	sh.forgetSpending(s)
	Place{Shard: sh, peer: sh.peers[s]}.Release()
	delete(sh.peers, s)
}

// mayConnect counts a session whose identity is known, or says why it cannot be.
func (s *Session) mayConnect() (Disconnect, bool) {
	h := s.shard.hub
	now := h.passed(s.shard.turn)
	if most := int64(h.limits.ConnectionsPerApp); most > 0 {
		if use := h.limits.app(s.identity.App); use.sessions.Add(1) > most {
			use.sessions.Add(-1)
			h.limits.reports[metrics.ConnectionsPerApp].Refused(now, s.identity.App)
			return DisconnectTooManyRequests, false
		}
	}
	if !h.users.add(s, h.limits.ConnectionsPerUser) {
		s.leaveApp()
		h.limits.reports[metrics.ConnectionsPerUser].Refused(now, s.identity.User)
		return DisconnectConnectionLimit, false
	}
	return Disconnect{}, true
}

func (s *Session) leaveApp() {
	if l := s.shard.hub.limits; l.ConnectionsPerApp > 0 {
		l.app(s.identity.App).sessions.Add(-1)
	}
}

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

	tenant *tenant
	peer   netip.Addr // counted; the zero value: not
	guest  bool
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

// Enter takes a place for a connection to an App ("": Config.App) from an address,
// whose host may be limited; the zero address is not. Errors: ErrUnknownApp,
// *Crowded, ErrShutdown, ErrLimitExceeded (connections of the node); a transport
// answers 404 to the first, 429 to the second and 503 to the others.
func (h *Hub) Enter(app string, peer netip.Addr) (Place, error) {
	orDefault(&app, h.cfg.App)
	t := h.tenant(app)
	if t == nil {
		return Place{}, ErrUnknownApp
	}
	l := h.limits
	if !peer.IsValid() || l.connects == nil && l.peers == nil {
		sh, err := h.pick(peer, h.leaving.Load() || h.draining.Load())
		return Place{Shard: sh, tenant: t}, err
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
	sh, err := h.pick(peer, h.leaving.Load() || h.draining.Load())
	if err != nil {
		l.peers.Leave(host)
		return Place{}, err
	}
	if l.peers == nil {
		host = netip.Addr{}
	}
	return Place{Shard: sh, tenant: t, peer: host}, nil
}

// Release gives the place back.
func (p Place) Release() {
	if p.peer.IsValid() {
		p.hub.limits.peers.Leave(p.peer)
	}
	if p.guest {
		p.hub.guests.Add(-1)
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

// connectLimits are those of how often sessions that have something in common connect.
// Those from one host are limited before they are sessions, see Enter.
var connectLimits = [sharers]metrics.Limit{byUser: metrics.ConnectsPerUser, byApp: metrics.ConnectsPerApp}

// mayConnect counts a session whose identity is known, or says why it cannot be.
func (s *Session) mayConnect() (Disconnect, bool) {
	h := s.shard.hub
	now := h.passed(s.shard.turn)
	for by, set := range h.limits.connectsAs {
		if key, known := s.sharerKey(sharer(by)); set != nil && known {
			if _, ok := set.Take(now, key, 1); !ok {
				h.limits.reports[connectLimits[by]].Refused(now, key.name)
				return DisconnectTooManyRequests, false
			}
		}
	}
	if !s.enterApp() {
		h.limits.reports[metrics.ConnectionsPerApp].Refused(now, s.tenant.name)
		return DisconnectTooManyRequests, false
	}
	if !s.enterUser() {
		s.leaveApp()
		h.limits.reports[metrics.ConnectionsPerUser].Refused(now, s.identity.User)
		return DisconnectConnectionLimit, false
	}
	return Disconnect{}, true
}

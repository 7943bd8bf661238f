package hub

import (
	"math/rand/v2"
	"time"
)

// This file is what a session does when time has passed: pings, and the ends of what
// has a time. It has one timer for all of it.

// firstPing arms the pings of a session that has its connect reply.
func (s *Session) firstPing(in time.Duration) {
	s.nextPing = s.shard.now + in.Milliseconds()
	if in == 0 {
		s.nextPing = inRounds(s.shard.now+spread(s.shard.hub.cfg.PingInterval), s.shard.hub.cfg.PingInterval)
	}
	s.arm()
}

// Pong says that the client has answered a ping, or shown otherwise that it
// lives.
func (s *Session) Pong() {
	if s.pongBy != 0 {
		s.pongBy = 0
		s.arm()
	}
}

// Probe has the transport ask the peer for a sign of life, and reports whether it
// can.
func (s *Session) Probe() bool {
	p, can := s.conn.(Prober)
	if can {
		p.Probe()
	}
	return can
}

// expiredGrace is how long a session or subscription outlives its token, so that
// a client in a background tab has time to bring a new one.
const expiredGrace = 25 * time.Second

// arm sets the session's one timer to whatever comes first.
func (s *Session) arm() {
	if s.ended {
		return
	}
	due := int64(0)
	earlier := func(at int64) {
		if at > 0 && (due == 0 || at < due) {
			due = at
		}
	}
	earlier(s.deadline())
	earlier(s.pongBy)
	earlier(s.nextPing)
	earlier(s.refreshAt())
	for _, sub := range s.subs {
		earlier(sub.deadline())
		earlier(sub.refreshAt())
	}
	s.shard.wheel.arm(s, due)
}

// deadline is when the session has to end; 0: never.
func (s *Session) deadline() int64 {
	if s.connected && s.expireAt > 0 && (!s.is(vouched) || s.shard.hub.asked.refresh) {
		return s.expireAt + expiredGrace.Milliseconds()
	}
	return s.expireAt
}

func (s *Session) onTimer() {
	if s.ended {
		s.conn.Abort()
		return
	}
	now := s.shard.now
	switch at := s.deadline(); {
	case at > 0 && now >= at && s.connected:
		s.Disconnect(DisconnectExpired)
		return
	case at > 0 && now >= at:
		s.Disconnect(DisconnectStale)
		return
	case s.pongBy > 0 && now >= s.pongBy:
		s.Disconnect(DisconnectNoPong)
		return
	}
	s.expireSubscriptions(now)
	s.refreshDue(now)
	s.shard.rest(s)
	if s.nextPing > 0 && now >= s.nextPing {
		cfg := &s.shard.hub.cfg
		s.nextPing = inRounds(now+cfg.PingInterval.Milliseconds(), cfg.PingInterval)
		if !s.oneWay {
			s.pongBy = now + cfg.PongTimeout.Milliseconds()
		}
		s.enc.Protocol.Ping(s)
	}
	s.arm()
}

// pingRounds is how many times in an interval a shard sends pings.
const pingRounds = 50

// inRounds moves a ping to the round that comes next: answers to pings that leave
// together are read together, where each by itself would wake the shard.
func inRounds(at int64, interval time.Duration) int64 {
	round := max(interval.Milliseconds()/pingRounds, 1)
	return (at + round - 1) / round * round
}

// spread gives each session its own place in the ping interval, so that pings do
// not come in waves after a storm of connects.
func spread(interval time.Duration) int64 {
	return interval.Milliseconds()/2 + rand.Int64N(interval.Milliseconds()/2+1)
}

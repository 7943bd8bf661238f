package cluster

import (
	"hash/maphash"
	"sync"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// serial is a Follower that is told one thing at a time per channel, by whom
// ever: logs tell what has history, the bus all else.
type serial struct {
	to    engine.Follower
	seed  maphash.Seed
	seats [256]sync.Mutex
}

func newSerial(to engine.Follower) *serial { return &serial{to: to, seed: maphash.MakeSeed()} }

func (s *serial) seat(ch channel.ID) *sync.Mutex {
	return &s.seats[maphash.Comparable(s.seed, ch)%uint64(len(s.seats))]
}

// Publication implements engine.Follower.
func (s *serial) Publication(ch channel.ID, epoch string, pub *engine.Publication) {
	seat := s.seat(ch)
	seat.Lock()
	defer seat.Unlock()
	s.to.Publication(ch, epoch, pub)
}

// Join implements engine.Follower.
func (s *serial) Join(ch channel.ID, info *engine.ClientInfo, edge bool) {
	seat := s.seat(ch)
	seat.Lock()
	defer seat.Unlock()
	s.to.Join(ch, info, edge)
}

// Leave implements engine.Follower.
func (s *serial) Leave(ch channel.ID, info *engine.ClientInfo, edge bool) {
	seat := s.seat(ch)
	seat.Lock()
	defer seat.Unlock()
	s.to.Leave(ch, info, edge)
}

// Control implements engine.Follower.
func (s *serial) Control(c engine.Control) { s.to.Control(c) }

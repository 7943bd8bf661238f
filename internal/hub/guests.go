package hub

import "net/netip"

// Guest is a connection to this node that is no session of it: one of another node is
// behind it. It counts as a connection, and keeps a drain waiting as one does.
type Guest interface {
	// Dismiss asks the guest to end soon, since this node does: once, on its shard's
	// goroutine.
	Dismiss()
}

// EnterGuest takes a place for a guest. A node that leaves takes guests as long as it
// runs: whoever comes back to a session elsewhere should not lose it by that. What is
// limited by address is their sessions. Errors: ErrShutdown, ErrLimitExceeded
// (connections of the node). Seat, or Release, follows.
func (h *Hub) EnterGuest(peer netip.Addr) (Place, error) {
	sh, err := h.pick(peer, h.draining.Load())
	if err != nil {
		return Place{}, err
	}
	h.guests.Add(1)
	return Place{Shard: sh, guest: true}, nil
}

// Seat has a guest told when it has to end; on the shard's goroutine. Unseat follows.
func (p Place) Seat(g Guest) {
	if p.guests == nil {
		p.guests = make(map[Guest]bool)
	}
	p.guests[g] = false
	if p.hub.draining.Load() {
		p.dismiss(g)
	}
}

// Unseat gives back the place of a guest that is gone; on the shard's goroutine.
func (p Place) Unseat(g Guest) {
	delete(p.guests, g)
	p.Release()
}

// dismiss reports whether the guest was not told before.
func (sh *Shard) dismiss(g Guest) bool {
	told := sh.guests[g]
	if !told {
		sh.guests[g] = true
		g.Dismiss()
	}
	return !told
}

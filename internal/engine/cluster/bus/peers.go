package bus

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"
)

// MaxNodes is how many other nodes one knows, and how many it remembers that have
// left within a minute. What more of them say is not looked at.
const MaxNodes = 1000

// rememberGone is for how long a node that has left is not taken for a new one,
// should a message of it come late.
const rememberGone = time.Minute

// NodeInfo is a node that is alive, or was.
type NodeInfo struct {
	ID    string    // Config.Node
	Name  string    // Config.Name
	Self  bool      // this node
	Heard time.Time // when something came of it last
}

// peer is another node.
type peer struct {
	id     string
	number uint32      // here, and never again another's
	mute   atomic.Bool // it has not answered in time, and not since
	name   atomic.Pointer[string]
	heard  atomic.Int64 // Unix nanoseconds, for people

	// Owned by the receiver.
	last time.Time // it was heard of
}

func (p *peer) info() NodeInfo {
	return NodeInfo{ID: p.id, Name: *p.name.Load(), Heard: time.Unix(0, p.heard.Load())}
}

// Nodes are all that are alive, this one included, sorted by id.
func (b *Bus) Nodes() []NodeInfo {
	list := []NodeInfo{{ID: b.cfg.Node, Name: b.cfg.Name, Self: true, Heard: time.Now()}}
	for _, p := range *b.others.Load() {
		list = append(list, p.info())
	}
	slices.SortFunc(list, func(a, b NodeInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// other is a node that is alive, besides this one; nil: there is none of that id.
func (b *Bus) other(id string) *peer {
	list := *b.others.Load()
	i, found := slices.BinarySearchFunc(list, id, func(p *peer, id string) int { return cmp.Compare(p.id, id) })
	if !found {
		return nil
	}
	return list[i]
}

// Alive implements engine.Peers.
func (b *Bus) Alive() []string {
	others := *b.others.Load()
	list := make([]string, len(others))
	for i, p := range others {
		list[i] = p.id
	}
	return list
}

// Owner is the node that does what one of all has to do about a key: the same on
// every node that sees the same others. While they differ there may be two.
func (b *Bus) Owner(key string) (node string, mine bool) {
	node = b.cfg.Node
	most := weight(node, key)
	for _, p := range *b.others.Load() {
		if w := weight(p.id, key); w > most || w == most && p.id > node {
			node, most = p.id, w
		}
	}
	return node, node == b.cfg.Node
}

// weight makes the highest random weight the owner, so that a node that comes or
// goes takes or leaves its own keys only.
func weight(node, key string) uint64 {
	sum := sha256.Sum256([]byte(node + "\x00" + key))
	return binary.BigEndian.Uint64(sum[:])
}

// peer finds the node that a message came from, or meets it; nil: it has left, or
// is one too many.
func (r *receiver) peer(id string) *peer {
	now := time.Now()
	p := r.peers[id]
	if p == nil {
		if _, left := r.gone[id]; left {
			return nil
		}
		if len(r.peers) >= MaxNodes || len(r.gone) >= MaxNodes {
			r.bus.count.strangers.Add(1)
			return nil
		}
		p = r.meet(id, now)
	}
	p.last = now
	p.heard.Store(now.UnixNano())
	return p
}

// meet takes a node in that was not known, or was taken for dead, and asks it for
// all that this one has an interest in.
func (r *receiver) meet(id string, now time.Time) *peer {
	b := r.bus
	r.numbers++
	p := &peer{id: id, number: r.numbers}
	p.name.Store(&id)
	r.peers[id] = p
	r.list()
	var streams []int
	for i := range b.streams {
		st := &b.streams[i]
		st.mu.Lock()
		st.addLocked(p, now, false)
		if st.sources != nil {
			streams = append(streams, i)
		}
		st.mu.Unlock()
	}
	b.want(p, streams)
	b.cfg.Logger.Info("another node is there", "id", id)
	return p
}

// lose forgets a node: its sessions leave.
func (r *receiver) lose(p *peer) {
	b := r.bus
	delete(r.peers, p.id)
	r.list()
	for i := range b.streams {
		st := &b.streams[i]
		st.mu.Lock()
		if src := st.sources[p.number]; src != nil {
			if !src.synced {
				st.stale--
			}
			delete(st.sources, p.number)
			for _, here := range st.ofLocked(p.number) {
				b.leaveLocked(st, here, p.number)
			}
			st.movedLocked()
			st.completeLocked()
		}
		delete(st.owed, p.number)
		st.mu.Unlock()
	}
	b.counts.forget(p.number)
	for id, q := range r.asked {
		if q.missing[p.number] != nil {
			r.answeredBy(id, q, p)
		}
	}
}

// list shows everybody else who is alive.
func (r *receiver) list() {
	list := make([]*peer, 0, len(r.peers))
	for _, p := range r.peers {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
	r.bus.others.Store(&list)
}

package bus

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"
)

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
	mute   atomic.Bool // it has not answered in time, and was not heard of since
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

package local

import (
	"container/list"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/roster"
)

const laneCount = 256 // a power of two

// lane holds all that is in RAM about the channels that hash to it.
type lane struct {
	mu       sync.Mutex
	hot      map[channel.ID]*hot
	hotUse   list.List // of *hot, the longest unused last
	memory   map[channel.ID]*memoryChannel
	memUse   list.List // of *memoryChannel
	keys     keyRing
	presence map[channel.ID]*roster.Roster

	// When the last of hotUse and memUse was used and the oldest key expires, for
	// who looks for the longest unused of all lanes; noUse: there is none that
	// could be forgotten.
	hotOldest, memOldest, keyOldest atomic.Int64
}

const noUse = int64(1)<<62 - 1

type lanes struct {
	seed maphash.Seed
	all  [laneCount]lane
}

func newLanes() *lanes {
	l := &lanes{seed: maphash.MakeSeed()}
	for i := range l.all {
		ln := &l.all[i]
		ln.hot = make(map[channel.ID]*hot)
		ln.memory = make(map[channel.ID]*memoryChannel)
		ln.presence = make(map[channel.ID]*roster.Roster)
		ln.keys.m = make(map[laneKey]ramKey)
		ln.hotOldest.Store(noUse)
		ln.memOldest.Store(noUse)
		ln.keyOldest.Store(noUse)
	}
	return l
}

func (l *lanes) of(ch channel.ID) *lane {
	return &l.all[maphash.Comparable(l.seed, ch)%laneCount]
}

// ring is the newest publications of a channel: dense, ending at its top.
type ring struct {
	pubs  []*engine.Publication
	bytes int64
}

// ringOverhead is what a publication in RAM takes beside its data, roughly.
const ringOverhead = 160

func ringCost(p *engine.Publication) int64 {
	n := ringOverhead + len(p.Data) + len(p.Event)
	for k, v := range p.Tags {
		n += 48 + len(k) + len(v)
	}
	if i := p.Info; i != nil {
		n += 96 + len(i.User) + len(i.Client) + len(i.ConnInfo) + len(i.ChanInfo)
	}
	return int64(n)
}

// first is the lowest offset in the ring, top+1 when it is empty.
func (r *ring) first(top uint64) uint64 { return top + 1 - uint64(len(r.pubs)) }

// push appends and yields by how much the ring grew.
func (r *ring) push(p *engine.Publication) int64 {
	c := ringCost(p)
	r.pubs = append(r.pubs, p)
	r.bytes += c
	return c
}

// dropTo removes the oldest until at most n are left, and yields by how much the
// ring shrank.
func (r *ring) dropTo(n int) (shrunk int64) {
	drop := len(r.pubs) - n
	for i := range max(drop, 0) {
		shrunk += ringCost(r.pubs[i])
		r.pubs[i] = nil
	}
	if drop > 0 {
		r.pubs = r.pubs[drop:]
	}
	if n == 0 {
		r.pubs = nil
	}
	r.bytes -= shrunk
	return shrunk
}

// firstAfter is the lowest index whose publication is newer than a log time.
func (r *ring) firstAfter(horizon int64) int {
	lo, hi := 0, len(r.pubs)
	for lo < hi {
		mid := (lo + hi) / 2
		if r.pubs[mid].Time > horizon {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// budget bounds something in RAM over all lanes.
type budget struct {
	limit int64
	used  atomic.Int64
	mu    sync.Mutex // held by who makes room; others wait, so that the limit holds
}

func (b *budget) over() bool { return b.used.Load() > b.limit }

// makeRoom takes from the lanes, longest unused first, until the budget holds.
// oldest is a lane's stamp, shrink takes from a lane and renews the stamp.
func (b *budget) makeRoom(l *lanes, oldest func(*lane) int64, shrink func(*lane)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.over() {
		var victim *lane
		at := noUse
		for i := range l.all {
			if t := oldest(&l.all[i]); t < at {
				victim, at = &l.all[i], t
			}
		}
		if victim == nil {
			return
		}
		shrink(victim)
	}
}

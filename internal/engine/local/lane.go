package local

import (
	"container/list"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/engine/roster"
)

const laneCount = 256 // a power of two

// lane holds all that is in RAM about the channels that hash to it.
type lane struct {
	mu       sync.Mutex
	memory   map[channel.ID]*memoryChannel
	memUse   list.List // of *memoryChannel, the longest unused last
	presence map[channel.ID]*roster.Roster

	// When the last of memUse was used, for who looks for the longest unused of all
	// lanes; index.NoUse: there is none that could be forgotten.
	memOldest atomic.Int64
}

type lanes struct {
	seed maphash.Seed
	all  [laneCount]lane
}

func newLanes() *lanes {
	l := &lanes{seed: maphash.MakeSeed()}
	for i := range l.all {
		ln := &l.all[i]
		ln.memory = make(map[channel.ID]*memoryChannel)
		ln.presence = make(map[channel.ID]*roster.Roster)
		ln.memOldest.Store(index.NoUse)
	}
	return l
}

func (l *lanes) of(ch channel.ID) *lane {
	return &l.all[maphash.Comparable(l.seed, ch)%laneCount]
}

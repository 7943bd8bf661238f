package index

import (
	"container/list"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/fanfare-push/fanfare/internal/channel"
)

const laneCount = 256 // a power of two

// lane holds all that is in RAM about the channels that hash to it.
type lane struct {
	mu     sync.Mutex
	hot    map[channel.ID]*hot
	hotUse list.List // of *hot, the longest unused last

	// When the last of hotUse was used, for who looks for the longest unused of all
	// lanes; NoUse: there is none that could be forgotten.
	hotOldest atomic.Int64
}

type lanes struct {
	seed maphash.Seed
	all  [laneCount]lane
}

func newLanes() *lanes {
	l := &lanes{seed: maphash.MakeSeed()}
	for i := range l.all {
		l.all[i].hot = make(map[channel.ID]*hot)
		l.all[i].hotOldest.Store(NoUse)
	}
	return l
}

func (l *lanes) of(ch channel.ID) *lane {
	return &l.all[maphash.Comparable(l.seed, ch)%laneCount]
}

package index

import (
	"sync"
	"sync/atomic"
)

// Budget bounds something in RAM over all lanes of something.
type Budget struct {
	Limit int64
	Used  atomic.Int64

	mu sync.Mutex // held by who makes room; others wait, so that the limit holds
}

// NoUse is the stamp of a lane that has nothing to give.
const NoUse = int64(1)<<62 - 1

// Over reports whether more is used than the limit.
func (b *Budget) Over() bool { return b.Used.Load() > b.Limit }

// MakeRoom takes from the lanes, longest unused first, until the budget holds.
// oldest is a lane's stamp, shrink takes from a lane and renews the stamp.
func MakeRoom[L any](b *Budget, lanes []L, oldest func(*L) int64, shrink func(*L)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.Over() {
		var victim *L
		at := NoUse
		for i := range lanes {
			if t := oldest(&lanes[i]); t < at {
				victim, at = &lanes[i], t
			}
		}
		if victim == nil {
			return
		}
		shrink(victim)
	}
}

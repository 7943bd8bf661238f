package hook

import (
	"sync"
	"time"
)

// lane is what one App has of a line: places and a breaker of its own, so that
// questions of one App that are slow or fail hold up no other's.
type lane struct {
	app     string
	breaker breaker
	places  chan struct{}
	asking  int // questions under way and waiting; guarded by lanes.mu
}

// Limits of the lanes of one line.
const (
	// maxLanes is how many Apps have one; those beyond share one.
	maxLanes = 1024
	// sweepEvery is how often those that need none are looked for where there are as
	// many as may be.
	sweepEvery = time.Second
)

// lanes are those of one line. They are made when an App asks first.
type lanes struct {
	make func(app string) *lane

	mu     sync.Mutex
	of     map[string]*lane
	others *lane // of Apps that have no room; nil: there were none yet
	asking int   // of all
	swept  time.Time
}

// enter counts a question of an App in, in the App's lane; false: there are too many.
// Where there are as many as MaxWaiting in all, an App still has its share, so that no
// other can keep it from asking.
func (l *lanes) enter(app string, now time.Time) (*lane, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.findLocked(app, now)
	if at.asking >= MaxWaiting || l.asking >= MaxWaiting && at.asking >= MaxWaiting/len(l.of) {
		return at, false
	}
	at.asking++
	l.asking++
	return at, true
}

// leave counts it out.
func (l *lanes) leave(at *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at.asking--
	l.asking--
}

func (l *lanes) findLocked(app string, now time.Time) *lane {
	if at := l.of[app]; at != nil {
		return at
	}
	if len(l.of) >= maxLanes && now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		for name, at := range l.of {
			if at.asking == 0 && !at.breaker.holds(now) {
				delete(l.of, name)
			}
		}
	}
	if len(l.of) >= maxLanes {
		if l.others == nil {
			l.others = l.make("")
		}
		return l.others
	}
	at := l.make(app)
	l.of[app] = at
	return at
}

// worst is the state of that breaker which lets the fewest questions through.
func (l *lanes) worst() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	worst := int64(stateClosed)
	for _, at := range l.of {
		worst = worse(worst, at.breaker.state.Load())
	}
	if l.others != nil {
		worst = worse(worst, l.others.breaker.state.Load())
	}
	return worst
}

// worse is that of two states which lets fewer questions through.
func worse(a, b int64) int64 {
	if b == stateOpen || a == stateClosed {
		return b
	}
	return a
}

package hub

import (
	"net/netip"
	"sync"
	"time"
)

// Loop runs a shard: it calls Turn on one goroutine, soon after each Wake and no
// later than Turn asked for. On Linux a transport's event loop can be one.
type Loop interface {
	Wake() // any goroutine; never blocks
	Stop() // returns once Turn will not be called again
}

// Shard is a part of the hub that runs on one goroutine. Everything below box is
// touched by that goroutine alone.
type Shard struct {
	hub   *Hub
	index int
	loop  Loop
	box   mailbox

	turn      time.Time // when the turn began
	now       int64     // the same in Unix milliseconds
	sessions  []*Session
	wheel     *wheel
	watches   map[*Session][]*subscription // who asked to be told of users
	joining   map[*Session]*joining        // whose connect is not answered yet
	backings  map[*Session]*backing        // what backends are told of them
	unsent    map[*Session][]func()        // what waits for an outbox to be empty
	spending  map[*Session]*spending       // of those that have done something lately
	spender   *Session                     // the one looked up last; nil: none
	spent     *spending                    // of it
	peers     map[*Session]netip.Addr      // whose connections are counted
	guests    map[Guest]bool               // and whether they were dismissed
	dirty     []*Session                   // sessions with something to write when the turn ends
	active    []*topic                     // topics with a fan-out under way
	fresh     bool                         // one of them has not had a slice yet
	scratch   []byte
	delivered uint64 // publications in this turn
	sent      uint64 // bytes in this turn

	// Kept for re-use, a bounded number.
	spare        []*outbox
	spareFanOuts []*fanOut
}

// scratchSize is the most that one write gathers from small frames.
const scratchSize = 64 << 10

// mailbox carries work to a shard, in order. It is not bounded by itself:
// publications are bounded by the gate, all else by connections and their
// commands in flight.
type mailbox struct {
	mu    sync.Mutex
	items []item
	spare []item
}

// item is a function or a broadcast, which is not wrapped in a function because
// there are so many.
type item struct {
	fn   func()
	cast *broadcast
}

func (sh *Shard) post(it item) {
	sh.box.mu.Lock()
	sh.box.items = append(sh.box.items, it)
	wake := len(sh.box.items) == 1
	sh.box.mu.Unlock()
	if wake {
		sh.loop.Wake()
	}
}

// Post runs fn on the shard's goroutine, in order. It never blocks; any
// goroutine may call it.
func (sh *Shard) Post(fn func()) { sh.post(item{fn: fn}) }

// Turn does what has been posted and what is due, a slice of each fan-out under
// way, writes what came of it, and returns how long the loop may sleep unless it
// is woken; 0: there is more to do at once, negative: for ever.
func (sh *Shard) Turn(now time.Time) time.Duration {
	sh.tick(now)
	sh.wheel.advance(sh.now, (*Session).onTimer)
	sh.drain()
	more := sh.deliver(true)
	sh.flushDirty()
	sh.countTurn()
	if more == 0 {
		return 0
	}
	wait := time.Duration(sh.wheel.wait(sh.now)) * time.Millisecond
	if wait < 0 || more > 0 && more < wait {
		return more
	}
	return wait
}

// forget takes a session that is gone off the list.
func (sh *Shard) forget(s *Session) {
	last := len(sh.sessions) - 1
	moved := sh.sessions[last]
	sh.sessions[s.place] = moved
	moved.place = s.place
	sh.sessions[last] = nil
	sh.sessions = sh.sessions[:last]
}

// countTurn adds up once what would be counted at every write.
func (sh *Shard) countTurn() {
	if sh.sent > 0 {
		sh.hub.count.SentBytes.Add(sh.sent)
		sh.sent = 0
	}
	if sh.delivered > 0 {
		sh.hub.count.Deliveries.Add(sh.delivered)
		sh.delivered = 0
	}
}

// drain takes the whole mailbox at once; what is posted meanwhile wakes the loop
// again.
func (sh *Shard) drain() {
	sh.box.mu.Lock()
	items := sh.box.items
	sh.box.items = sh.box.spare[:0]
	sh.box.spare = nil
	sh.box.mu.Unlock()
	for i := range items {
		if b := items[i].cast; b != nil {
			sh.accept(b)
			continue
		}
		if sh.fresh { // what was posted first is sent first
			sh.deliver(false)
		}
		items[i].fn()
	}
	clear(items)
	if cap(items) <= maxSpareItems {
		sh.box.mu.Lock()
		sh.box.spare = items[:0]
		sh.box.mu.Unlock()
	}
}

// maxSpareItems keeps a burst's mailbox from being held for ever.
const maxSpareItems = 4096

func (sh *Shard) flushDirty() {
	for done := 0; done < len(sh.dirty); { // a flush may make others dirty
		s := sh.dirty[done]
		done++
		s.dirty = false
		s.flush()
	}
	clear(sh.dirty)
	sh.dirty = sh.dirty[:0]
}

// goLoop is the portable Loop: a goroutine that sleeps on a channel and a timer.
type goLoop struct {
	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

// NewGoLoop runs sh on a goroutine of its own.
func NewGoLoop(sh *Shard) Loop {
	l := &goLoop{wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go l.run(sh)
	return l
}

func (l *goLoop) run(sh *Shard) {
	defer close(l.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.stop:
			sh.Turn(time.Now())
			return
		}
		if wait := sh.Turn(time.Now()); wait >= 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}

func (l *goLoop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *goLoop) Stop() {
	close(l.stop)
	<-l.done
}

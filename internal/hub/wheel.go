package hub

// wheel is a hashed timer wheel: arming, moving and disarming a timer costs a
// few pointer writes and no allocation, whatever the number of timers. Times are
// Unix milliseconds; a timer fires at the first turn at or after its time,
// rounded up to wheelTick.
type wheel struct {
	slots [wheelSlots]*Session
	tick  int64 // the last tick whose slot was visited
	count int
	fired []*Session // scratch of visit
}

const (
	wheelTick  = 64   // milliseconds
	wheelSlots = 1024 // one round is 65.5 s; longer timers stay for several
)

// timer is a session's; the zero value is disarmed. It links sessions, not
// timers: a way back to its owner would cost every session a pointer.
type timer struct {
	due        int64
	next, prev *Session
	slot       int16
	armed      bool
}

func newWheel(now int64) *wheel { return &wheel{tick: now / wheelTick} }

// arm sets the session's timer to fire at due, moving it if it is armed.
func (w *wheel) arm(s *Session, due int64) {
	w.disarm(s)
	t := &s.timer
	t.due = due
	tick := max((due+wheelTick-1)/wheelTick, w.tick+1)
	t.slot = int16(tick % wheelSlots)
	t.next = w.slots[t.slot]
	if t.next != nil {
		t.next.timer.prev = s
	}
	w.slots[t.slot] = s
	t.armed = true
	w.count++
}

func (w *wheel) disarm(s *Session) {
	t := &s.timer
	if !t.armed {
		return
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	t.next, t.prev, t.armed = nil, nil, false
	w.count--
}

// advance visits every slot up to now and hands the timers that are due to fire,
// disarmed. fire may arm and disarm any timer.
func (w *wheel) advance(now int64, fire func(*Session)) {
	target := now / wheelTick
	w.tick = max(w.tick, target-wheelSlots) // one visit of each slot is enough
	for w.tick < target && w.count > 0 {
		w.tick++
		w.visit(w.slots[w.tick%wheelSlots], now, fire)
	}
	w.tick = max(w.tick, target)
}

func (w *wheel) visit(s *Session, now int64, fire func(*Session)) {
	for ; s != nil; s = s.timer.next {
		if s.timer.due <= now {
			w.fired = append(w.fired, s)
		}
	}
	for _, s := range w.fired {
		if s.timer.armed && s.timer.due <= now { // an earlier fire may have changed it
			w.disarm(s)
			fire(s)
		}
	}
	clear(w.fired)
	w.fired = w.fired[:0]
}

// wait is how many milliseconds may pass before the next advance has something
// to do; negative: no timer is armed.
func (w *wheel) wait(now int64) int64 {
	if w.count == 0 {
		return -1
	}
	for i := int64(1); i <= wheelSlots; i++ {
		if w.slots[(w.tick+i)%wheelSlots] != nil {
			return max((w.tick+i)*wheelTick-now, 0)
		}
	}
	return wheelSlots * wheelTick
}

package hub

// wheel is a hashed timer wheel: arming, moving and disarming a timer costs a
// few pointer writes and no allocation, whatever the number of timers. Times are
// Unix milliseconds; a timer fires at the first turn at or after its time,
// rounded up to wheelTick.
type wheel struct {
	slots [wheelSlots]*timer
	tick  int64 // the last tick whose slot was visited
	count int
	fired []*timer // scratch of visit
}

const (
	wheelTick  = 64   // milliseconds
	wheelSlots = 1024 // one round is 65.5 s; longer timers stay for several
)

// timer is embedded in its owner; the zero value is disarmed.
type timer struct {
	due        int64
	next, prev *timer
	owner      *Session
	slot       int16
	armed      bool
}

func newWheel(now int64) *wheel { return &wheel{tick: now / wheelTick} }

// arm sets t to fire at due, moving it if it is armed.
func (w *wheel) arm(t *timer, due int64) {
	w.disarm(t)
	t.due = due
	tick := max((due+wheelTick-1)/wheelTick, w.tick+1)
	t.slot = int16(tick % wheelSlots)
	t.next = w.slots[t.slot]
	if t.next != nil {
		t.next.prev = t
	}
	w.slots[t.slot] = t
	t.armed = true
	w.count++
}

func (w *wheel) disarm(t *timer) {
	if !t.armed {
		return
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
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

func (w *wheel) visit(t *timer, now int64, fire func(*Session)) {
	for ; t != nil; t = t.next {
		if t.due <= now {
			w.fired = append(w.fired, t)
		}
	}
	for _, t := range w.fired {
		if t.armed && t.due <= now { // an earlier fire may have changed it
			w.disarm(t)
			fire(t.owner)
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

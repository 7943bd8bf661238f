package webhook

import (
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// watcher decides what is worth telling. It is pure but for the maps it keeps:
// channels that are occupied, and users who have just left.
type watcher struct {
	debounce time.Duration
	want     map[string]bool // events, by name
	emit     func(Event)

	occupied map[channel.ID]*occupancy
	here     map[absent]struct{}  // users who were told to have come
	left     map[absent]time.Time // of them, those who have gone: when it will be told
	due      []departure          // in order of their times
}

// occupancy is a channel that has been told to be occupied.
type occupancy struct {
	count  int
	vacant time.Time // when it will be told to be vacated; zero: it is occupied
}

type absent struct {
	channel channel.ID
	user    string
}

// departure is a channel that has become empty, or a user who has left one.
type departure struct {
	at time.Time
	absent
}

func newWatcher(debounce time.Duration, emit func(Event)) *watcher {
	return &watcher{
		debounce: debounce, emit: emit,
		occupied: make(map[channel.ID]*occupancy), here: make(map[absent]struct{}), left: make(map[absent]time.Time),
	}
}

// expect waits until a time for what a process before this one has told of to be
// seen again; what is not is told to have gone.
func (w *watcher) expect(app string, r *roster, until time.Time) {
	for _, name := range sorted(r.members) {
		for _, user := range sorted(r.members[name]) {
			who := absent{channel.ID{App: app, Name: name}, user}
			w.here[who], w.left[who] = struct{}{}, until
			w.add(departure{until, who})
		}
	}
	for _, name := range sorted(r.occupied) {
		ch := channel.ID{App: app, Name: name}
		w.occupied[ch] = &occupancy{vacant: until}
		w.add(departure{until, absent{channel: ch}})
	}
}

// add keeps the order; what is due last comes last nearly always.
func (w *watcher) add(d departure) {
	i := len(w.due)
	for i > 0 && w.due[i-1].at.After(d.at) {
		i--
	}
	w.due = slices.Insert(w.due, i, d)
}

func (w *watcher) tell(e Event) {
	if w.want == nil || w.want[e.Name] {
		w.emit(e)
	}
}

// subscribers says how many a channel has now.
func (w *watcher) subscribers(ch channel.ID, n int, now time.Time) {
	o := w.occupied[ch]
	switch {
	case n == 0 && (o == nil || !o.vacant.IsZero()):
		return
	case n == 0:
		o.vacant, o.count = now.Add(w.debounce), 0
		w.add(departure{o.vacant, absent{channel: ch}})
		return
	case o == nil:
		o = &occupancy{}
		w.occupied[ch] = o
		w.tell(Event{Name: ChannelOccupied, Channel: ch.Name})
	}
	o.vacant = time.Time{}
	if n != o.count && !channel.KindOf(ch.Name).Has(channel.KindPresence) {
		w.tell(Event{Name: SubscriptionCount, Channel: ch.Name, SubscriptionCount: n})
	}
	o.count = n
}

// member says whether a user is a member of a channel.
func (w *watcher) member(ch channel.ID, user string, present bool, now time.Time) {
	who := absent{ch, user}
	_, known := w.here[who]
	_, gone := w.left[who]
	switch {
	case !present && known && !gone:
		at := now.Add(w.debounce)
		w.left[who] = at
		w.add(departure{at, who})
	case present && !known:
		w.here[who] = struct{}{}
		w.tell(Event{Name: MemberAdded, Channel: ch.Name, UserID: user})
	case present:
		delete(w.left, who) // back before it was told, if it was gone
	}
}

// expire tells of those who have been gone for long enough.
func (w *watcher) expire(now time.Time) {
	for len(w.due) > 0 && !w.due[0].at.After(now) {
		w.depart(w.due[0])
		w.due = w.due[1:]
	}
}

// end tells of everybody who has gone: nothing can bring them back.
func (w *watcher) end() {
	for _, d := range w.due {
		w.depart(d)
	}
	w.due = nil
}

func (w *watcher) depart(d departure) {
	if d.user != "" {
		if at, gone := w.left[d.absent]; gone && at.Equal(d.at) {
			delete(w.left, d.absent)
			delete(w.here, d.absent)
			w.tell(Event{Name: MemberRemoved, Channel: d.channel.Name, UserID: d.user})
		}
		return
	}
	if o := w.occupied[d.channel]; o != nil && o.vacant.Equal(d.at) {
		delete(w.occupied, d.channel)
		w.tell(Event{Name: ChannelVacated, Channel: d.channel.Name})
	}
}

// next is when there is something to expire.
func (w *watcher) next() (at time.Time, waits bool) {
	if len(w.due) == 0 {
		return time.Time{}, false
	}
	return w.due[0].at, true
}

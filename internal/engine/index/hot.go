package index

import (
	"container/list"
	"fmt"
	"sync"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// hot is a channel on disk whose state is in RAM. It exists once per channel,
// and as long as anybody has it pinned: what the store shows of a channel may be
// taken for durable only when no hot one exists.
type hot struct {
	ch   channel.ID
	lane *lane

	load sync.Mutex // held while the record is read

	// Owned by the committer.
	known   bool         // applied is valid
	applied store.Record // after everything applied so far

	// Guarded by lane.mu.
	loaded  bool
	durable store.Record // after everything durable so far
	ring    Ring         // durable publications only
	pins    int          // who works with it now, entries in flight included
	use     *list.Element
	used    int64
}

// pin finds or makes the hot channel and holds it. unpin must follow.
func (x *Index) pin(ch channel.ID) *hot {
	l := x.lanes.of(ch)
	l.mu.Lock()
	defer l.mu.Unlock()
	return x.pinLocked(l, ch)
}

func (x *Index) pinLocked(l *lane, ch channel.ID) *hot {
	h := l.hot[ch]
	if h == nil {
		h = &hot{ch: ch, lane: l}
		l.hot[ch] = h
		h.use = l.hotUse.PushFront(h)
		x.coolLocked(l)
	}
	h.pins++
	x.touchLocked(h)
	return h
}

// touchLocked makes h the most recently used of its lane.
func (x *Index) touchLocked(h *hot) {
	h.used = x.uses.Add(1)
	h.lane.hotUse.MoveToFront(h.use)
	h.lane.stampHotLocked()
}

func (x *Index) unpin(h *hot) {
	h.lane.mu.Lock()
	h.pins--
	h.lane.mu.Unlock()
}

// hotOf is the channel of an element of lane.hotUse.
func hotOf(el *list.Element) *hot {
	h, _ := el.Value.(*hot)
	return h
}

// coolLocked forgets the longest unused channels over the limit. Pinned ones
// stay, so that the limit may be passed by as many as are in flight.
func (x *Index) coolLocked(l *lane) {
	limit := max(x.cfg.HotChannels/laneCount, 1)
	for el := l.hotUse.Back(); el != nil && len(l.hot) > limit; {
		h := hotOf(el)
		el = el.Prev()
		if h.pins == 0 && h.used > 0 {
			x.cache.Used.Add(-h.ring.DropTo(0))
			l.hotUse.Remove(h.use)
			delete(l.hot, h.ch)
		}
	}
	l.stampHotLocked()
}

// stampHotLocked notes when the longest unused channel of the lane was used.
func (l *lane) stampHotLocked() {
	at := NoUse
	if el := l.hotUse.Back(); el != nil {
		at = hotOf(el).used
	}
	l.hotOldest.Store(at)
}

// shrinkHot forgets the longest unused channel of the lane; of a pinned one only
// the ring. A lane without either is passed over until it is used again.
func (x *Index) shrinkHot(l *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for el := l.hotUse.Back(); el != nil; el = el.Prev() {
		h := hotOf(el)
		if h.pins > 0 && h.ring.Bytes == 0 {
			continue
		}
		x.cache.Used.Add(-h.ring.DropTo(0))
		if h.pins == 0 {
			l.hotUse.Remove(h.use)
			delete(l.hot, h.ch)
		}
		l.stampHotLocked()
		return
	}
	l.hotOldest.Store(NoUse)
}

// Cool lets RAM forget a channel, or of one in use its ring, as it would make
// room. Tests read from disk so.
func (x *Index) Cool(ch channel.ID) { x.shrinkHot(x.lanes.of(ch)) }

// ensure reads the channel's record unless somebody has. h is pinned.
func (x *Index) ensure(h *hot) (store.Record, error) {
	h.load.Lock()
	defer h.load.Unlock()
	h.lane.mu.Lock()
	rec, loaded := h.durable, h.loaded
	h.lane.mu.Unlock()
	if loaded {
		return rec, nil
	}
	rec, err := x.store.Record(h.ch)
	if err != nil {
		return store.Record{}, fmt.Errorf("load channel: %w", err)
	}
	if x.health.failed.Load() {
		// What the store shows may be what it failed to make durable.
		return store.Record{}, ErrFailed
	}
	// Nothing of the channel is in flight: whoever applies to it loads it first.
	h.lane.mu.Lock()
	h.durable, h.loaded = rec, true
	h.lane.mu.Unlock()
	return rec, nil
}

// advanceLocked makes rec what is durable of h, and pub, if any, the newest
// publication in its ring.
func (x *Index) advanceLocked(h *hot, rec *store.Record, pub *engine.Publication) {
	grown := int64(0)
	if rec.ID != h.durable.ID {
		grown -= h.ring.DropTo(0)
	}
	h.durable, h.loaded = *rec, true
	if pub != nil {
		grown += h.ring.Push(pub)
	}
	// Channels come and go with single publications: keep no more than is kept.
	keep := min(rec.Top+1-rec.Low, maxRing)
	grown -= h.ring.DropTo(int(min(keep, uint64(len(h.ring.Pubs)))))
	x.cache.Used.Add(grown)
}

package check

import (
	"fmt"
	"slices"
)

// Kind is a class of faults.
type Kind string

// The faults that a record can have.
const (
	Loss        Kind = "loss"        // acknowledged or seen, and not in the history
	Duplicate   Kind = "duplicate"   // the same publication twice
	Gap         Kind = "gap"         // an offset was left out
	Reorder     Kind = "reorder"     // an offset after a higher one
	Epoch       Kind = "epoch"       // the epoch has changed
	Content     Kind = "content"     // an offset holds something else than was promised or seen
	Foreign     Kind = "foreign"     // in the history, and nobody published it
	Unrecovered Kind = "unrecovered" // the position was refused, though nothing was trimmed
	Behind      Kind = "behind"      // a subscriber was never shown the end
	Divergent   Kind = "divergent"   // two servers hold different histories
)

// Fault is one broken promise.
type Fault struct {
	Kind Kind
	Text string
}

func (f Fault) String() string { return string(f.Kind) + ": " + f.Text }

// Check finds every fault of a record; none means that the promises were kept.
// Histories must not have been trimmed.
func Check(r *Record) []Fault {
	c := &checker{channels: make(map[string]*history, len(r.Channels))}
	for i := range r.Channels {
		c.history(&r.Channels[i])
	}
	for i := range r.Copies {
		c.copy(&r.Copies[i])
	}
	for i := range r.Publishers {
		c.publisher(&r.Publishers[i])
	}
	for _, h := range c.channels {
		for _, e := range h.Entries {
			if !h.acked[e.ID] {
				c.fault(Foreign, "%s offset %d holds %s, which nobody was acknowledged", h.Name, e.Offset, e.ID)
			}
		}
	}
	for i := range r.Subscribers {
		if s := &r.Subscribers[i]; s.Live {
			c.live(s)
		} else {
			c.subscriber(s)
		}
	}
	for i := range r.Reads {
		c.read(&r.Reads[i])
	}
	return c.faults
}

type checker struct {
	channels map[string]*history
	faults   []Fault
}

// history is a channel with its entries by offset, and their offsets by id.
type history struct {
	*Channel
	at    map[uint64]Entry
	ids   map[string]uint64
	acked map[string]bool
}

func (c *checker) fault(kind Kind, format string, args ...any) {
	c.faults = append(c.faults, Fault{kind, fmt.Sprintf(format, args...)})
}

// history checks that offsets are dense from 1 to the top, each publication once.
func (c *checker) history(ch *Channel) {
	h := &history{Channel: ch, at: make(map[uint64]Entry, len(ch.Entries)), ids: make(map[string]uint64, len(ch.Entries)), acked: map[string]bool{}}
	c.channels[ch.Name] = h
	last := uint64(0)
	for _, e := range ch.Entries {
		c.follows("the history of "+ch.Name, last, e.Offset)
		if first, twice := h.ids[e.ID]; twice && first != e.Offset {
			c.fault(Duplicate, "%s holds %s at %d and at %d", ch.Name, e.ID, first, e.Offset)
		}
		h.ids[e.ID] = e.Offset
		h.at[e.Offset] = e
		last = max(last, e.Offset)
	}
	if last < ch.Top {
		c.fault(Gap, "the history of %s ends at %d, its top is %d", ch.Name, last, ch.Top)
	}
}

// copy checks that another server holds the same.
func (c *checker) copy(other *Copy) {
	found := map[string]bool{}
	for i := range other.Channels {
		ch := &other.Channels[i]
		h := c.channels[ch.Name]
		found[ch.Name] = h != nil
		switch {
		case h == nil:
			c.fault(Divergent, "%s holds the channel %s, which is nowhere else", other.Name, ch.Name)
		case ch.Epoch != h.Epoch:
			c.fault(Divergent, "%s holds %s in epoch %s, which is %s elsewhere", other.Name, ch.Name, ch.Epoch, h.Epoch)
		case ch.Top != h.Top:
			c.fault(Divergent, "%s holds %s up to %d, elsewhere it stands at %d", other.Name, ch.Name, ch.Top, h.Top)
		case !slices.Equal(ch.Entries, h.Entries):
			c.fault(Divergent, "%s holds other publications of %s, of which the first is %s", other.Name, ch.Name, difference(ch.Entries, h.Entries))
		}
	}
	for name := range c.channels {
		if !found[name] {
			c.fault(Divergent, "%s has nothing of %s", other.Name, name)
		}
	}
}

// difference is where two histories part.
func difference(a, b []Entry) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%s at %d", a[i].ID, a[i].Offset)
		}
	}
	return fmt.Sprintf("the one after %d", min(len(a), len(b)))
}

// follows checks that offset is the one after last.
func (c *checker) follows(where string, last, offset uint64) {
	switch {
	case offset == last:
		c.fault(Duplicate, "%s has offset %d twice", where, offset)
	case offset < last:
		c.fault(Reorder, "%s has offset %d after %d", where, offset, last)
	case offset > last+1:
		c.fault(Gap, "%s has offset %d after %d", where, offset, last)
	}
}

// publisher checks that each acknowledged publication is where its reply said, and
// that a publisher's publications are in the order in which it made them.
func (c *checker) publisher(p *Publisher) {
	last := map[string]uint64{}
	for _, a := range p.Acks {
		if h := c.channels[a.Channel]; h != nil && a.Somewhere {
			a.Offset, a.Epoch = h.ids[a.ID], h.Epoch
		}
		c.holds("acknowledged to "+p.Name, a.Channel, a.Epoch, a.Entry)
		if h := c.channels[a.Channel]; h != nil {
			h.acked[a.ID] = true
		}
		if a.Repeat {
			continue
		}
		if a.Offset <= last[a.Channel] {
			c.fault(Reorder, "%s published %s after what is at %d of %s, and it is at %d", p.Name, a.ID, last[a.Channel], a.Channel, a.Offset)
		}
		last[a.Channel] = max(last[a.Channel], a.Offset)
	}
}

// holds checks that the history has e, and in this epoch.
func (c *checker) holds(what, channel, epoch string, e Entry) {
	h := c.channels[channel]
	if h == nil {
		c.fault(Loss, "%s: %s is in no history: the channel %s has none", what, e.ID, channel)
		return
	}
	if epoch != h.Epoch {
		c.fault(Epoch, "%s: %s in epoch %s of %s, which is %s now", what, e.ID, epoch, channel, h.Epoch)
	}
	switch got, there := h.at[e.Offset]; {
	case !there:
		c.fault(Loss, "%s: %s at %d of %s is not in the history", what, e.ID, e.Offset, channel)
	case got.ID != e.ID:
		c.fault(Content, "%s: %s at %d of %s, where the history has %s", what, e.ID, e.Offset, channel, got.ID)
	case got.Sum != e.Sum:
		c.fault(Content, "%s: %s at %d of %s has changed", what, e.ID, e.Offset, channel)
	}
}

// subscriber checks that it saw, from where it began to the end, every offset once
// and in order, with what the history holds.
func (c *checker) subscriber(s *Subscriber) {
	began, last, epoch := false, uint64(0), ""
	for _, ev := range s.Events {
		switch {
		case ev.Subscribed != nil && !began:
			began, last, epoch = true, ev.Subscribed.Offset, ev.Subscribed.Epoch
		case ev.Subscribed != nil:
			c.resubscribed(s, *ev.Subscribed, epoch)
		case !began:
			c.fault(Foreign, "%s was shown offset %d before it was subscribed", s.Name, ev.Entry.Offset)
		default:
			c.follows(s.Name, last, ev.Entry.Offset)
			c.holds("shown to "+s.Name, s.Channel, epoch, *ev.Entry)
			last = max(last, ev.Entry.Offset)
		}
	}
	if h := c.channels[s.Channel]; h == nil || !began || last < h.Top {
		c.fault(Behind, "%s was shown %s up to %d only", s.Name, s.Channel, last)
	}
}

func (c *checker) resubscribed(s *Subscriber, sub Subscribed, epoch string) {
	if sub.Epoch != epoch {
		c.fault(Epoch, "%s was in epoch %s of %s and is told %s", s.Name, epoch, s.Channel, sub.Epoch)
	}
	if !sub.Recovering || !sub.Recovered {
		c.fault(Unrecovered, "%s returned to %s and was not recovered", s.Name, s.Channel)
	}
}

// live checks that each of its connections saw a run without gaps, from where it was
// subscribed at the latest, nothing again that an earlier one saw unless it Moves, and the
// last connection the end. What passed between two connections nobody promised.
func (c *checker) live(s *Subscriber) {
	began, first, last, from, seen, epoch := false, false, uint64(0), uint64(0), uint64(0), ""
	h := c.channels[s.Channel]
	for _, ev := range s.Events {
		if ev.Subscribed != nil {
			began, first, from, epoch = true, true, ev.Subscribed.Offset, ev.Subscribed.Epoch
			if seen = max(seen, from); s.Moves {
				last = 0
			}
			continue
		}
		e := *ev.Entry
		if h != nil {
			e.Offset = h.ids[e.ID]
		}
		switch {
		case !began:
			c.fault(Foreign, "%s was shown %s before it was subscribed", s.Name, e.ID)
		case first && e.Offset > max(from, last)+1:
			c.fault(Gap, "%s was subscribed when %s stood at %d, and was shown offset %d first", s.Name, s.Channel, from, e.Offset)
		case !first || e.Offset <= last:
			c.follows(s.Name, last, e.Offset)
		}
		c.holds("shown to "+s.Name, s.Channel, epoch, e)
		first, last = false, max(last, e.Offset)
		seen = max(seen, last)
	}
	if h == nil || !began || seen < h.Top {
		c.fault(Behind, "%s was shown %s up to %d only", s.Name, s.Channel, seen)
	}
}

// read checks that what was readable once is what the history holds.
func (c *checker) read(r *Read) {
	for i, e := range r.Entries {
		if i > 0 {
			c.follows("a page of "+r.Channel, r.Entries[i-1].Offset, e.Offset)
		}
		c.holds("read", r.Channel, r.Epoch, e)
	}
}

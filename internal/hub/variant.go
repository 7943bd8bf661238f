package hub

import (
	"slices"
	"sync"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// variant is what makes one subscription be sent something else than the others
// are: a part of the publications, or changes in place of whole ones.
type variant struct {
	filter func(*engine.Publication) bool // nil: all
	delta  bool
	base   *engine.Publication // with delta: what the client was sent last; nil: nothing
	epoch  string              // of base
}

// newVariant is nil for a subscription like others. What is filtered does not
// come as changes: those who share a change must hold the same publication.
func newVariant(o *channel.Options, r *SubscribeRequest) *variant {
	delta := r.Filter == nil && slices.Contains(o.AllowedDeltaTypes, r.Delta)
	if r.Filter == nil && !delta {
		return nil
	}
	return &variant{filter: r.Filter, delta: delta}
}

func (v *variant) hasDelta() bool { return v != nil && v.delta }

// sendVariant puts a publication in line for a subscription unlike others.
func (sub *subscription) sendVariant(b *broadcast) {
	v, s := sub.variant, sub.session
	if v.filter != nil && !v.filter(b.event.Publication) {
		return
	}
	if !v.delta {
		sub.sendPlain(b)
		return
	}
	s.shard.delivered++
	form := s.shard.hub.formFor(v, b)
	v.base, v.epoch = b.event.Publication, b.event.Epoch
	s.enqueue(form.frameFor(s.enc))
}

// prune takes out of a subscribe reply what is not for this subscription, and
// returns the offset of the last publication it held.
func (sub *subscription) prune(result *SubscribeResult) (last uint64) {
	all := result.Publications
	if len(all) == 0 {
		return 0
	}
	newest := all[len(all)-1]
	v := sub.variant
	switch {
	case v == nil:
	case v.delta:
		v.base, v.epoch = newest, result.Position.Epoch
	case v.filter != nil:
		kept := make([]*engine.Publication, 0, len(all))
		for _, pub := range all {
			if v.filter(pub) {
				kept = append(kept, pub)
			}
		}
		result.Publications = kept
		if result.Since = newest.Offset; len(kept) > 0 {
			result.Since = kept[0].Offset - 1
		}
	}
	return newest.Offset
}

// changes are the forms of a publication for subscribers with delta: the whole,
// and what has changed since the publication before it.
type changes struct {
	whole, patch *broadcast
	base         *engine.Publication // nil: there is no patch
	epoch        string              // of base
}

// changesOf makes the forms for a channel that has subscribers with delta. It is
// called in the order of the channel.
func (h *Hub) changesOf(top *topic, e Event) *changes {
	if e.Publication == nil {
		return nil
	}
	if top.deltas.Load() == 0 {
		top.newest = nil
		return nil
	}
	c := &changes{whole: h.deltaForm(top, e, nil), base: top.newest, epoch: top.epoch}
	if c.base != nil {
		c.patch = h.deltaForm(top, e, c.base)
	}
	top.newest, top.epoch = e.Publication, e.Epoch
	return c
}

func (h *Hub) deltaForm(top *topic, e Event, base *engine.Publication) *broadcast {
	e.Delta = &Delta{Base: base}
	return h.newBroadcast(top, e)
}

// formFor chooses the form for a subscription: the patch where the client holds
// its base.
func (h *Hub) formFor(v *variant, b *broadcast) *broadcast {
	c := b.changes
	switch {
	case c == nil: // sent before there was anybody with delta, or read from history
		return h.deltaForm(b.topic, b.event, nil)
	case c.base != nil && (v.base == c.base || v.holds(c)):
		return c.patch
	}
	return c.whole
}

// holds reports whether the client was sent the base, perhaps as another copy.
func (v *variant) holds(c *changes) bool {
	return v.base != nil && v.base.Offset > 0 && v.base.Offset == c.base.Offset && v.epoch == c.epoch
}

// Delta says that an Event is for subscribers that are sent changes.
type Delta struct {
	Base *engine.Publication // what they hold; nil: they are sent the whole

	once  sync.Once
	patch []byte
}

// Patch is what leads from Base's data to data, made once by create, whichever
// protocol or encoding asks first.
func (d *Delta) Patch(data []byte, create func(base, data []byte) []byte) []byte {
	d.once.Do(func() { d.patch = create(d.Base.Data, data) })
	return d.patch
}

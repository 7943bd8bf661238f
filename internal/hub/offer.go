package hub

import "github.com/google/uuid"

// This file is what a subscription takes of the events of its channel, from when it is
// in the tables on: kept while history is read, dropped where the reply had it, sent.

// readBuffer keeps what arrives live while history is being read.
type readBuffer struct {
	live []*broadcast
	size int
	skip bool   // what has an offset will be read
	gap  uint64 // the offset after the last gap in what came; 0: there was none
}

// offer hands the subscription an event in the order of its channel. What was
// part of the subscribe reply is dropped.
func (sub *subscription) offer(b *broadcast) {
	s := sub.session
	switch {
	case sub.flags&flagGone != 0:
		return
	case b.event.Kind != EventPublication:
		if sub.reading != nil || !sub.wants(b) {
			return
		}
	case b.from != uuid.Nil && b.from == s.id && !sub.positioned():
		return
	case sub.reading != nil:
		sub.buffer(b)
		return
	case b.event.Publication.Offset > 0 && b.event.Publication.Offset <= sub.after:
		return
	case sub.misses(b):
		s.shard.hub.count.Gaps.Inc()
		s.dropSubscription(sub, UnsubscribeInsufficientState)
		return
	default:
		sub.send(b)
		return
	}
	if frame := b.frameOf(s); frame != nil {
		s.enqueue(frame)
	}
}

// misses reports whether the first live publication does not follow the subscribe
// reply; from then on the topic checks the order for all.
func (sub *subscription) misses(b *broadcast) bool {
	offset := b.event.Publication.Offset
	if sub.flags&flagFresh == 0 || offset == 0 {
		return false
	}
	sub.flags &^= flagFresh
	return sub.positioned() && offset != sub.after+1
}

// send puts a publication in line.
func (sub *subscription) send(b *broadcast) {
	if sub.variant != nil {
		sub.sendVariant(b)
		return
	}
	sub.sendPlain(b)
}

func (sub *subscription) sendPlain(b *broadcast) {
	s := sub.session
	s.shard.delivered++
	if sub.options.MayLose() {
		s.enqueueOf(sub, b)
		return
	}
	if frame := b.frameOf(s); frame != nil {
		s.enqueue(frame)
	}
}

// wants reports whether the subscription is told of an event that is no
// publication.
func (sub *subscription) wants(b *broadcast) bool {
	switch {
	case b.event.Kind == EventCount:
		return sub.flags&flagCount != 0
	case sub.flags&flagUsers != 0:
		return sub.flags&flagJoinLeave != 0 && b.event.Edge && b.from != sub.session.id
	}
	return sub.flags&flagJoinLeave != 0
}

// buffer keeps a publication until history has been read. A session whose buffer
// outgrows its outbox is as slow as one that does not read.
func (sub *subscription) buffer(b *broadcast) {
	r := sub.reading
	if r.skip && b.event.Publication.Offset > 0 {
		return
	}
	r.live = append(r.live, b)
	r.size += b.size()
	if r.size > sub.session.shard.hub.cfg.OutboxMax {
		sub.session.shard.hub.count.outboxFull.Add(uint64(len(r.live)))
		sub.session.Disconnect(DisconnectSlow)
	}
}

// live ends the reading: what was buffered follows, in order. What it misses and
// history did not bring either is told.
func (sub *subscription) live(after uint64) {
	r := sub.reading
	sub.reading, sub.after = nil, after
	if sub.positioned() {
		if r.gap > after+1 {
			sub.session.dropSubscription(sub, UnsubscribeInsufficientState)
			return
		}
		sub.flags |= flagFresh
	}
	for _, b := range r.live {
		sub.offer(b)
	}
}

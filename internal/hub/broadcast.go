package hub

import (
	"sync"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// broadcast is one event on its way to the shards. It is encoded once per
// Encoding, by whichever shard needs it first, and never changes afterwards.
type broadcast struct {
	topic  *topic
	event  Event
	epoch  string
	frames []frame // by Encoding.index
}

type frame struct {
	once  sync.Once
	bytes []byte
}

// frameFor is the event as bytes on the wire, shared by all sessions.
func (b *broadcast) frameFor(e *Encoding) []byte {
	f := &b.frames[e.index]
	f.once.Do(func() {
		payload := e.Protocol.Append(nil, &b.event)
		f.bytes = e.Framing.AppendFrame(make([]byte, 0, len(payload)+maxFrameOverhead), payload)
	})
	return f.bytes
}

// maxFrameOverhead is what the longest framing adds to a payload; more is no
// error, only another allocation.
const maxFrameOverhead = 16

// Publication implements engine.Follower: to every shard with subscribers.
func (h *Hub) Publication(ch channel.ID, epoch string, pub *engine.Publication) {
	h.broadcast(ch, epoch, Event{Kind: EventPublication, Channel: ch.Name, Publication: pub}, len(pub.Data))
}

// Join implements engine.Follower.
func (h *Hub) Join(ch channel.ID, info *engine.ClientInfo) {
	h.broadcast(ch, "", Event{Kind: EventJoin, Channel: ch.Name, Info: info}, 0)
}

// Leave implements engine.Follower.
func (h *Hub) Leave(ch channel.ID, info *engine.ClientInfo) {
	h.broadcast(ch, "", Event{Kind: EventLeave, Channel: ch.Name, Info: info}, 0)
}

func (h *Hub) broadcast(ch channel.ID, epoch string, e Event, size int) {
	top, shards, subs := h.topics.find(ch)
	if top == nil {
		return
	}
	b := &broadcast{topic: top, event: e, epoch: epoch, frames: make([]frame, len(h.encodings))}
	cost := int64(publicationCost + size)
	// The shares of the shards add up to what is released by them.
	n := int64(0)
	eachShard(shards, func(int) { n++ })
	share := cost + int64(subs)*deliveryCost/n
	h.gate.add(share * n)
	eachShard(shards, func(i int) { h.shards[i].postBroadcast(b, share) })
}

// deliver hands a broadcast to the shard's subscribers of its topic.
func (sh *Shard) deliver(b *broadcast) {
	l := &b.topic.local[sh.index]
	if pub := b.event.Publication; pub != nil && pub.Offset > 0 && !sh.inSequence(l, b) {
		return
	}
	for i := 0; i < len(l.list); {
		sub := l.list[i]
		sub.offer(b)
		if i < len(l.list) && l.list[i] == sub { // otherwise it left, and another took its place
			i++
		}
	}
}

// inSequence checks that a publication with an offset is the one that follows
// the last. The engine promises as much; should it fail, nobody is left with a
// silent gap: positioned subscriptions are told to subscribe again.
func (sh *Shard) inSequence(l *subscribers, b *broadcast) bool {
	pub := b.event.Publication
	switch {
	case l.last == 0 || l.epoch == b.epoch && pub.Offset == l.last+1:
		l.epoch, l.last = b.epoch, pub.Offset
		return true
	case l.epoch == b.epoch && pub.Offset <= l.last:
		sh.hub.count.Repeated.Inc()
		return false
	}
	sh.hub.count.Gaps.Inc()
	l.epoch, l.last = b.epoch, pub.Offset
	for i := len(l.list) - 1; i >= 0; i-- {
		if sub := l.list[i]; sub.positioned() {
			sub.session.dropSubscription(sub, UnsubscribeInsufficientState)
		}
	}
	return true
}

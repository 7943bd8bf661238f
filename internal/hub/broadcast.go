package hub

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// broadcast is one event on its way to the shards. It is encoded once per
// Protocol and framed once per Encoding, by whichever shard needs it first, and
// never changes afterwards.
type broadcast struct {
	topic    *topic
	event    Event
	share    int64      // of the gate, given back by each shard
	from     uuid.UUID  // the session that it is about; a publication is not for it
	then     func()     // what comes next in line is no event
	frames   renderings // by Encoding.index
	payloads renderings // by Encoding.protocol
	changes  *changes   // for subscribers with delta; nil: there was none
}

// renderings are those that somebody has asked for: of all that are possible one
// or two, nearly always.
type renderings struct{ head atomic.Pointer[rendering] }

type rendering struct {
	index int
	next  *rendering // fixed once the rendering is in the list
	once  sync.Once
	bytes []byte
}

// of finds a rendering, or adds it.
func (r *renderings) of(index int) *rendering {
	var added *rendering
	for {
		head := r.head.Load()
		for n := head; n != nil; n = n.next {
			if n.index == index {
				return n
			}
		}
		if added == nil {
			added = &rendering{index: index}
		}
		added.next = head
		if r.head.CompareAndSwap(head, added) {
			return added
		}
	}
}

// frameFor is the event as bytes on the wire, shared by all sessions.
func (b *broadcast) frameFor(e *Encoding) []byte {
	f := b.frames.of(e.index)
	f.once.Do(func() {
		payload := b.payloadFor(e)
		f.bytes = e.Framing.AppendFrame(make([]byte, 0, len(payload)+maxFrameOverhead), payload)
	})
	return f.bytes
}

// frameOf is the event as bytes on the wire for one session; nil: it is told
// nothing.
func (b *broadcast) frameOf(s *Session) []byte {
	if s.shares() {
		return b.frameFor(s.enc)
	}
	payload := s.enc.personal.AppendFor(nil, s, &b.event)
	if len(payload) == 0 {
		return nil
	}
	return s.enc.Framing.AppendFrame(make([]byte, 0, len(payload)+maxFrameOverhead), payload)
}

// shares reports whether the session is told the same as others.
func (s *Session) shares() bool { return s.enc.personal == nil || s.enc.personal.Shared(s) }

func (b *broadcast) payloadFor(e *Encoding) []byte {
	p := b.payloads.of(e.protocol)
	p.once.Do(func() { p.bytes = e.Protocol.Append(nil, &b.event) })
	return p.bytes
}

// maxFrameOverhead is what the longest framing adds to a payload; more is no
// error, only another allocation.
const maxFrameOverhead = 16

// Publication implements engine.Follower: to every shard with subscribers.
func (h *Hub) Publication(ch channel.ID, epoch string, pub *engine.Publication) {
	h.broadcast(ch, Event{Kind: EventPublication, Channel: ch.Name, Epoch: epoch, Publication: pub}, len(pub.Data))
}

// Join implements engine.Follower.
func (h *Hub) Join(ch channel.ID, info *engine.ClientInfo, edge bool) {
	if h.passOnline(ch, EventOnline, edge) {
		return
	}
	h.broadcast(ch, Event{Kind: EventJoin, Channel: ch.Name, Info: info, Edge: edge}, 0)
}

// Leave implements engine.Follower.
func (h *Hub) Leave(ch channel.ID, info *engine.ClientInfo, edge bool) {
	if h.passOnline(ch, EventOffline, edge) {
		return
	}
	h.broadcast(ch, Event{Kind: EventLeave, Channel: ch.Name, Info: info, Edge: edge}, 0)
}

func (h *Hub) broadcast(ch channel.ID, e Event, size int) {
	top, shards, subs := h.topics.find(ch)
	if top == nil {
		return
	}
	b := h.newBroadcast(top, e)
	b.from, b.changes = e.from(), h.changesOf(top, e)
	cost := int64(publicationCost + size)
	// The shares of the shards add up to what is released by them.
	n := int64(bits.OnesCount64(shards))
	b.share = cost + int64(subs)*deliveryCost/n
	h.gate.add(b.share * n)
	eachShard(shards, func(i int) { h.shards[i].post(item{cast: b}) })
}

func (h *Hub) newBroadcast(top *topic, e Event) *broadcast {
	return &broadcast{topic: top, event: e}
}

// size is about what a publication takes while it is kept.
func (b *broadcast) size() int { return len(b.event.Publication.Data) + publicationCost }

// from is the session that an event is about; none: uuid.Nil.
func (e *Event) from() uuid.UUID {
	session := ""
	switch {
	case e.Publication != nil:
		session = e.Publication.Except
	case e.Info != nil:
		session = e.Info.Client
	}
	if session == "" {
		return uuid.Nil
	}
	id, err := uuid.Parse(session)
	if err != nil {
		return uuid.Nil
	}
	return id
}

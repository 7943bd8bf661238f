package bus

import (
	"bytes"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// hear looks at one message.
func (r *receiver) hear(data []byte) {
	b := r.bus
	m, err := decode(data)
	if err != nil {
		b.count.malformed.Add(1)
		return
	}
	if m.from == b.cfg.Node {
		return
	}
	p := r.peer(m.from)
	if p == nil {
		return
	}
	b.count.received.Add(1)
	switch m.kind {
	case kindPublication, kindJoin, kindLeave:
		r.happened(p, m)
	case kindControl:
		r.controlled(p, m)
	case kindCounts:
		r.counted(p, m)
	case kindState, kindShares:
		r.stated(p, m)
	case kindBeat:
		r.hearBeat(p, m)
	case kindAsk:
		for _, s := range m.streams {
			r.state(p, &b.streams[s])
		}
	case kindQuery:
		r.answer(p, m)
	case kindAnswer:
		r.answered(p, m)
	}
}

// happened takes what happened on a channel.
func (r *receiver) happened(p *peer, m *message) {
	b := r.bus
	ch := m.ch
	if m.kind != kindPublication {
		ch = m.present.ch
	}
	st := b.streamOf(ch)
	st.mu.Lock()
	defer st.mu.Unlock()
	src := st.sources[p.number]
	if src == nil || !r.inSequence(st, src, m.number) {
		return
	}
	switch {
	case m.kind == kindPublication:
		b.follower.Publication(ch, "", m.pub)
	case !src.synced && m.present.notice&engine.Track != 0: // it is part of the state that is to come
	case m.kind == kindJoin:
		b.joinLocked(st, m.present, p.number, false)
	default:
		b.leaveLocked(st, m.present, p.number)
	}
}

// inSequence notes the number of what has come. It reports whether that is to be
// looked at; what has been overtaken is not.
func (r *receiver) inSequence(st *stream, src *source, number uint64) bool {
	switch {
	case !src.reached: // where it stands is not known yet
		return true
	case number <= src.seen:
		r.bus.count.late.Add(1)
		return false
	}
	r.seen(st, src, number-1)
	src.seen = number
	return true
}

// seen notes that a source has said something up to a number: what has not come
// is missed, and the state asked for.
func (r *receiver) seen(st *stream, src *source, number uint64) {
	if !src.reached || number <= src.seen {
		return
	}
	r.bus.count.missed.Add(number - src.seen)
	src.seen = number
	st.staleLocked(src)
	if now := time.Now(); now.Sub(src.asked) >= askAgain {
		src.asked = now
		r.bus.want(src.peer, []int{st.index})
	}
}

// controlled takes an operation on sessions.
func (r *receiver) controlled(p *peer, m *message) {
	b := r.bus
	if m.number > 0 && !r.forEveryone(p, m, func(*source) {}) || m.control.Node != "" && m.control.Node != b.cfg.Node {
		return
	}
	b.perform(m.control)
}

// counted takes changes of counts.
func (r *receiver) counted(p *peer, m *message) {
	r.forEveryone(p, m, func(src *source) {
		if src.synced {
			r.bus.counts.take(p.number, m.counts)
		}
	})
}

// forEveryone notes the number of what was said to all; do is called in line with
// it. It reports whether it was.
func (r *receiver) forEveryone(p *peer, m *message, do func(*source)) bool {
	st := &r.bus.streams[everyone]
	st.mu.Lock()
	defer st.mu.Unlock()
	src := st.sources[p.number]
	if src == nil || !r.inSequence(st, src, m.number) {
		return false
	}
	do(src)
	return true
}

// hearBeat looks at a beat.
func (r *receiver) hearBeat(p *peer, m *message) {
	b := r.bus
	if m.name != *p.name.Load() && len(m.name) > 0 {
		p.name.Store(&m.name)
	}
	if m.flags&beatLeaves != 0 {
		r.gone[p.id] = time.Now()
		b.cfg.Logger.Info("another node leaves", "node", m.name, "id", p.id)
		r.lose(p)
		return
	}
	for _, t := range m.tops {
		st := &b.streams[t.stream]
		st.mu.Lock()
		if src := st.sources[p.number]; src != nil {
			r.seen(st, src, t.number)
		}
		st.mu.Unlock()
	}
	if m.flags&beatGreets != 0 {
		r.beat(0)
	}
}

// state sends a node this one's part of a stream, unless it is on its way. What it
// holds is settled here, in line with what is said; it is written by the sender,
// since it may be large.
func (r *receiver) state(p *peer, st *stream) {
	b := r.bus
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.owed[p.number] {
		return
	}
	st.owed[p.number] = true
	number, subject := st.number, b.subjects.nodes+p.id
	give := func(m *message, part int, last bool) {
		m.stream, m.number, m.part, m.last = st.index, number, part, last
		b.give(subject, m.append(nil))
	}
	write := b.stateWriter(st, give)
	b.out.put(sending{do: func() {
		st.mu.Lock()
		delete(st.owed, p.number)
		st.mu.Unlock()
		write()
	}})
}

// stateWriter takes what a state holds now, to be written later.
func (b *Bus) stateWriter(st *stream, give func(m *message, part int, last bool)) (write func()) {
	if st.index == everyone {
		all := b.counts.all()
		return func() {
			inParts(b.partSize(), all, sizeOfCount, func(part int, list []count, last bool) {
				m := b.message(kindShares)
				m.counts = list
				give(m, part, last)
			})
		}
	}
	own := st.ofLocked(0)
	for i := range own {
		own[i].info = b.shown(own[i].info)
	}
	return func() {
		inParts(b.partSize(), own, sizeOfPresent, func(part int, list []present, last bool) {
			m := b.message(kindState)
			m.state = list
			give(m, part, last)
		})
	}
}

// stated takes a part of a state.
func (r *receiver) stated(p *peer, m *message) {
	b := r.bus
	index := m.stream
	if m.kind == kindShares {
		index = everyone
	}
	st := &b.streams[index]
	st.mu.Lock()
	defer st.mu.Unlock()
	src := st.sources[p.number]
	if src == nil {
		return
	}
	r.seen(st, src, m.number)
	if m.part != src.part {
		st.staleLocked(src) // a part is missing: from the beginning, when it is asked for again
		if m.part != 0 {
			return
		}
	}
	src.part++
	if m.kind == kindShares {
		b.counts.merge(p.number, m.counts, m.part == 0)
	} else {
		b.mergeLocked(st, src, m)
	}
	if m.last {
		src.part, src.here = 0, nil
		p.mute.Store(false)
		b.count.synced.Add(1)
		st.syncedLocked(src, m.number)
	}
}

// mergeLocked takes a part of the sessions of a node in; with the last one those
// that are in no part leave. Who has come is told before who has left, so that a
// user who has another session now does not seem to have been away.
func (b *Bus) mergeLocked(st *stream, src *source, m *message) {
	if src.here == nil {
		src.here = make(map[place]struct{}, len(m.state))
	}
	for _, s := range m.state {
		src.here[s.place()] = struct{}{}
		// The message would stay for as long as one of the many sessions in it does.
		s.info.ConnInfo, s.info.ChanInfo = bytes.Clone(s.info.ConnInfo), bytes.Clone(s.info.ChanInfo)
		b.joinLocked(st, s, src.peer.number, src.quiet)
	}
	if !m.last {
		return
	}
	for _, s := range st.ofLocked(src.peer.number) {
		if _, still := src.here[s.place()]; !still {
			b.leaveLocked(st, s, src.peer.number)
		}
	}
}

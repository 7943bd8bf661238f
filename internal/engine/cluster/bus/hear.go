package bus

import (
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
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
		r.beats(p, m)
	case kindAsk:
		for _, s := range m.streams {
			r.state(p, &b.streams[s])
		}
	case kindQuery:
		r.answer(p, m.number, m.ch)
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
	case !src.synced: // it is part of the state that is to come
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

// beats takes a beat.
func (r *receiver) beats(p *peer, m *message) {
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

// state sends a node this one's part of a stream, unless it is on its way.
func (r *receiver) state(p *peer, st *stream) {
	b := r.bus
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.owed[p.number] {
		return
	}
	st.owed[p.number] = true
	put := func(m *message, part int, last bool) {
		m.stream, m.number, m.part, m.last = st.index, st.number, part, last
		s := sending{subject: b.subjects.nodes + p.id, data: m.append(nil)}
		if last {
			s.after = func() {
				st.mu.Lock()
				defer st.mu.Unlock()
				delete(st.owed, p.number)
			}
		}
		b.out.put(s)
	}
	if st.index == everyone {
		inParts(b.counts.all(), sizeOfCount, func(part int, list []count, last bool) {
			m := b.message(kindShares)
			m.counts = list
			put(m, part, last)
		})
		return
	}
	inParts(st.ofLocked(0), sizeOfPresent, func(part int, list []present, last bool) {
		m := b.message(kindState)
		m.state = list
		put(m, part, last)
	})
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
	src.state, src.counts = append(src.state, m.state...), append(src.counts, m.counts...)
	if !m.last {
		return
	}
	if m.kind == kindShares {
		b.counts.replace(p.number, src.counts)
	} else {
		b.mergeLocked(st, src)
	}
	src.part, src.state, src.counts = 0, nil, nil
	b.count.synced.Add(1)
	st.syncedLocked(src, m.number)
}

// mergeLocked makes the sessions of a node those of its state. Who has come is told
// before who has left, so that a user who has another session now does not seem to
// have been away.
func (b *Bus) mergeLocked(st *stream, src *source) {
	type place struct {
		ch     channel.ID
		client string
	}
	here := make(map[place]struct{}, len(src.state))
	for _, s := range src.state {
		here[place{s.ch, s.info.Client}] = struct{}{}
		b.joinLocked(st, s, src.peer.number, src.quiet)
	}
	for _, s := range st.ofLocked(src.peer.number) {
		if _, still := here[place{s.ch, s.info.Client}]; !still {
			b.leaveLocked(st, s, src.peer.number)
		}
	}
}

package bus

import (
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file asks all nodes who is on a channel, on behalf of one that has no
// interest in it.

// MaxQueries is how many questions may wait, and how many may be under way; more
// are refused with ErrBusy.
const MaxQueries = 1024

// query is one question. It belongs to the receiver.
type query struct {
	ch       channel.ID
	brief    bool // the sessions' info is not asked for
	until    time.Time
	done     func([]*engine.ClientInfo, error) // called with the stream's lock held
	missing  map[uint32]*answer                // by peer.number: who has not answered
	sessions []*engine.ClientInfo
}

// answer is what has come of one.
type answer struct {
	part     int
	sessions []*engine.ClientInfo
}

// ask sends a question to all who are alive.
func (r *receiver) ask(q *query) {
	if len(r.asked) >= MaxQueries {
		r.conclude(q, engine.ErrBusy)
		return
	}
	q.missing = make(map[uint32]*answer)
	for _, p := range *r.bus.others.Load() {
		q.missing[p.number] = &answer{}
	}
	if len(q.missing) == 0 {
		r.conclude(q, nil)
		return
	}
	r.lastQuery++
	r.asked[r.lastQuery] = q
	m := r.bus.message(kindQuery)
	m.number, m.ch, m.brief = r.lastQuery, q.ch, q.brief
	r.bus.out.put(sending{subject: r.bus.subjects.streams[everyone], data: m.append(nil)})
}

// answer sends the sessions that this node has on a channel.
func (r *receiver) answer(p *peer, q *message) {
	b := r.bus
	st := b.streamOf(q.ch)
	var sessions []*engine.ClientInfo
	st.mu.Lock()
	for m := range st.rosters[q.ch].All() {
		switch {
		case m.Node != 0:
		case q.brief:
			sessions = append(sessions, &engine.ClientInfo{User: m.Info.User, Client: m.Info.Client})
		default:
			sessions = append(sessions, b.shown(m.Info))
		}
	}
	st.mu.Unlock()
	id, subject := q.number, b.subjects.nodes+p.id
	b.out.put(sending{do: func() {
		inParts(b.partSize(), sessions, sizeOfSession, func(part int, sessions []*engine.ClientInfo, last bool) {
			m := b.message(kindAnswer)
			m.number, m.part, m.sessions, m.last = id, part, sessions, last
			b.give(subject, m.append(nil))
		})
	}})
}

// answered takes a part of an answer. One that misses a part stays incomplete,
// and the question fails in the end.
func (r *receiver) answered(p *peer, m *message) {
	q := r.asked[m.number]
	if q == nil {
		return
	}
	a := q.missing[p.number]
	if a == nil || a.part != m.part {
		return
	}
	a.part++
	a.sessions = append(a.sessions, m.sessions...)
	if m.last {
		q.sessions = append(q.sessions, a.sessions...)
		r.answeredBy(m.number, q, p)
	}
}

// answeredBy waits for a node no more.
func (r *receiver) answeredBy(id uint64, q *query, p *peer) {
	delete(q.missing, p.number)
	if len(q.missing) == 0 {
		delete(r.asked, id)
		r.conclude(q, nil)
	}
}

// expire ends what nodes that are alive have not answered.
func (r *receiver) expire(now time.Time) {
	for id, q := range r.asked {
		if now.After(q.until) {
			delete(r.asked, id)
			r.conclude(q, engine.ErrBusy)
		}
	}
}

func (r *receiver) conclude(q *query, err error) {
	st := r.bus.streamOf(q.ch)
	st.mu.Lock()
	defer st.mu.Unlock()
	if err != nil {
		q.sessions = nil
	}
	q.done(q.sessions, err)
}

// maxPart is about how many bytes of a list go into one message where NATS takes
// twice as many.
const maxPart = 128 << 10

// MaxSessionInfo is how many bytes other nodes are told of a session where NATS
// takes four times as many. They see a larger one without its info.
const MaxSessionInfo = maxPart / 2

// partSize is maxPart, or what NATS allows.
func (b *Bus) partSize() int {
	if most := int(b.maxPayload.Load()); most > 0 {
		return min(maxPart, most/2)
	}
	return maxPart
}

// shown is what other nodes are told of a session: one that does not fit into a
// message would keep all others in its stream from being told.
func (b *Bus) shown(i *engine.ClientInfo) *engine.ClientInfo {
	if sizeOfSession(i) <= b.partSize()/2 {
		return i
	}
	b.count.unshared.Add(1)
	return &engine.ClientInfo{User: i.User, Client: i.Client}
}

func sizeOfSession(i *engine.ClientInfo) int {
	return 8 + len(i.User) + len(i.Client) + len(i.ConnInfo) + len(i.ChanInfo)
}

func sizeOfPresent(p present) int {
	return 8 + len(p.ch.App) + len(p.ch.Name) + sizeOfSession(p.info)
}

func sizeOfCount(c count) int { return 8 + len(c.key) }

// inParts calls send with a list in parts of about most bytes, at least once.
func inParts[T any](most int, list []T, size func(T) int, send func(part int, list []T, last bool)) {
	for part := 0; ; part++ {
		n, bytes := 0, 0
		for n < len(list) && (n == 0 || bytes < most) {
			bytes += size(list[n])
			n++
		}
		send(part, list[:n], n == len(list))
		if n == len(list) {
			return
		}
		list = list[n:]
	}
}

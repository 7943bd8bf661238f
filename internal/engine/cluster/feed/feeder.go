package feed

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
	"github.com/fanfare-push/fanfare/internal/pack"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Feeder feeds edge nodes with what its node has applied.
type Feeder struct {
	// Static after Feed.
	cfg      Config
	core     Core
	subjects subjects
	shards   [bus.Shards]fed
	inbound  chan *nats.Msg
	sub      *nats.Subscription
	stop     chan struct{}
	running  sync.WaitGroup

	mu    sync.Mutex
	edges map[string]*edge
}

// fed is a shard as it is fed.
type fed struct {
	mu        sync.Mutex
	number    uint64 // of what was applied last
	listeners int
}

// edge is what a feeder knows of an edge node; Feeder.mu guards it.
type edge struct {
	until  time.Time
	shards map[int]struct{} // it is fed with
	base   uint64           // it knows the end of all writes below
	next   uint64           // number of its next write
	writes map[uint64]*taken
}

// taken is a write that the edge may not know the end of.
type taken struct{ answer []byte } // nil: it has not ended

// Feed begins to feed edge nodes.
func Feed(cfg Config, core Core) (*Feeder, error) {
	cfg.setDefaults()
	f := &Feeder{
		cfg: cfg, core: core, subjects: subjectsOf(cfg.Prefix), inbound: make(chan *nats.Msg, maxInbound),
		stop: make(chan struct{}), edges: make(map[string]*edge),
	}
	var err error
	if f.sub, err = cfg.Conn.ChanSubscribe(f.subjects.node+cfg.Node, f.inbound); err != nil {
		return nil, fmt.Errorf("feed: subscribe: %w", err)
	}
	f.running.Go(f.receive)
	f.running.Go(f.beat)
	return f, nil
}

// Close tells edges to find another feeder. What they have asked for and not heard
// of they ask that one.
func (f *Feeder) Close() {
	close(f.stop)
	f.running.Wait()
	f.say(f.subjects.beat, &message{kind: kindBeat, flags: beatLeaves})
	f.cfg.Line.Do(func() { _ = f.sub.Unsubscribe() }) // fails only with the connection, and then nothing comes
}

// Publication feeds a publication that this node has applied. It is called in the
// order of each log, before the publication's done.
func (f *Feeder) Publication(memory bool, ch channel.ID, epoch string, pub *engine.Publication) {
	i := bus.Shard(ch)
	s := &f.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	if s.listeners == 0 {
		return
	}
	f.say(f.subjects.shard+f.cfg.Node+"."+strconv.Itoa(i), &message{
		kind: kindItem, shard: i, number: s.number, memory: memory, ch: ch, epoch: epoch, pub: pub,
	})
}

// Doubt says that this node has an index that it has not told of: edges compare.
func (f *Feeder) Doubt() {
	for i := range f.shards {
		s := &f.shards[i]
		s.mu.Lock()
		s.number++
		s.mu.Unlock()
	}
}

// say sends a message. One for which there is no room is missed.
func (f *Feeder) say(to string, m *message) {
	m.from = f.cfg.Node
	if err := f.cfg.Line.Send(to, m.append()); err != nil {
		f.cfg.Logger.Debug("an edge node was not told", "error", err)
	}
}

func (f *Feeder) beat() {
	tick := time.NewTicker(f.cfg.Beat)
	defer tick.Stop()
	for {
		m := &message{kind: kindBeat}
		if f.core.Status().Ready {
			m.flags |= beatReady
		}
		f.say(f.subjects.beat, m)
		f.expire(time.Now())
		select {
		case <-tick.C:
		case <-f.stop:
			return
		}
	}
}

// expire stops feeding edges that do not ask any more, and forgets them. What they may
// send again is remembered for as long as they may, so that it is not done again.
func (f *Feeder) expire(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, e := range f.edges {
		if !now.After(e.until) {
			continue
		}
		for i := range e.shards {
			f.listen(i, -1)
		}
		clear(e.shards)
		if len(e.writes) == 0 || now.Sub(e.until) > giveUp {
			delete(f.edges, id)
		}
	}
}

// listen adds to the listeners of a shard, and says which number was used last: that
// one is in the line already.
func (f *Feeder) listen(i, by int) uint64 {
	s := &f.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners += by
	return s.number
}

func (f *Feeder) receive() {
	var told time.Time // when it was last complained
	for {
		select {
		case <-f.stop:
			return
		case msg := <-f.inbound:
			m, err := decode(msg.Data)
			if err != nil {
				if now := time.Now(); now.Sub(told) > time.Second {
					told = now
					f.cfg.Logger.Error("messages of an edge node are not read", "error", err)
				}
				continue
			}
			switch m.kind {
			case kindListen:
				f.listened(m)
			case kindCall:
				f.called(m)
			}
		}
	}
}

// edgeLocked is what is known of an edge, which is there.
func (f *Feeder) edgeLocked(id string) *edge {
	e := f.edges[id]
	if e == nil {
		e = &edge{shards: make(map[int]struct{}), writes: make(map[uint64]*taken)}
		f.edges[id] = e
	}
	e.until = time.Now().Add(lease)
	return e
}

// listened feeds an edge with what it wants.
func (f *Feeder) listened(m *message) {
	reply := &message{kind: kindListening, id: m.id}
	f.mu.Lock()
	e := f.edgeLocked(m.from)
	wanted := make(map[int]struct{}, len(m.shards))
	for _, i := range m.shards {
		by := 1
		if _, fed := e.shards[i]; fed {
			by = 0
		}
		if _, twice := wanted[i]; !twice {
			wanted[i] = struct{}{}
			reply.tops = append(reply.tops, top{i, f.listen(i, by)})
		}
	}
	for i := range e.shards {
		if _, on := wanted[i]; !on {
			f.listen(i, -1)
		}
	}
	e.shards = wanted
	f.mu.Unlock()
	f.say(f.subjects.node+m.from, reply)
}

// called does what an edge asks for.
func (f *Feeder) called(m *message) {
	if m.number > 0 && !f.admit(m) {
		return
	}
	switch m.op {
	case opPublish, opRemove:
		f.write(m)
	case opHistory, opLook:
		req, err := decodeRequest(m.body)
		if err != nil {
			f.answer(m, err, nil)
			return
		}
		if m.op == opLook {
			f.look(m, req)
			return
		}
		f.core.History(req, func(res engine.HistoryResult, err error) { f.page(m, &res, err) })
	case opTops:
		f.tops(m)
	default:
		f.answer(m, fmt.Errorf("operation %d is not known to this node", m.op), nil)
	}
}

// admit takes the write that is next in its edge's order, once.
func (f *Feeder) admit(m *message) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.edgeLocked(m.from)
	for ; e.base < m.base && len(e.writes) > 0; e.base++ {
		delete(e.writes, e.base)
	}
	e.base = max(e.base, m.base)
	e.next = max(e.next, e.base)
	if m.number != e.next {
		if w := e.writes[m.number]; w != nil && w.answer != nil {
			f.send(m.from, w.answer)
		}
		return false
	}
	e.next++
	e.writes[m.number] = &taken{}
	return true
}

// write publishes or removes.
func (f *Feeder) write(m *message) {
	r := reader{pack.Reader{B: m.body}}
	var reserve bool
	var quota int64
	if m.op == opPublish {
		reserve, quota = r.flag(), int64(min(r.Uvarint(), math.MaxInt64))
	}
	if r.Failed {
		f.answer(m, pack.ErrMalformed, nil)
		return
	}
	e, err := store.DecodeEntry(r.B)
	switch {
	case err != nil:
		f.answer(m, err, nil)
	case m.op == opPublish && e.Pub != nil:
		f.core.Publish(engine.PublishRequest{
			Channel: e.Channel, Publication: *e.Pub, Retention: e.Retention, IdempotencyKey: e.Key,
			FromReserve: reserve, Quota: quota,
		}, func(res engine.PublishResult, err error) {
			f.answer(m, err, appendFlag(appendPosition(nil, res.Position), res.Duplicate))
		})
	case m.op == opRemove:
		f.core.RemoveHistory(e.Channel, e.Retention, func(err error) { f.answer(m, err, nil) })
	default:
		f.answer(m, pack.ErrMalformed, nil)
	}
}

// look answers with what there is, but for publications that fit into no message: the
// edge tells what comes after them, and whoever keeps track of positions misses them.
func (f *Feeder) look(m *message, req engine.HistoryRequest) {
	f.core.Look(req, func(res engine.HistoryResult, err error) {
		all := res.Publications
		var scratch []byte
		res.Publications = slices.DeleteFunc(slices.Clone(all), func(p *engine.Publication) bool {
			scratch = store.AppendPublication(scratch[:0], p)
			return !f.fits(overhead + len(scratch))
		})
		if len(all) > 0 && len(res.Publications) == 0 && all[len(all)-1].Offset < res.Top.Offset {
			req.Since = &engine.Position{Epoch: res.Top.Epoch, Offset: all[len(all)-1].Offset}
			f.look(m, req)
			return
		}
		f.page(m, &res, err)
	})
}

// fits reports whether NATS takes so many bytes, and what goes with them.
func (f *Feeder) fits(bytes int) bool {
	most := f.cfg.Line.MaxMessage()
	return most == 0 || bytes <= most-overhead
}

// page answers with a history, in as many messages as it takes.
func (f *Feeder) page(m *message, res *engine.HistoryResult, err error) {
	if err != nil {
		f.answer(m, err, nil)
		return
	}
	rest, most := res.Publications, maxPart
	if takes := f.cfg.Line.MaxMessage(); takes > 0 {
		most = min(most, takes-overhead)
	}
	for part := 0; ; part++ {
		var body []byte
		body, rest = appendPage(nil, res, rest, most)
		if !f.fits(len(body)) {
			f.answer(m, fmt.Errorf("a publication %w", errTooLarge), nil)
			return
		}
		f.say(f.subjects.node+m.from, &message{kind: kindAnswer, id: m.id, part: part, last: len(rest) == 0, body: body})
		if len(rest) == 0 {
			return
		}
	}
}

// tops answers where a channel stands in both kinds of logs.
func (f *Feeder) tops(m *message) {
	r := reader{pack.Reader{B: m.body}}
	ch := r.channel()
	if err := r.End("channel"); err != nil {
		f.answer(m, err, nil)
		return
	}
	look := func(d channel.Durability, done func(engine.HistoryResult, error)) {
		f.core.Look(engine.HistoryRequest{Channel: ch, Retention: engine.Retention{Size: 1, Durability: d}}, done)
	}
	look(channel.Disk, func(disk engine.HistoryResult, err error) {
		if err != nil {
			f.answer(m, err, nil)
			return
		}
		look(channel.Memory, func(memory engine.HistoryResult, err error) {
			f.answer(m, err, appendPosition(appendPosition(nil, disk.Top), memory.Top))
		})
	})
}

// answer ends a call. One whose end is not known is left without: the edge asks
// the next feeder.
func (f *Feeder) answer(m *message, err error, body []byte) {
	s, certain := statusOf(err)
	if !certain {
		return
	}
	if err != nil {
		body = []byte(err.Error())
	}
	data := (&message{kind: kindAnswer, from: f.cfg.Node, id: m.id, status: s, last: true, body: body}).append()
	if m.number > 0 {
		f.mu.Lock()
		if e := f.edges[m.from]; e != nil && e.writes[m.number] != nil {
			e.writes[m.number].answer = data
		}
		f.mu.Unlock()
	}
	f.send(m.from, data)
}

func (f *Feeder) send(edge string, data []byte) {
	if err := f.cfg.Line.Send(f.subjects.node+edge, data); err != nil {
		f.cfg.Logger.Debug("an edge node was not answered", "error", err)
	}
}

package bus

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/pack"
)

// This file asks all nodes a question that only their Followers can answer. It has
// subjects and goroutines of its own: an answer may take its time, and what happens
// on channels does not wait for it.

const (
	// MaxAsked is how many questions of this node may be under way; more are refused
	// with ErrBusy.
	MaxAsked = 256
	// maxPut is how many questions of others may wait for this node to answer them;
	// NATS drops more, whose askers give up after QueryWait.
	maxPut = 256
	// forumTick is how often is looked for nodes that have died, and questions whose
	// time is over.
	forumTick = 100 * time.Millisecond
)

// forum is what is asked of nodes.
type forum struct {
	bus     *Bus
	put     chan *nats.Msg // questions of others
	given   chan *nats.Msg // their answers
	subs    []*nats.Subscription
	running sync.WaitGroup

	mu    sync.Mutex
	last  uint64
	asked map[uint64]*inquiry // by id; nil: closed
}

// inquiry is a question of this node.
type inquiry struct {
	until   time.Time
	missing []string // nodes that have not answered
	answers []engine.Answer
	done    func([]engine.Answer, error)
}

func newForum(b *Bus) (*forum, error) {
	f := &forum{
		bus: b, put: make(chan *nats.Msg, maxPut), given: make(chan *nats.Msg, maxPut), asked: make(map[uint64]*inquiry),
	}
	for subject, to := range map[string]chan *nats.Msg{b.subjects.questions: f.put, b.subjects.answers: f.given} {
		sub, err := b.cfg.Conn.ChanSubscribe(subject+b.cfg.Node, to)
		if err != nil {
			f.unsubscribe()
			return nil, fmt.Errorf("bus: subscribe: %w", err)
		}
		f.subs = append(f.subs, sub)
	}
	return f, nil
}

func (f *forum) unsubscribe() {
	for _, sub := range f.subs {
		_ = sub.Unsubscribe() // fails only with the connection, and then nothing comes
	}
}

func (f *forum) start() {
	f.running.Go(f.answer)
	f.running.Go(f.listen)
}

// close answers what is under way with ErrClosed.
func (f *forum) close() {
	f.running.Wait()
	f.mu.Lock()
	asked := f.asked
	f.asked = nil
	f.mu.Unlock()
	for _, q := range asked {
		q.done(nil, engine.ErrClosed)
	}
	f.bus.out.put(sending{do: f.unsubscribe})
}

// Ask implements engine.Peers.
func (b *Bus) Ask(question []byte, done func([]engine.Answer, error)) {
	if !b.door.Enter() {
		done(nil, engine.ErrClosed)
		return
	}
	finished, err := b.forum.ask(question, done)
	b.door.Leave()
	if finished {
		done(nil, err)
	}
}

// ask reports what has come of the question already.
func (f *forum) ask(question []byte, done func([]engine.Answer, error)) (finished bool, err error) {
	b := f.bus
	others := b.Alive()
	if len(others) == 0 {
		return true, nil
	}
	if len(question) > engine.MaxQuestion {
		return true, fmt.Errorf("a question of %d bytes, at most %d are allowed", len(question), engine.MaxQuestion)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.asked == nil:
		return true, engine.ErrClosed
	case len(f.asked) >= MaxAsked:
		b.count.queueFull.Add(1)
		return true, engine.ErrBusy
	}
	f.last++
	f.asked[f.last] = &inquiry{until: time.Now().Add(b.cfg.QueryWait), missing: others, done: done}
	data := f.append(f.last, true, question)
	for _, node := range slices.Clone(others) {
		if err := b.out.publish(b.subjects.questions+node, data); err != nil {
			delete(f.asked, f.last)
			b.count.queueFull.Add(1)
			return true, err
		}
	}
	return false, nil
}

// append is a question or an answer as protocol.go has it.
func (f *forum) append(id uint64, understood bool, what []byte) []byte {
	dst := pack.AppendString(append(make([]byte, 0, overhead+len(what)), version), f.bus.cfg.Node)
	dst = appendFlag(binary.AppendUvarint(dst, id), understood)
	return append(dst, what...)
}

// read reads what append wrote; false: it cannot be read, and is counted.
func (f *forum) read(data []byte) (from string, id uint64, understood bool, what []byte, ok bool) {
	r := reader{pack.Reader{B: data}}
	if r.Version(version, "message") == nil {
		from, id, understood = r.String(), r.Uvarint(), r.flag()
		ok = !r.Failed && isNode(from)
	}
	if !ok {
		f.bus.count.malformed.Add(1)
	}
	return from, id, understood, r.B, ok
}

// answer answers others, one question after the other.
func (f *forum) answer() {
	b := f.bus
	select {
	case <-b.attached:
	case <-b.stop:
		return
	}
	for {
		select {
		case msg := <-f.put:
			from, id, _, question, ok := f.read(msg.Data)
			if !ok {
				continue
			}
			var data []byte
			if b.respondent != nil {
				data = b.respondent.Answer(question)
			}
			if len(data) > engine.MaxAnswer {
				b.cfg.Logger.Error("an answer to another node is too long", "bytes", len(data))
				data = nil
			}
			if b.out.publish(b.subjects.answers+from, f.append(id, data != nil, data)) != nil {
				b.count.queueFull.Add(1) // who asks gives up after QueryWait
			}
		case <-b.stop:
			return
		}
	}
}

// listen takes the answers of others.
func (f *forum) listen() {
	tick := time.NewTicker(forumTick)
	defer tick.Stop()
	for {
		select {
		case msg := <-f.given:
			if from, id, understood, data, ok := f.read(msg.Data); ok {
				f.answered(from, id, understood, data)
			}
		case now := <-tick.C:
			f.expire(now)
		case <-f.bus.stop:
			return
		}
	}
}

// answered takes one answer. A node that does not understand the question, being
// older, leaves it without an answer of all.
func (f *forum) answered(from string, id uint64, understood bool, data []byte) {
	f.mu.Lock()
	q := f.asked[id]
	i := -1
	if q != nil {
		i = slices.Index(q.missing, from)
	}
	if i < 0 {
		f.mu.Unlock()
		return
	}
	q.missing = slices.Delete(q.missing, i, i+1)
	q.answers = append(q.answers, engine.Answer{Node: from, Data: data})
	complete := len(q.missing) == 0
	if complete || !understood {
		delete(f.asked, id)
	}
	f.mu.Unlock()
	switch {
	case !understood:
		q.done(nil, engine.ErrBusy)
	case complete:
		q.done(q.answers, nil)
	}
}

// expire waits no longer for nodes that are dead, nor for those that are too slow.
func (f *forum) expire(now time.Time) {
	type end struct {
		*inquiry

		err error
	}
	var ended []end
	f.mu.Lock()
	for id, q := range f.asked {
		q.missing = slices.DeleteFunc(q.missing, func(node string) bool { return f.bus.other(node) == nil })
		switch {
		case len(q.missing) == 0:
			ended = append(ended, end{q, nil})
		case now.After(q.until):
			ended = append(ended, end{q, engine.ErrBusy})
		default:
			continue
		}
		delete(f.asked, id)
	}
	f.mu.Unlock()
	for _, q := range ended {
		if q.err != nil {
			q.answers = nil
		}
		q.done(q.answers, q.err)
	}
}

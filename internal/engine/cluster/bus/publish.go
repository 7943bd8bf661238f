package bus

import (
	"fmt"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Publish hands a publication without offset to the Follower of this node and, in
// the same order, to those of others that follow the channel. done is called once
// it is queued for them: with ErrBusy when too much is, ErrClosed, or an internal
// error when it is larger than NATS takes; nothing is then delivered. A Time of 0
// is set.
func (b *Bus) Publish(ch channel.ID, pub *engine.Publication, done func(error)) {
	if !b.door.Enter() {
		done(engine.ErrClosed)
		return
	}
	err := b.publish(ch, pub)
	b.door.Leave()
	done(err)
}

func (b *Bus) publish(ch channel.ID, pub *engine.Publication) error {
	if pub.Time == 0 {
		pub.Time = b.cfg.Now().UnixMilli()
	}
	st := b.streamOf(ch)
	st.mu.Lock()
	defer st.mu.Unlock()
	m := b.message(kindPublication)
	m.ch, m.pub = ch, pub
	if err := b.sayLocked(st, m); err != nil {
		return err
	}
	b.follower.Publication(ch, "", pub)
	return nil
}

// overhead is about what a message takes besides its publication's data.
const overhead = 256

// sayLocked numbers a message and queues it for whoever listens to the stream. An
// error says that it was not. What is said while nobody seems to be there is not
// sent, but has its number: who is there all the same has missed it.
func (b *Bus) sayLocked(st *stream, m *message) error {
	if b.alone() {
		st.number++
		return nil
	}
	size := overhead
	if m.pub != nil {
		size += len(m.pub.Data)
	}
	m.number = st.number + 1
	data := m.append(make([]byte, 0, size))
	if err := b.queue(b.subjects.streams[st.index], data); err != nil {
		return err
	}
	st.number++
	return nil
}

// queue queues what may be refused.
func (b *Bus) queue(subject string, data []byte) error {
	if most := b.maxPayload.Load(); int64(len(data)) > most && most > 0 {
		return fmt.Errorf("%d bytes to tell other nodes, NATS takes %d", len(data), most)
	}
	if err := b.out.publish(subject, data); err != nil {
		b.count.queueFull.Add(1)
		return err
	}
	return nil
}

// changeLocked numbers a change and queues it. Where there is no room its number
// is missed, and the others ask for what there is.
func (b *Bus) changeLocked(st *stream, m *message) {
	st.number++
	if b.alone() {
		return
	}
	m.number = st.number
	if !b.out.change(b.subjects.streams[st.index], m.append(make([]byte, 0, overhead))) {
		b.count.unshared.Add(1)
	}
}

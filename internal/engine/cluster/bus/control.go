package bus

import (
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Control implements engine.Controller. done is called once the operation is
// queued for other nodes and this node's Follower was told: with ErrUnknownNode,
// ErrBusy when too much is queued, ErrClosed, or an internal error when it is
// larger than NATS takes; nobody is then told.
func (b *Bus) Control(c engine.Control, done func(error)) {
	if !b.door.Enter() {
		done(engine.ErrClosed)
		return
	}
	err := b.control(&c)
	b.door.Leave()
	done(err)
}

func (b *Bus) control(c *engine.Control) error {
	m := b.message(kindControl)
	m.control = c
	switch {
	case c.Node == b.cfg.Node:
	case c.Node != "":
		if b.other(c.Node) == nil {
			return engine.ErrUnknownNode
		}
		return b.queue(b.subjects.nodes+c.Node, m.append(make([]byte, 0, overhead+len(c.Data))))
	default:
		if err := b.tellEveryone(m); err != nil {
			return err
		}
	}
	b.perform(c)
	return nil
}

func (b *Bus) tellEveryone(m *message) error {
	st := &b.streams[everyone]
	st.mu.Lock()
	defer st.mu.Unlock()
	return b.sayLocked(st, m)
}

// perform tells the Follower, in line with what else it is told of the channel.
func (b *Bus) perform(c *engine.Control) {
	st := b.streamOf(channel.ID{App: c.App, Name: c.Channel})
	st.mu.Lock()
	defer st.mu.Unlock()
	b.follower.Control(*c)
}

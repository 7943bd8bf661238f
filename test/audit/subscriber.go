package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
	"github.com/fanfare-push/fanfare/test/wire"
)

// subscriber is shown one channel and comes back with its position whenever its
// connection ends.
type subscriber struct {
	*audit
	channel string
	name    string
	random  *rand.Rand
	events  []check.Event
	epoch   string
	last    atomic.Uint64 // offset that it was shown
	began   bool
}

const (
	cutOneIn      = 3 // connections are also cut by the network
	maxConnection = 4 * time.Second
	helloTimeout  = 10 * time.Second
)

// errGone says that the connection or the server ended, as both do again and again.
var errGone = errors.New("gone")

func (s *subscriber) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.connection(ctx); !errors.Is(err, errGone) {
			return fmt.Errorf("subscriber %s: %w", s.name, err)
		}
		_ = pause(ctx, upTo(s.random, 2*retryAfter))
	}
	return nil
}

// connection is one connection from its dial to its end, which is errGone. Any
// other error is an answer that a client could do nothing with.
func (s *subscriber) connection(ctx context.Context) error {
	srv, err := s.node.current(ctx)
	if err != nil {
		return errGone
	}
	hello, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	c, err := wire.Connect(hello, srv.WebSocketURL())
	if err != nil {
		return errGone
	}
	defer c.Drop()
	if err := s.subscribe(hello, c); err != nil {
		return err
	}
	if s.random.IntN(cutOneIn) == 0 {
		var cut context.CancelFunc
		ctx, cut = context.WithTimeout(ctx, upTo(s.random, maxConnection))
		defer cut()
	}
	return s.listen(ctx, c)
}

// subscribe asks from where the subscriber stands.
func (s *subscriber) subscribe(ctx context.Context, c *wire.Conn) error {
	command := fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q,"recover":%t,"epoch":%q,"offset":%d}}`, s.channel, s.began, s.epoch, s.last.Load())
	if c.Send(ctx, command) != nil {
		return errGone
	}
	m, err := c.Reply(ctx, 2)
	if err != nil || m.Error != nil && m.Error.Temporary {
		return errGone
	}
	if m.Subscribe == nil {
		return fmt.Errorf("subscribe: %s", m.Raw)
	}
	offset := m.Subscribe.Offset
	if s.began {
		offset = s.last.Load()
	}
	s.events = append(s.events, check.Event{Subscribed: &check.Subscribed{
		Epoch: m.Subscribe.Epoch, Offset: offset, Recovering: s.began && m.Subscribe.WasRecovering, Recovered: m.Subscribe.Recovered,
	}})
	s.began, s.epoch = true, m.Subscribe.Epoch
	s.last.Store(offset)
	for _, pub := range m.Subscribe.Publications {
		if err := s.shown(pub); err != nil {
			return err
		}
	}
	return nil
}

func (s *subscriber) listen(ctx context.Context, c *wire.Conn) error {
	for {
		m, err := c.Next(ctx)
		if err != nil {
			return errGone
		}
		switch {
		case m.Push == nil:
		case m.Push.Pub != nil:
			if err := s.shown(*m.Push.Pub); err != nil {
				return err
			}
		case m.Push.Unsubscribe != nil:
			return errGone // to subscribe again
		}
	}
}

func (s *subscriber) shown(pub wire.Publication) error {
	e, err := entry(pub.Offset, pub.Data)
	if err != nil {
		return err
	}
	s.events = append(s.events, check.Event{Entry: &e})
	s.last.Store(max(s.last.Load(), e.Offset))
	return nil
}

// entry is a publication as the check knows it.
func entry(offset uint64, data json.RawMessage) (check.Entry, error) {
	var content struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(data, &content); err != nil {
		return check.Entry{}, fmt.Errorf("content of offset %d: %w", offset, err)
	}
	return check.Entry{Offset: offset, ID: content.ID, Sum: check.Sum(data)}, nil
}

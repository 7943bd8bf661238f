package crowd

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
	*Crowd
	way     Way
	channel string
	home    int
	name    string
	random  *rand.Rand
	events  []check.Event
	began   bool
	epoch   string
	last    atomic.Uint64          // offset that it was shown; with Live, where the channel stood when it was subscribed
	latest  atomic.Pointer[string] // the id of what it was shown last
}

// Way is how a subscriber speaks.
type Way struct {
	Name string
	Live bool // its protocol has no positions
	// connection is one connection to the server at addr, from its dial to its end.
	// hello bounds what comes before it listens. A *wrong is an answer that a client could do
	// nothing with; any other error is the network's or the server's, and the
	// client comes back.
	connection func(hello, listen context.Context, s *subscriber, addr string) error
}

const (
	cutOneIn      = 3 // connections are also cut by the network; who Moves keeps one in so many
	maxConnection = 4 * time.Second
	helloTimeout  = 10 * time.Second
)

// wrong is an answer that a client could do nothing with.
type wrong struct{ text string }

func (w *wrong) Error() string { return w.text }

func wrongf(format string, args ...any) error { return &wrong{fmt.Sprintf(format, args...)} }

// errGone says that the connection or the server ended, as both do again and again.
var errGone = errors.New("gone")

func (s *subscriber) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.connect(ctx)
		var w *wrong
		if errors.As(err, &w) {
			return fmt.Errorf("subscriber %s, %s: %w", s.name, s.way.Name, err)
		}
		_ = pause(ctx, upTo(s.random, 2*retryAfter))
	}
	return nil
}

func (s *subscriber) connect(ctx context.Context) error {
	addr, err := s.Find(ctx, s.home, s.random)
	if err != nil {
		return err
	}
	listen, leave := context.WithCancel(ctx)
	defer leave()
	if (s.random.IntN(cutOneIn) == 0) != s.Moves {
		listen, leave = context.WithTimeout(ctx, upTo(s.random, maxConnection))
		defer leave()
	}
	hello, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	return s.way.connection(hello, listen, s, addr)
}

// subscribed notes the reply to a subscribe.
func (s *subscriber) subscribed(epoch string, offset uint64, recovering, recovered bool) {
	if s.began && !s.way.Live {
		offset = s.last.Load()
	}
	s.events = append(s.events, check.Event{Subscribed: &check.Subscribed{
		Epoch: epoch, Offset: offset, Recovering: s.began && recovering, Recovered: recovered,
	}})
	s.began, s.epoch = true, epoch
	s.last.Store(offset)
}

func (s *subscriber) shown(offset uint64, data json.RawMessage) error {
	e, err := entry(offset, data)
	if err != nil {
		return wrongf("%s", err)
	}
	s.events = append(s.events, check.Event{Entry: &e})
	s.last.Store(max(s.last.Load(), e.Offset))
	s.latest.Store(&e.ID)
	return nil
}

// done says whether it has been shown the channel's end, or was subscribed after
// it.
func (s *subscriber) done(ch *check.Channel) bool {
	if ch == nil || len(ch.Entries) == 0 || s.last.Load() >= ch.Top {
		return true
	}
	latest := s.latest.Load()
	return s.way.Live && latest != nil && *latest == ch.Entries[len(ch.Entries)-1].ID
}

// OverWebSocket speaks the Centrifuge protocol in JSON.
var OverWebSocket = Way{Name: "WebSocket", connection: func(hello, listen context.Context, s *subscriber, addr string) error {
	c, err := wire.Connect(hello, "ws://"+addr+"/connection/websocket")
	if err != nil {
		return err
	}
	defer c.Drop()
	if err := c.Send(hello, s.subscribe()); err != nil {
		return err
	}
	m, err := c.Reply(hello, subscribeID)
	for ; err == nil; m, err = c.Next(listen) {
		if err := s.take(&m); err != nil {
			return err
		}
	}
	return err
}}

const subscribeID = 2

// subscribe is the command that asks from where the subscriber stands.
func (s *subscriber) subscribe() string {
	return fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q,"recover":%t,"epoch":%q,"offset":%d}}`,
		subscribeID, s.channel, s.began, s.epoch, s.last.Load())
}

// take notes one message of the Centrifuge protocol.
func (s *subscriber) take(m *wire.Message) error {
	switch {
	case m.Error != nil && m.Error.Temporary:
		return errGone
	case m.Error != nil:
		return wrongf("%s", m.Raw)
	case m.Subscribe != nil:
		s.subscribed(m.Subscribe.Epoch, m.Subscribe.Offset, m.Subscribe.WasRecovering, m.Subscribe.Recovered)
		for _, pub := range m.Subscribe.Publications {
			if err := s.shown(pub.Offset, pub.Data); err != nil {
				return err
			}
		}
	case m.ID == subscribeID:
		return wrongf("subscribe: %s", m.Raw)
	case m.Push == nil:
	case m.Push.Pub != nil:
		return s.shown(m.Push.Pub.Offset, m.Push.Pub.Data)
	case m.Push.Unsubscribe != nil:
		return errGone // to subscribe again
	}
	return nil
}

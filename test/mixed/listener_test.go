package mixed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
)

// listener is one subscriber of the channel, over all its connections.
type listener struct {
	*run
	name    string
	network *network
	random  *rand.Rand
	live    bool // its protocol has no positions
	// connect opens one connection and listens until it ends.
	connect func(ctx context.Context, l *listener) error

	events []check.Event
	began  bool
	epoch  string
	stands atomic.Uint64          // how far it has seen all that it has to
	latest atomic.Pointer[string] // the id of what it was shown last
	resume string                 // the position of a plain client
}

// protocolError is an answer that a client could do nothing with; any other error
// is the network's.
type protocolError struct{ text string }

func (p *protocolError) Error() string { return p.text }

func wrong(format string, args ...any) error { return &protocolError{fmt.Sprintf(format, args...)} }

// listen comes back again and again until ctx ends.
func (l *listener) listen(ctx context.Context) error {
	defer l.network.close()
	for ctx.Err() == nil {
		err := l.connect(ctx, l)
		var bad *protocolError
		if errors.As(err, &bad) {
			return fmt.Errorf("%s: %w", l.name, bad)
		}
		_ = pause(ctx, time.Duration(l.random.Int64N(int64(20*time.Millisecond))))
	}
	return nil
}

// subscribed notes the reply to a subscribe; offset is where it stands in the
// channel if it has only just come.
func (l *listener) subscribed(epoch string, offset uint64, recovered bool) {
	if l.began && !l.live {
		offset = l.stands.Load()
	}
	l.events = append(l.events, check.Event{Subscribed: &check.Subscribed{Epoch: epoch, Offset: offset, Recovering: l.began, Recovered: recovered}})
	l.epoch = epoch
	l.stands.Store(max(offset, l.stands.Load()))
	if !l.began {
		l.began = true
		l.ready.Done()
	}
}

// shown notes a publication; offset is 0 where the protocol has none.
func (l *listener) shown(offset uint64, c content) error {
	id, err := idOf(c.Data, c.Event)
	if err != nil {
		return wrong("%s", err.Error())
	}
	if l.live { // what its protocol cannot carry
		made := l.made.of(id)
		c.Tags, c.Client = made.Tags, made.Client
	}
	l.events = append(l.events, check.Event{Entry: &check.Entry{Offset: offset, ID: id, Sum: c.sum()}})
	l.latest.Store(&id)
	l.stands.Store(max(l.stands.Load(), offset))
	return nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

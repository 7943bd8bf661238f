package leave

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/wire"
)

// shutdown is the code of a node that tells a client to come back.
const shutdown = 3001

// traveller is a client that knows all nodes, as a balancer does, and goes to the
// next when one ends its connection or does not take it.
type traveller struct {
	nodes *trio.Trio
	at    int // the node that it tries next
	away  []absence
}

// absence is the time between a connection's end and the next that is subscribed.
type absence struct {
	from  int // node
	began time.Time
	took  time.Duration
}

// travellers are some, evenly on all nodes.
type travellers struct {
	all   []*traveller
	group sync.WaitGroup
	stop  context.CancelFunc

	mu   sync.Mutex
	errs []error
}

// send starts n travellers, and returns once all are subscribed.
func send(ctx context.Context, nodes *trio.Trio, n int) (*travellers, error) {
	ts := &travellers{}
	var running context.Context
	running, ts.stop = context.WithCancel(ctx)
	arrived := make(chan struct{}, n)
	for i := range n {
		t := &traveller{nodes: nodes, at: i % trio.Size}
		ts.all = append(ts.all, t)
		ts.group.Go(func() {
			if err := t.run(running, func() { arrived <- struct{}{} }); err != nil {
				ts.mu.Lock()
				ts.errs = append(ts.errs, err)
				ts.mu.Unlock()
			}
		})
	}
	for range n {
		select {
		case <-arrived:
		case <-ctx.Done():
			return ts, errors.Join(ctx.Err(), ts.end())
		}
	}
	return ts, nil
}

// end has all go home, and says what went wrong with any.
func (ts *travellers) end() error {
	ts.stop()
	ts.group.Wait()
	return errors.Join(ts.errs...)
}

// run stays connected until ctx ends; arrived is called the first time.
func (t *traveller) run(ctx context.Context, arrived func()) error {
	var left absence
	for {
		c := t.find(ctx)
		if c == nil {
			return nil
		}
		if arrived != nil {
			arrived()
			arrived = nil
		} else {
			left.took = time.Since(left.began)
			t.away = append(t.away, left)
		}
		code, said := stay(ctx, c)
		left = absence{from: t.at, began: time.Now()}
		c.Drop()
		if code != shutdown && ctx.Err() == nil {
			return fmt.Errorf("a node that leaves says %q, not to come back", said)
		}
		t.at = (t.at + 1) % trio.Size
	}
}

// find goes from node to node until one takes it; nil: ctx has ended.
func (t *traveller) find(ctx context.Context) *wire.Conn {
	for ctx.Err() == nil {
		c, err := t.connect(ctx)
		if err == nil {
			return c
		}
		t.at = (t.at + 1) % trio.Size
		pause(ctx, 50*time.Millisecond)
	}
	return nil
}

// attempt bounds one connection to a node, until it is subscribed.
const attempt = 5 * time.Second

func (t *traveller) connect(ctx context.Context) (*wire.Conn, error) {
	srv := t.nodes.Server(t.at)
	if srv == nil {
		return nil, errors.New("it is down")
	}
	hello, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	c, err := wire.Connect(hello, srv.WebSocketURL())
	if err != nil {
		return nil, err
	}
	err = c.Send(hello, `{"id":2,"subscribe":{"channel":"quiet"}}`)
	var m wire.Message
	if err == nil {
		m, err = c.Reply(hello, 2)
	}
	if err == nil && m.Error != nil {
		err = fmt.Errorf("subscribe: %s", m.Raw)
	}
	if err != nil {
		c.Drop()
		return nil, err
	}
	return c, nil
}

// stay reads until the connection ends, and tells the code of its close frame (0:
// there was none) and what else is known.
func stay(ctx context.Context, c *wire.Conn) (code int, said string) {
	for {
		_, err := c.Next(ctx)
		var closed *wire.Closed
		switch {
		case errors.As(err, &closed):
			return closed.Code, closed.Error()
		case err != nil:
			return 0, err.Error()
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

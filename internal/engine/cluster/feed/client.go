package feed

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
)

// Follower is told what was published with history, on one goroutine.
type Follower func(ch channel.ID, epoch string, pub *engine.Publication)

// Client is the edge's side: it asks the feeder, and is fed by it. Its methods are
// safe for use by any goroutine.
type Client struct {
	// Static after Attach.
	cfg      Config
	tell     Follower
	subjects subjects
	shards   [bus.Shards]shard
	inbound  chan *nats.Msg
	wake     chan struct{} // capacity 1: there is something in fresh
	stop     chan struct{}
	running  sync.WaitGroup

	count   counters
	wishing sync.Mutex  // held while the feeder is told what is wanted
	mute    atomic.Bool // a Follow has waited in vain, and the feed has not come since

	mu      sync.Mutex
	closed  bool
	feeder  string // id of the node; "": there is none
	wishes  uint64 // id of the last wish to be fed
	calls   map[uint64]*call
	former  map[uint64]*call // by ids they had before
	bytes   int64
	lastID  uint64
	number  uint64  // of the last write
	writes  []*call // in their order; what is ended leaves from the front
	idle    chan struct{}
	fresh   []*followed // channels to be looked after
	unready string      // what Status says, as of the last tick; "": it is ready

	subs []*nats.Subscription // owned by the line

	// Owned by the client's goroutine.
	feeders map[string]*candidate
	ticked  time.Time
	beaten  time.Time // when the feeder was last asked to go on
	fed     time.Time // when it last said that it does
	checks  []*followed
	asked   int // checks under way
	later   []*followed
	again   []func()  // reads that the feeder could not answer yet
	sound   time.Time // when all was well last
	told    time.Time // when it was last complained of what cannot be read
	starved time.Time // since when the feeder is not ready; zero: it is
}

// shard is what is followed in a shard.
type shard struct {
	index int

	mu       sync.Mutex
	channels map[channel.ID]*followed
	active   int       // channels followed
	idle     time.Time // since when none is
	wanted   bool      // the feed is asked for
	wish     uint64    // with this wish, or a later one
	live     bool      // it comes
	joined   chan struct{}

	seen uint64             // number of what came last; owned by the client's goroutine
	sub  *nats.Subscription // owned by the line
}

// Counters is what a Client counted, and what it holds now.
type Counters struct {
	Items    uint64 // publications that came
	Gaps     uint64 // numbers that did not follow the one before
	Checked  uint64 // channels compared with where they stand
	Fetched  uint64 // publications looked up
	Changes  uint64 // of the feeder
	Resent   uint64 // calls sent again
	Refused  uint64 // calls refused: too many were in flight, or there was no feeder
	Calls    int    // in flight
	Channels int    // followed
}

type counters struct {
	items, gaps, checked, fetched, changes, resent, refused atomic.Uint64
}

// New makes a client, which does nothing until Attach.
func New(cfg Config) *Client {
	cfg.setDefaults()
	c := &Client{
		cfg: cfg, subjects: subjectsOf(cfg.Prefix), inbound: make(chan *nats.Msg, maxInbound),
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
		calls: make(map[uint64]*call), former: make(map[uint64]*call), feeders: make(map[string]*candidate),
	}
	c.unready = noFeeder
	for i := range c.shards {
		c.shards[i].index, c.shards[i].channels = i, make(map[channel.ID]*followed)
	}
	return c
}

// Attach begins to look for a feeder.
func (c *Client) Attach(tell Follower) {
	c.tell = tell
	c.cfg.Line.Do(func() {
		for _, subject := range []string{c.subjects.beat, c.subjects.node + c.cfg.Node} {
			sub, err := c.cfg.Conn.ChanSubscribe(subject, c.inbound)
			if err != nil { // the connection is closed, as Status of the bus says
				c.cfg.Logger.Error("cannot listen to core nodes", "error", err)
				return
			}
			c.subs = append(c.subs, sub)
		}
	})
	c.running.Go(c.run)
}

func (c *Client) unsubscribe() {
	for _, sub := range c.subs {
		_ = sub.Unsubscribe() // fails only with the connection, and then nothing comes
	}
	for i := range c.shards {
		if sub := c.shards[i].sub; sub != nil {
			_ = sub.Unsubscribe()
		}
	}
}

// Counters is a snapshot.
func (c *Client) Counters() Counters {
	n := &c.count
	s := Counters{
		Items: n.items.Load(), Gaps: n.gaps.Load(), Checked: n.checked.Load(), Fetched: n.fetched.Load(),
		Changes: n.changes.Load(), Resent: n.resent.Load(), Refused: n.refused.Load(),
	}
	c.mu.Lock()
	s.Calls = len(c.calls)
	c.mu.Unlock()
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		s.Channels += sh.active
		sh.mu.Unlock()
	}
	return s
}

// Feeder is the id of the node that feeds this one; "": there is none.
func (c *Client) Feeder() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.feeder
}

// Status says whether there is a feeder, and all that is followed is fed.
func (c *Client) Status() engine.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return engine.Status{Ready: c.unready == "", Reason: c.unready}
}

// Close waits for what is in flight for at most CloseWait, answers the rest with
// ErrClosed, and returns when every goroutine is gone.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	idle := make(chan struct{})
	if len(c.calls) == 0 {
		close(idle)
	} else {
		c.idle = idle
	}
	c.mu.Unlock()
	timer := time.NewTimer(c.cfg.CloseWait)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
	close(c.stop)
	c.running.Wait()
	c.cfg.Line.Do(c.unsubscribe)
}

// run is the goroutine that hears, tells the Follower, and answers.
func (c *Client) run() {
	defer c.end()
	tick := time.NewTicker(c.cfg.Beat / ticksPerBeat)
	defer tick.Stop()
	c.ticked = time.Now()
	for {
		select {
		case <-c.stop:
			return
		case msg := <-c.inbound:
			c.hear(msg.Data)
		case <-c.wake:
			c.takeFresh()
		case <-tick.C:
			c.tick(time.Now())
		}
		c.check()
	}
}

// end answers what nobody will answer any more.
func (c *Client) end() {
	c.mu.Lock()
	left := slices.SortedFunc(maps.Values(c.calls), func(a, b *call) int { return int(a.id) - int(b.id) })
	c.mu.Unlock()
	for _, x := range left {
		c.finish(x, engine.ErrClosed)
	}
	for _, ask := range c.again {
		ask() // is answered with ErrClosed
	}
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		sh.joinedLocked()
		for _, f := range sh.channels {
			for l := range f.lanes {
				f.lanes[l].release()
			}
		}
		sh.mu.Unlock()
	}
}

// hear looks at one message.
func (c *Client) hear(data []byte) {
	m, err := decode(data)
	if err != nil {
		if now := time.Now(); now.Sub(c.told) > time.Second {
			c.told = now
			c.cfg.Logger.Error("messages of a core node are not read", "error", err)
		}
		return
	}
	if m.kind == kindBeat {
		c.heard(m)
		return
	}
	if m.from != c.Feeder() {
		return // it was the feeder once
	}
	switch m.kind {
	case kindListening:
		c.listening(m)
	case kindItem:
		c.item(m)
	case kindAnswer:
		c.answered(m)
	}
}

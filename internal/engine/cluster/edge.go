package cluster

import (
	"sync"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/feed"
)

// Edge is an edge node's part of a cluster: it holds connections, and nothing of the
// logs. What has history it asks a core node for, and is fed with by it; all else goes
// over the bus, as on every node.
type Edge struct {
	*beside

	// Static after OpenEdge.
	feed    *feed.Client
	stop    chan struct{}
	sweeper sync.WaitGroup

	door engine.Door
}

var _ engine.Engine = (*Edge)(nil)

// OpenEdge joins a cluster whose core nodes feed. It does not wait for them: Status
// tells when there is one. Of cfg nothing is used that is about logs and indexes.
func OpenEdge(cfg Config) (*Edge, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b, err := newBeside(&cfg)
	if err != nil {
		return nil, err
	}
	e := &Edge{beside: b, stop: make(chan struct{})}
	e.feed = feed.New(feed.Config{
		Conn: cfg.Conn, Line: b.bus, Node: cfg.Node, Prefix: cfg.Name, Logger: cfg.Logger,
		PublishWait: cfg.PublishWait, ReadWait: cfg.BarrierWait + cfg.PublishWait, CloseWait: cfg.CloseWait,
		MaxCalls: cfg.QueueEntries, MaxBytes: cfg.QueueBytes,
	})
	e.sweeper.Go(func() { b.sweep(cfg.TickEvery, e.stop) })
	return e, nil
}

// Attach implements engine.Interest.
func (e *Edge) Attach(f engine.Follower) {
	e.attach(f)
	e.feed.Attach(e.follower.Publication)
}

// Follow implements engine.Interest.
func (e *Edge) Follow(ch channel.ID) {
	e.bus.Follow(ch)
	e.feed.Follow(ch)
}

// Unfollow implements engine.Interest.
func (e *Edge) Unfollow(ch channel.ID) {
	e.feed.Unfollow(ch)
	e.bus.Unfollow(ch)
}

// Publish implements engine.Publisher. What has history is answered once a core node
// has applied it, and this node's Follower was told; what a core node that dies has not
// answered is sent to another, and stored once.
func (e *Edge) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	if req.Retention.Kept() && !req.SkipHistory {
		e.feed.Publish(&req, done)
		return
	}
	pub := req.Publication
	pub.Offset = 0
	res, err := engine.PublishResult{}, engine.ErrClosed
	if e.door.Enter() {
		res, err = e.pass(&req, &pub)
		e.door.Leave()
	}
	done(res, err)
}

// History implements engine.Historian, by what the feeder has.
func (e *Edge) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	if req.Retention.Kept() {
		e.feed.History(&req, done)
		return
	}
	done(engine.HistoryResult{}, e.door.Err())
}

// RemoveHistory implements engine.Historian.
func (e *Edge) RemoveHistory(ch channel.ID, r engine.Retention, done func(error)) {
	if r.Kept() {
		e.feed.Remove(ch, r, done)
		return
	}
	done(e.door.Err())
}

// Status implements engine.Engine.
func (e *Edge) Status() engine.Status {
	if s := e.bus.Status(); !s.Ready {
		return s
	}
	return e.feed.Status()
}

// Feed is the way to the core nodes.
func (e *Edge) Feed() *feed.Client { return e.feed }

// Close implements engine.Engine. What no core node has answered after CloseWait is
// answered with ErrClosed.
func (e *Edge) Close() error {
	if !e.door.Close() {
		return nil
	}
	close(e.stop)
	e.sweeper.Wait()
	e.feed.Close()
	return e.bus.Close()
}

package cluster

import (
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/copies"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/feed"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Engine is this node's part of a cluster.
type Engine struct {
	*beside

	// Static after Open.
	cfg      Config
	copies   *copies.Server
	feeder   *feed.Feeder // nil: it feeds nobody
	disk     []*partition // the log of a channel is the one at its place
	memory   []*partition
	stop     chan struct{}
	watcher  sync.WaitGroup
	attached chan struct{}

	handovers *nats.Subscription
	door      engine.Door
}

var _ engine.Engine = (*Engine)(nil)

// Open joins the cluster. It does not wait for other nodes or for the logs:
// Status tells when they are there. Errors are those of the settings and of
// store.Open.
func Open(cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b, err := newBeside(&cfg)
	if err != nil {
		return nil, err
	}
	e := &Engine{beside: b, cfg: cfg, stop: make(chan struct{}), attached: make(chan struct{})}
	for _, memory := range []bool{false, true} {
		for i := range cfg.Logs {
			p, err := newPartition(e, memory, i)
			if err != nil {
				return nil, errors.Join(err, e.Close())
			}
			if memory {
				e.memory = append(e.memory, p)
			} else {
				e.disk = append(e.disk, p)
			}
		}
	}
	if e.copies, err = copies.Serve(copies.Config{
		Conn: cfg.Conn, Prefix: cfg.Name, Node: cfg.Node, Logger: cfg.Logger, Offer: e.offer, Open: e.openCopy,
	}); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if e.handovers, err = e.holds(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if cfg.Feeds {
		if e.feeder, err = feed.Feed(feed.Config{
			Conn: cfg.Conn, Line: b.bus, Node: cfg.Node, Prefix: cfg.Name, Logger: cfg.Logger,
		}, e); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	e.watcher.Go(func() { b.sweep(cfg.TickEvery, e.stop) })
	return e, nil
}

// partitions are all logs.
func (e *Engine) partitions() []*partition {
	return append(append(make([]*partition, 0, len(e.disk)+len(e.memory)), e.disk...), e.memory...)
}

// named is the log of that name; nil: there is none.
func (e *Engine) named(log string) *partition {
	for _, p := range e.partitions() {
		if p.name == log {
			return p
		}
	}
	return nil
}

// offer says which index of a log other nodes can copy from this one.
func (e *Engine) offer(log string) (copies.Offer, bool) {
	p := e.named(log)
	if p == nil {
		return copies.Offer{}, false
	}
	x := p.index.Load()
	if x == nil || x.Failed() {
		return copies.Offer{}, false
	}
	return copies.Offer{Node: e.cfg.Node, Incarnation: x.Store().Incarnation(), Seq: p.applied.Load()}, true
}

func (e *Engine) openCopy(log string) (*store.Copy, error) {
	if p := e.named(log); p != nil {
		if x := p.index.Load(); x != nil {
			return x.Store().Copy()
		}
	}
	return nil, errors.New("this node has no index of the log")
}

// of is the log of a channel. Every node must agree on it.
func (e *Engine) of(ch channel.ID, d channel.Durability) *partition {
	h := fnv.New64a()
	_, _ = h.Write([]byte(ch.App)) // never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(ch.Name))
	list := e.disk
	if d == channel.Memory {
		list = e.memory
	}
	return list[h.Sum64()%uint64(len(list))]
}

// Attach implements engine.Interest. What logs hold is applied from here on.
func (e *Engine) Attach(f engine.Follower) {
	e.attach(f)
	close(e.attached)
}

// Follow implements engine.Interest: of channels with history the Follower is
// told in any case.
func (e *Engine) Follow(ch channel.ID) { e.bus.Follow(ch) }

// Unfollow implements engine.Interest.
func (e *Engine) Unfollow(ch channel.ID) { e.bus.Unfollow(ch) }

// Status implements engine.Engine.
func (e *Engine) Status() engine.Status {
	if s := e.bus.Status(); !s.Ready {
		return s
	}
	for _, p := range e.partitions() {
		if reason := p.unready(); reason != "" {
			return engine.Status{Reason: fmt.Sprintf("log %s: %s", p.name, reason)}
		}
	}
	return engine.Status{Ready: true}
}

// Close implements engine.Engine. What no log has answered after CloseWait is
// answered with ErrClosed.
func (e *Engine) Close() error {
	if !e.door.Close() {
		return nil
	}
	close(e.stop)
	e.watcher.Wait()
	if e.handovers != nil { // Open has come so far
		_ = e.handovers.Unsubscribe() // fails only without a connection, which has no subscriptions
	}
	if e.feeder != nil {
		e.feeder.Close() // edges go on elsewhere
	}
	errs := []error{e.bus.Close()}
	if e.copies != nil { // Open has come so far
		errs = append(errs, e.copies.Close())
	}
	deadline := time.Now().Add(e.cfg.CloseWait)
	var mu sync.Mutex
	var closing sync.WaitGroup
	for _, p := range e.partitions() {
		closing.Go(func() {
			err := p.close(deadline)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	closing.Wait()
	return errors.Join(errs...)
}

// entry is an entry of this node, without its time.
func entry(kind store.Kind, ch channel.ID, r engine.Retention) store.Entry {
	return store.Entry{Version: store.EntryVersion, Kind: kind, Channel: ch, Retention: r}
}

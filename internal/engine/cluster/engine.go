package cluster

import (
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/copies"
	"github.com/fanfare-push/fanfare/internal/engine/keys"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Engine is this node's part of a cluster.
type Engine struct {
	// Static after Open.
	cfg      Config
	bus      *bus.Bus
	copies   *copies.Server
	disk     []*partition // the log of a channel is the one at its place
	memory   []*partition
	keys     *keys.Keys // of publications without history
	stop     chan struct{}
	watcher  sync.WaitGroup
	follower *serial // static after Attach
	attached chan struct{}

	count struct {
		duplicates atomic.Uint64 // repeats without history
	}
	once [256]sync.Mutex // held while a key of a channel is asked for and remembered

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
	b, err := bus.New(bus.Config{
		Conn: cfg.Conn, Node: cfg.Node, Name: cfg.Label, Prefix: cfg.Name, Logger: cfg.Logger, Now: cfg.Now, OnDead: cfg.OnDead,
	})
	if err != nil {
		return nil, err
	}
	e := &Engine{
		cfg: cfg, bus: b, keys: keys.New(cfg.MemoryKeys), stop: make(chan struct{}), attached: make(chan struct{}),
	}
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
	e.watcher.Go(e.watch)
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
	e.follower = newSerial(f)
	close(e.attached)
	e.bus.Attach(attentive(e.follower, f))
}

// Follow implements engine.Interest: of channels with history the Follower is
// told in any case.
func (e *Engine) Follow(ch channel.ID) { e.bus.Follow(ch) }

// Unfollow implements engine.Interest.
func (e *Engine) Unfollow(ch channel.ID) { e.bus.Unfollow(ch) }

// Join implements engine.Presence.
func (e *Engine) Join(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	e.bus.Join(ch, info, n)
}

// Leave implements engine.Presence.
func (e *Engine) Leave(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	e.bus.Leave(ch, info, n)
}

// Members implements engine.Presence.
func (e *Engine) Members(ch channel.ID, done func(engine.Members, error)) { e.bus.Members(ch, done) }

// Stats implements engine.Presence.
func (e *Engine) Stats(ch channel.ID, done func(engine.PresenceStats, error)) { e.bus.Stats(ch, done) }

// Control implements engine.Controller.
func (e *Engine) Control(c engine.Control, done func(error)) { e.bus.Control(c, done) }

func (e *Engine) now() int64 { return e.cfg.Now().UnixMilli() }

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

// watch gives back what nobody asks for.
func (e *Engine) watch() {
	tick := time.NewTicker(e.cfg.TickEvery)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
		e.keys.Sweep(turn, e.now())
	}
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

package cluster

import (
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
	"github.com/fanfare-push/fanfare/internal/engine/keys"
)

// beside is what nodes of every role have beside the logs: the bus, and with it all
// that needs no log.
type beside struct {
	bus      *bus.Bus
	keys     *keys.Keys // of publications without history
	follower *serial    // static after attach
	clock    func() time.Time
	once     [256]sync.Mutex // held while a key of a channel is asked for and remembered
	repeats  atomic.Uint64   // without history
}

func newBeside(cfg *Config) (*beside, error) {
	b, err := bus.New(bus.Config{
		Conn: cfg.Conn, Node: cfg.Node, Name: cfg.Label, Prefix: cfg.Name, Logger: cfg.Logger, Now: cfg.Now, OnDead: cfg.OnDead,
	})
	if err != nil {
		return nil, err
	}
	return &beside{bus: b, keys: keys.New(cfg.MemoryKeys), clock: cfg.Now}, nil
}

// attach names the Follower of the bus; what logs tell it goes through b.follower.
func (b *beside) attach(f engine.Follower) {
	b.follower = newSerial(f)
	b.bus.Attach(attentive(b.follower, f))
}

func (b *beside) now() int64 { return b.clock().UnixMilli() }

// Bus is what connects the nodes beside the logs: who they are, what is counted
// by all, and who of them owns what only one must do.
func (b *beside) Bus() *bus.Bus { return b.bus }

// Nodes are all that are alive, this one included.
func (b *beside) Nodes() []bus.NodeInfo { return b.bus.Nodes() }

// Join implements engine.Presence.
func (b *beside) Join(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	b.bus.Join(ch, info, n)
}

// Leave implements engine.Presence.
func (b *beside) Leave(ch channel.ID, info *engine.ClientInfo, n engine.Notice) {
	b.bus.Leave(ch, info, n)
}

// Members implements engine.Presence.
func (b *beside) Members(ch channel.ID, done func(engine.Members, error)) { b.bus.Members(ch, done) }

// Stats implements engine.Presence.
func (b *beside) Stats(ch channel.ID, done func(engine.PresenceStats, error)) { b.bus.Stats(ch, done) }

// Control implements engine.Controller.
func (b *beside) Control(c engine.Control, done func(error)) { b.bus.Control(c, done) }

// Ask implements engine.Peers.
func (b *beside) Ask(question []byte, done func([]engine.Answer, error)) { b.bus.Ask(question, done) }

// Count implements engine.Peers.
func (b *beside) Count(key string, by int) { b.bus.Count(key, by) }

// Others implements engine.Peers.
func (b *beside) Others(key string) int { return b.bus.Others(key) }

// Shared implements engine.Peers.
func (b *beside) Shared() iter.Seq2[string, int] { return b.bus.Shared() }

// Owner implements engine.Peers.
func (b *beside) Owner(key string) (node string, mine bool) { return b.bus.Owner(key) }

// Alive implements engine.Peers.
func (b *beside) Alive() []string { return b.bus.Alive() }

// pass hands a publication without history to the bus. A repeat is known by the
// node that took the first.
func (b *beside) pass(req *engine.PublishRequest, pub *engine.Publication) (res engine.PublishResult, err error) {
	pub.Time = b.now()
	answer := func(given error) { err = given }
	if req.IdempotencyKey == "" {
		b.bus.Publish(req.Channel, pub, answer)
		return res, err
	}
	mu := b.onceOf(req.Channel)
	mu.Lock()
	defer mu.Unlock()
	if _, res.Duplicate = b.keys.Seen(req.Channel, req.IdempotencyKey, pub.Time); res.Duplicate {
		b.repeats.Add(1)
		return res, nil
	}
	b.bus.Publish(req.Channel, pub, answer)
	if err == nil {
		b.keys.Remember(req.Channel, req.IdempotencyKey, engine.Position{}, pub.Time)
	}
	return res, err
}

var onceSeed = maphash.MakeSeed()

func (b *beside) onceOf(ch channel.ID) *sync.Mutex {
	return &b.once[maphash.Comparable(onceSeed, ch)%uint64(len(b.once))]
}

// sweep gives back what nobody asks for, every so often until stop.
func (b *beside) sweep(every time.Duration, stop <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		b.keys.Sweep(turn, b.now())
	}
}

// attentive is what the bus tells: s in place of f, but for what others ask f.
func attentive(s *serial, f engine.Follower) engine.Follower {
	r, ok := f.(engine.Respondent)
	if !ok {
		return s
	}
	return struct {
		*serial
		engine.Respondent
	}{s, r}
}

package bus

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// Bus joins this node to the others. Its methods are safe for use by any
// goroutine.
type Bus struct {
	// Static after New.
	cfg      Config
	begun    time.Time
	subjects *subjects
	streams  [Shards + 1]stream
	out      *outbound
	inbound  chan *nats.Msg
	pulses   chan *nats.Msg // what says who is alive, and nothing else
	queries  chan *query
	attached chan struct{} // closed by Attach
	stop     chan struct{} // closed by Close

	follower   engine.Follower   // static after Attach
	respondent engine.Respondent // the follower; nil: it answers nothing
	forum      *forum

	// others are the nodes that are alive, this one not among them, sorted by id.
	// The list is replaced, never changed.
	others     atomic.Pointer[[]*peer]
	maxPayload atomic.Int64 // bytes that NATS takes in one message; 0: not known yet
	stuck      atomic.Int64 // since when NATS is being given something, from begun on; 0: it is not
	state      atomic.Int32 // nats.Status of the connection, at most a beat old
	counts     shares
	count      counters

	receiver, sender sync.WaitGroup
	door             engine.Door
}

var (
	_ engine.Presence   = (*Bus)(nil)
	_ engine.Controller = (*Bus)(nil)
	_ engine.Interest   = (*Bus)(nil)
	_ engine.Peers      = (*Bus)(nil)
)

// New joins the node to the bus once Attach is called. It fails when the Config is
// wrong, or NATS refuses subscriptions.
func New(cfg Config) (*Bus, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bus{
		cfg: cfg, begun: time.Now(), subjects: subjectsOf(cfg.Prefix), out: newOutbound(),
		inbound: make(chan *nats.Msg, cfg.MaxInbound), pulses: make(chan *nats.Msg, MaxNodes), queries: make(chan *query, MaxQueries),
		attached: make(chan struct{}), stop: make(chan struct{}),
	}
	for i := range b.streams {
		b.streams[i].init(i)
	}
	b.streams[everyone].sources = make(map[uint32]*source)
	b.others.Store(&[]*peer{})
	b.counts.init()
	b.look()
	r := newReceiver(b)
	for _, to := range []struct {
		subject string
		queue   chan *nats.Msg
	}{{b.subjects.streams[everyone], b.inbound}, {b.subjects.nodes + cfg.Node, b.inbound}, {b.subjects.alive, b.pulses}} {
		sub, err := cfg.Conn.ChanSubscribe(to.subject, to.queue)
		if err != nil {
			r.unsubscribe()
			return nil, fmt.Errorf("bus: subscribe: %w", err)
		}
		r.subs, r.dropped = append(r.subs, sub), append(r.dropped, 0)
	}
	if b.forum, err = newForum(b); err != nil {
		r.unsubscribe()
		return nil, err
	}
	b.receiver.Go(r.run)
	b.sender.Go(b.send)
	b.forum.start()
	return b, nil
}

// Attach implements engine.Interest. Other nodes hear of this one from here on.
func (b *Bus) Attach(f engine.Follower) {
	b.follower = f
	b.respondent, _ = f.(engine.Respondent)
	close(b.attached)
}

// stuckFor is after how many beats in which NATS took nothing Status says so.
const stuckFor = 4

// Status says whether other nodes can be reached, as of a beat ago.
func (b *Bus) Status() engine.Status {
	if since := b.stuck.Load(); since != 0 && time.Since(b.begun)-time.Duration(since) > stuckFor*b.cfg.Beat {
		return engine.Status{Reason: "NATS takes nothing"}
	}
	if s := nats.Status(b.state.Load()); s != nats.CONNECTED {
		return engine.Status{Reason: "not connected to NATS: " + s.String()}
	}
	return engine.Status{Ready: true}
}

// Close tells the others that this node leaves, sends what is queued, answers what
// is in flight with ErrClosed, and returns when every goroutine is gone. It waits
// for NATS as long as the connection's FlusherTimeout lets it.
func (b *Bus) Close() error {
	if !b.door.Close() {
		return nil
	}
	close(b.stop)
	b.forum.close()
	b.receiver.Wait()
	b.out.close()
	b.sender.Wait()
	return nil
}

// alone reports whether there is nobody to tell.
func (b *Bus) alone() bool { return len(*b.others.Load()) == 0 }

// send gives NATS what is queued, in order. Nobody else gives it anything, or asks
// it what takes its lock: it may hold that for as long as it waits for the network.
func (b *Bus) send() {
	var batch []sending
	for open := true; open; {
		batch, open = b.out.take(batch)
		b.look()
		for i := range batch {
			b.stuck.Store(int64(time.Since(b.begun)))
			if urgent := b.out.urgent.Swap(nil); urgent != nil {
				b.give(urgent.subject, urgent.data)
			}
			s := &batch[i]
			if s.do != nil {
				s.do()
			} else {
				b.give(s.subject, s.data)
			}
		}
		b.stuck.Store(0)
	}
	// What was sent last is the farewell; where NATS is away there is nobody to hear it.
	_ = b.cfg.Conn.FlushTimeout(b.cfg.FollowWait)
}

// Send gives NATS a message of somebody else's, in line with what this node says. It
// fails with ErrBusy when too much is queued.
func (b *Bus) Send(subject string, data []byte) error {
	err := b.out.publish(subject, data)
	if err != nil {
		b.count.queueFull.Add(1)
	}
	return err
}

// MaxMessage is how many bytes NATS takes in one message; 0: not known yet.
func (b *Bus) MaxMessage() int { return int(b.maxPayload.Load()) }

// Do runs fn in that line, on its goroutine, where NATS may be given something.
func (b *Bus) Do(fn func()) { b.out.put(sending{do: fn}) }

// look notes what the connection is like, for those who must not wait for its lock.
func (b *Bus) look() {
	b.state.Store(int32(b.cfg.Conn.Status()))
	b.maxPayload.Store(b.cfg.Conn.MaxPayload())
}

func (b *Bus) give(subject string, data []byte) {
	if err := b.cfg.Conn.Publish(subject, data); err != nil {
		b.count.unsent.Add(1) // missed by its number
		return
	}
	b.count.sent.Add(1)
}

// message begins a message of this node.
func (b *Bus) message(k kind) *message { return &message{kind: k, from: b.cfg.Node} }

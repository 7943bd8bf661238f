package feed

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testPatience is how long a test waits for what must happen.
const testPatience = 60 * time.Second

func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(testPatience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("it does not come to be that %s", what)
		}
	}
}

// network is a NATS server that nodes meet in.
func network(tb testing.TB) *node.Node {
	tb.Helper()
	n, err := node.Start(node.Config{Name: "n", Dir: tb.TempDir(), Cluster: "feed"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Error(err)
		}
	})
	return n
}

// line sends at once, and loses so many of a thousand messages.
type line struct {
	conn *nats.Conn
	loss atomic.Int32
	most atomic.Int32 // bytes of a message; 0: not known
}

func (l *line) Send(subject string, data []byte) error {
	if mathrand.Int32N(1000) < l.loss.Load() {
		return nil
	}
	return l.conn.Publish(subject, data)
}

func (l *line) MaxMessage() int { return int(l.most.Load()) }

func (*line) Do(fn func()) { fn() }

// connect is a line of its own, and the settings of whoever sends on it.
func connect(tb testing.TB, n *node.Node) (*line, Config) {
	tb.Helper()
	conn, err := n.Connect()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	l := &line{conn: conn}
	return l, Config{
		Conn: conn, Line: l, Node: rand.Text(), Prefix: "test", Beat: 50 * time.Millisecond, Dead: 400 * time.Millisecond,
		PublishWait: testPatience, ReadWait: 2 * time.Second, SendAgain: 50 * time.Millisecond, CloseWait: time.Second, MaxCalls: 1 << 14, MaxBytes: 1 << 30,
	}
}

// ledger is the log that core nodes share: what of a key is stored is stored once.
type ledger struct {
	mu      sync.Mutex
	entries []entry
	keys    map[string]engine.Position
	tops    map[channel.ID]uint64
	era     string // epochs begin with it
}

type entry struct {
	ch    channel.ID
	epoch string
	pub   *engine.Publication
}

func newLedger() *ledger {
	return &ledger{keys: make(map[string]engine.Position), tops: make(map[channel.ID]uint64), era: "E"}
}

// add stores a publication, and says how long the log is then.
func (l *ledger) add(req *engine.PublishRequest) (engine.PublishResult, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, seen := l.keys[req.IdempotencyKey]; seen && req.IdempotencyKey != "" {
		return engine.PublishResult{Position: at, Duplicate: true}, len(l.entries)
	}
	l.tops[req.Channel]++
	at := engine.Position{Epoch: l.era + req.Channel.Name, Offset: l.tops[req.Channel]}
	pub := req.Publication
	pub.Offset = at.Offset
	l.entries = append(l.entries, entry{req.Channel, at.Epoch, &pub})
	l.keys[req.IdempotencyKey] = at
	return engine.PublishResult{Position: at}, len(l.entries)
}

func (l *ledger) upTo(n int) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[:min(n, len(l.entries))]
}

// anew forgets everything, as a log in RAM does when all nodes have gone.
func (s *stage) anew() {
	l := s.ledger
	l.mu.Lock()
	l.entries, l.era = nil, "F"
	clear(l.tops)
	clear(l.keys)
	l.mu.Unlock()
	for _, c := range s.cores {
		c.mu.Lock()
		c.applied = 0
		c.mu.Unlock()
	}
}

// core is a core node: it has applied the ledger up to some place.
type core struct {
	ledger *ledger
	feeder *Feeder
	line   *line
	ready  atomic.Bool
	held   atomic.Bool // it does not get to know what it has not applied
	leave  func()      // once

	mu      sync.Mutex
	applied int
	unknown bool                // what is published is stored, and not answered
	refuses bool                // what is published is not stored
	slow    time.Duration       // that a history takes
	hold    func(answer func()) // keeps the answer of a look
	removed func()
}

func newCore(tb testing.TB, n *node.Node, l *ledger) *core {
	tb.Helper()
	c := &core{ledger: l}
	c.ready.Store(true)
	var cfg Config
	c.line, cfg = connect(tb, n)
	var err error
	c.mu.Lock()
	defer c.mu.Unlock() // until there is a feeder
	if c.feeder, err = Feed(cfg, c); err != nil {
		tb.Fatal(err)
	}
	c.leave = sync.OnceFunc(c.feeder.Close)
	return c
}

// place is how far the node has come.
func (c *core) place() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applied
}

func (c *core) Status() engine.Status { return engine.Status{Ready: c.ready.Load()} }

// apply tells what the ledger holds up to some place.
func (c *core) apply(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.ledger.upTo(n)
	for ; c.applied < len(all); c.applied++ {
		e := all[c.applied]
		c.feeder.Publication(false, e.ch, e.epoch, e.pub)
	}
}

func (c *core) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	c.mu.Lock()
	unknown, refuses := c.unknown, c.refuses
	c.mu.Unlock()
	if refuses {
		done(engine.PublishResult{}, engine.ErrBusy)
		return
	}
	res, n := c.ledger.add(&req)
	if unknown {
		return
	}
	c.apply(n)
	done(res, nil)
}

func (c *core) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	c.mu.Lock()
	slow := c.slow
	c.mu.Unlock()
	if slow == 0 {
		c.Look(req, done)
		return
	}
	time.AfterFunc(slow, func() { c.Look(req, done) })
}

// Look waits, as a core does, for what is not applied here.
func (c *core) Look(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	if req.Retention.Durability == channel.Memory {
		done(engine.HistoryResult{}, nil)
		return
	}
	res := c.read(&req)
	if s := req.Since; s != nil && (s.Epoch != res.Top.Epoch || s.Offset > res.Top.Offset) {
		if c.held.Load() {
			done(engine.HistoryResult{}, engine.ErrBusy)
			return
		}
		c.apply(1 << 30)
		if res = c.read(&req); s.Epoch != res.Top.Epoch || s.Offset > res.Top.Offset {
			done(engine.HistoryResult{}, engine.ErrUnrecoverable)
			return
		}
	}
	c.mu.Lock()
	hold := c.hold
	c.mu.Unlock()
	if hold != nil && req.Limit > 0 {
		hold(func() { done(res, nil) })
		return
	}
	done(res, nil)
}

func (c *core) read(req *engine.HistoryRequest) (res engine.HistoryResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	res.Oldest = 1
	for _, e := range c.ledger.upTo(c.applied) {
		if e.ch != req.Channel {
			continue
		}
		res.Top = engine.Position{Epoch: e.epoch, Offset: e.pub.Offset}
		if (req.Since == nil || e.pub.Offset > req.Since.Offset) && (req.Limit < 0 || len(res.Publications) < req.Limit) {
			res.Publications = append(res.Publications, e.pub)
		}
	}
	return res
}

func (c *core) RemoveHistory(_ channel.ID, _ engine.Retention, done func(error)) {
	c.mu.Lock()
	removed := c.removed
	c.mu.Unlock()
	if removed != nil {
		removed()
	}
	done(nil)
}

// audience is a Follower that faults what does not follow.
type audience struct {
	t    testing.TB
	mu   sync.Mutex
	tops map[channel.ID]engine.Position
}

func newAudience(tb testing.TB) *audience {
	tb.Helper()
	return &audience{t: tb, tops: make(map[channel.ID]engine.Position)}
}

func (a *audience) tell(ch channel.ID, epoch string, pub *engine.Publication) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if last := a.tops[ch]; last.Epoch == epoch && pub.Offset != last.Offset+1 {
		a.t.Errorf("%s: %d is told after %d", ch.Name, pub.Offset, last.Offset)
	}
	a.tops[ch] = engine.Position{Epoch: epoch, Offset: pub.Offset}
}

func (a *audience) top(ch channel.ID) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tops[ch].Offset
}

func named(i int) channel.ID { return channel.ID{App: "app", Name: fmt.Sprint("c", i)} }

var kept = engine.Retention{Size: 1 << 20, TTL: time.Hour, Durability: channel.Disk}

func request(ch channel.ID, data string) engine.PublishRequest {
	return engine.PublishRequest{Channel: ch, Retention: kept, Publication: engine.Publication{Data: []byte(data)}}
}

// await makes a call that returns of one that has a done function.
func await[T any](tb testing.TB, ask func(done func(T, error))) (T, error) {
	tb.Helper()
	type answer struct {
		value T
		err   error
	}
	ch := make(chan answer, 1)
	ask(func(v T, err error) { ch <- answer{v, err} })
	select {
	case a := <-ch:
		return a.value, a.err
	case <-time.After(testPatience):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

// of is what a channel holds, in its order.
func (l *ledger) of(ch channel.ID) (list []string) {
	for _, e := range l.upTo(1 << 30) {
		if e.ch == ch {
			list = append(list, string(e.pub.Data))
		}
	}
	return slices.Clip(list)
}

package feed

import (
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/node"
	"github.com/fanfare-push/fanfare/internal/store"
)

// stage is an edge among core nodes.
type stage struct {
	t      *testing.T
	net    *node.Node
	ledger *ledger
	cores  []*core
	line   *line
	edge   *Client
	seen   *audience
}

func newStage(t *testing.T, cores int) *stage {
	t.Helper()
	return newStageWith(t, cores, func(*Config) {})
}

func newStageWith(t *testing.T, cores int, set func(*Config)) *stage {
	t.Helper()
	s := &stage{t: t, net: network(t), ledger: newLedger(), seen: newAudience(t)}
	for range cores {
		s.enter()
	}
	var cfg Config
	s.line, cfg = connect(t, s.net)
	set(&cfg)
	s.edge = New(cfg)
	s.edge.Attach(s.seen.tell)
	t.Cleanup(s.edge.Close)
	s.ready()
	return s
}

func (s *stage) enter() *core {
	c := newCore(s.t, s.net, s.ledger)
	c.apply(1 << 30)
	s.cores = append(s.cores, c)
	s.t.Cleanup(c.leave)
	return c
}

func (s *stage) ready() {
	s.t.Helper()
	eventually(s.t, "the edge is ready", func() bool { return s.edge.Status().Ready })
}

// feeder is the core node that feeds the edge.
func (s *stage) feeder() *core {
	s.t.Helper()
	id := s.edge.Feeder()
	i := slices.IndexFunc(s.cores, func(c *core) bool { return c.feeder.cfg.Node == id })
	if i < 0 {
		s.t.Fatalf("it is fed by %q", id)
	}
	return s.cores[i]
}

func (s *stage) told(ch channel.ID, top uint64) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s is told up to %d", ch.Name, top), func() bool { return s.seen.top(ch) == top })
}

// publish publishes on a core node, or on the edge where it is nil.
func (s *stage) publish(c *core, ch channel.ID, data string) engine.PublishResult {
	s.t.Helper()
	req := request(ch, data)
	res, err := await(s.t, func(done func(engine.PublishResult, error)) {
		if c == nil {
			s.edge.Publish(&req, done)
		} else {
			c.Publish(req, done)
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

// Whatever is lost between the nodes, and whoever feeds: each publication is told once,
// in order, and what the edge publishes is stored once, in the order of its publishers.
func TestLosses(t *testing.T) {
	const channels, publishers, each, window = 4, 4, 150, 8
	s := newStage(t, 3)
	for i := range channels {
		s.edge.Follow(named(i))
	}
	lossy := func(thousandth int32) {
		s.line.loss.Store(thousandth)
		for _, c := range s.cores {
			c.line.loss.Store(thousandth)
		}
	}
	lossy(30)
	stop := make(chan struct{})
	var others, running sync.WaitGroup
	others.Go(func() { // core nodes apply late, and now and then are not ready
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			c := s.cores[mathrand.IntN(len(s.cores))]
			c.apply(c.place() + mathrand.IntN(20))
			if n%400 == 399 {
				s.cores[n/400%3].ready.Store(false)
				s.cores[(n/400+1)%3].ready.Store(true)
			}
		}
	})
	for i := range publishers {
		running.Go(func() {
			places := make(chan struct{}, window)
			var under sync.WaitGroup
			for n := range each {
				places <- struct{}{}
				req := request(named(i%channels), fmt.Sprintf("%d-%d", i, n))
				under.Add(1)
				s.edge.Publish(&req, func(res engine.PublishResult, err error) {
					if err != nil || res.Duplicate {
						t.Errorf("%s: %+v, %v", req.Publication.Data, res, err)
					}
					<-places
					under.Done()
				})
				s.publish(s.cores[n%3], named((i+n)%channels), fmt.Sprintf("core %d-%d", i, n))
			}
			under.Wait()
		})
	}
	running.Wait()
	close(stop)
	others.Wait()
	lossy(0)
	for _, c := range s.cores {
		c.apply(1 << 30)
	}
	for i := range channels {
		all := s.ledger.of(named(i))
		s.told(named(i), uint64(len(all)))
		var mine []string
		for _, data := range all {
			if data[0] != 'c' {
				mine = append(mine, data)
			}
		}
		want := make([]string, each)
		for n := range want {
			want[n] = fmt.Sprintf("%d-%d", i, n)
		}
		if !slices.Equal(mine, want) {
			t.Errorf("%s holds of the edge's %q", named(i).Name, mine)
		}
	}
	n := s.edge.Counters()
	t.Logf("%+v", n)
	if n.Gaps == 0 || n.Fetched == 0 || n.Resent == 0 {
		t.Error("nothing was lost")
	}
}

// What a feeder that has gone silent stored and did not answer is found by the next,
// and is not stored again.
func TestFeederGoesSilent(t *testing.T) {
	s := newStage(t, 2)
	s.edge.Follow(named(0))
	s.publish(nil, named(0), "first")
	s.told(named(0), 1)
	first := s.feeder()
	first.mu.Lock()
	first.unknown = true // and stored
	first.mu.Unlock()
	req := request(named(0), "second")
	answered := make(chan engine.PublishResult, 1)
	s.edge.Publish(&req, func(res engine.PublishResult, err error) {
		if err != nil {
			t.Error(err)
		}
		answered <- res
	})
	eventually(t, "it is stored", func() bool { return len(s.ledger.of(named(0))) == 2 })
	removed := make(chan error, 1)
	s.edge.Remove(named(0), kept, func(err error) { removed <- err })
	first.line.loss.Store(1000)
	if res := <-answered; res.Offset != 2 || res.Duplicate {
		t.Errorf("%+v", res)
	}
	<-removed
	if s.feeder() == first || s.seen.top(named(0)) != 2 {
		t.Errorf("it is told up to %d", s.seen.top(named(0)))
	}
	if all := s.ledger.of(named(0)); len(all) != 2 {
		t.Errorf("stored are %q", all)
	}
}

// What is between writes that have ended does not hold up the next feeder, which never
// hears of those.
func TestHolesBetweenWrites(t *testing.T) {
	const writes = 16
	s := newStageWith(t, 2, func(cfg *Config) { cfg.SendAgain = time.Hour })
	first := s.feeder()
	answered := make(chan error, writes)
	for n := range writes {
		first.mu.Lock()
		first.unknown = n%2 == 0
		first.mu.Unlock()
		req := request(named(0), fmt.Sprint(n))
		s.edge.Publish(&req, func(_ engine.PublishResult, err error) { answered <- err })
		eventually(t, "it is stored", func() bool { return len(s.ledger.of(named(0))) == n+1 })
	}
	eventually(t, "half of it is answered", func() bool { return len(answered) == writes/2 })
	first.line.loss.Store(1000)
	eventually(t, "all is", func() bool { return len(answered) == writes })
	for range writes {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	if all := s.ledger.of(named(0)); len(all) != writes || s.feeder() == first {
		t.Errorf("stored are %q", all)
	}
}

// A write that comes again after a feeder has not heard of the edge for long is not done
// again.
func TestWriteComesAgainLate(t *testing.T) {
	s := newStage(t, 1)
	f := s.feeder()
	var removals atomic.Int32
	f.mu.Lock()
	f.removed = func() { removals.Add(1) }
	f.mu.Unlock()
	body := store.AppendEntry(nil, &store.Entry{Kind: store.Remove, Channel: named(0), Retention: kept})
	again := &message{kind: kindCall, from: "other", id: 1, op: opRemove, number: 7, base: 7, body: body}
	_, other := connect(t, s.net)
	inbox, err := other.Conn.SubscribeSync(f.feeder.subjects.node + "other")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if err := other.Conn.Publish(f.feeder.subjects.node+f.feeder.cfg.Node, again.append()); err != nil {
			t.Fatal(err)
		}
		if _, err := inbox.NextMsg(testPatience); err != nil {
			t.Fatalf("answer %d: %v", n+1, err)
		}
		f.feeder.expire(time.Now().Add(2 * lease))
	}
	if n := removals.Load(); n != 1 {
		t.Errorf("it was removed %d times", n)
	}
	f.feeder.expire(time.Now().Add(2 * engine.IdempotencyWindow))
	f.feeder.mu.Lock()
	defer f.feeder.mu.Unlock()
	if _, known := f.feeder.edges["other"]; known {
		t.Error("it is remembered for ever")
	}
}

// Whoever tells the feeder last what is wanted leaves out nothing that another has said.
func TestManyFollowAtOnce(t *testing.T) {
	const channels = 400
	s := newStageWith(t, 1, func(cfg *Config) { cfg.Beat, cfg.FollowWait = 5*time.Second, testPatience })
	var following sync.WaitGroup
	for i := range channels {
		following.Go(func() { s.edge.Follow(named(i)) })
	}
	following.Wait()
	wanted := 0
	for i := range s.edge.shards {
		if s.edge.shards[i].wanted {
			wanted++
		}
	}
	read := engine.HistoryRequest{Channel: named(0), Retention: kept}
	if _, err := await(t, func(done func(engine.HistoryResult, error)) { s.edge.History(&read, done) }); err != nil {
		t.Fatal(err) // it comes after all that was said
	}
	f := s.feeder().feeder
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.edges[s.edge.cfg.Node].shards); n != wanted {
		t.Errorf("of %d shards it feeds %d", wanted, n)
	}
}

// That the next feeder has stored nothing says nothing of the last.
func TestNextFeederRefuses(t *testing.T) {
	s := newStage(t, 2)
	first := s.feeder()
	for _, c := range s.cores {
		c.mu.Lock()
		c.unknown, c.refuses = c == first, c != first
		c.mu.Unlock()
	}
	req := request(named(0), "first")
	answered := make(chan error, 1)
	s.edge.Publish(&req, func(_ engine.PublishResult, err error) { answered <- err })
	eventually(t, "it is stored", func() bool { return len(s.ledger.of(named(0))) == 1 })
	first.line.loss.Store(1000)
	if err := <-answered; !errors.Is(err, errUnknown) {
		t.Errorf("of what is stored: %v", err)
	}
	if _, err := await(t, func(done func(engine.PublishResult, error)) { s.edge.Publish(&req, done) }); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("of what no other was sent: %v", err)
	}
}

// A feeder that beats and hears nothing is replaced.
func TestFeederIsDeaf(t *testing.T) {
	s := newStage(t, 2)
	s.edge.Follow(named(0))
	first := s.feeder()
	if err := first.feeder.sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if res := s.publish(nil, named(0), "first"); res.Offset != 1 || s.feeder() == first {
		t.Errorf("%+v", res)
	}
	s.told(named(0), 1)
}

// A tail that nothing follows is missed all the same: by the number that the feeder
// says with each beat, and by the comparison with the next feeder.
func TestTailIsMissed(t *testing.T) {
	s := newStage(t, 2)
	s.edge.Follow(named(0))
	s.publish(nil, named(0), "first")
	s.told(named(0), 1)
	last := uint64(1)
	for range 3 { // the first may be found by the comparison that follows Follow
		f := s.feeder()
		f.line.loss.Store(1000)
		last = s.publish(f, named(0), "lost").Offset
		f.line.loss.Store(0)
		s.told(named(0), last)
	}

	f := s.feeder()
	f.leave()
	s.publish(f, named(0), "next") // applied by the other later
	other := s.cores[0]
	if other == f {
		other = s.cores[1]
	}
	eventually(t, "the other feeds", func() bool { return s.edge.Feeder() == other.feeder.cfg.Node })
	other.apply(1 << 30)
	s.told(named(0), last+1)
}

// What is missed while something is looked up is not in what is found, and is looked up
// then.
func TestMissedWhileLookedUp(t *testing.T) {
	s := newStageWith(t, 1, func(cfg *Config) { cfg.SendAgain, cfg.ReadWait = time.Hour, time.Hour })
	s.edge.Follow(named(0))
	s.publish(nil, named(0), "first")
	s.told(named(0), 1)
	eventually(t, "it is compared", func() bool {
		n := s.edge.Counters()
		return n.Checked > 0 && n.Calls == 0
	})
	f := s.feeder()
	lose := func(data string) {
		f.line.loss.Store(1000)
		s.publish(f, named(0), data)
		f.line.loss.Store(0)
	}
	answers := make(chan func(), 8)
	f.mu.Lock()
	f.hold = func(answer func()) { answers <- answer }
	f.mu.Unlock()
	lose("second")
	answer := <-answers
	f.mu.Lock()
	f.hold = nil
	f.mu.Unlock()
	before := s.edge.Counters()
	lose("third")
	eventually(t, "the gap is seen", func() bool {
		now := s.edge.Counters()
		return now.Gaps > before.Gaps && now.Checked > before.Checked
	})
	answer()
	s.told(named(0), 3)
}

// A reader is not told of less than the Follower was, whoever is asked.
func TestReadersDoNotFallBehind(t *testing.T) {
	s := newStage(t, 2)
	s.edge.Follow(named(0))
	f := s.feeder()
	for n := range 5 {
		s.publish(f, named(0), fmt.Sprint(n))
	}
	s.told(named(0), 5)
	for _, c := range s.cores {
		c.apply(2) // the other is behind,
		c.held.Store(true)
	}
	f.line.loss.Store(1000)
	eventually(t, "the other feeds", func() bool { return s.edge.Feeder() != f.feeder.cfg.Node })
	for _, since := range []*engine.Position{nil, {Epoch: "Ec0", Offset: 1}, {Epoch: "Ec0", Offset: 5}} {
		req := engine.HistoryRequest{Channel: named(0), Retention: kept, Limit: -1, Since: since}
		res, err := await(t, func(done func(engine.HistoryResult, error)) { s.edge.History(&req, done) })
		if !errors.Is(err, engine.ErrBusy) {
			t.Errorf("since %v, from one that is behind: %+v, %v", since, res.Top, err)
		}
	}
	req := engine.HistoryRequest{Channel: named(0), Retention: kept, Limit: -1}
	read := make(chan engine.HistoryResult, 1)
	s.edge.History(&req, func(res engine.HistoryResult, err error) {
		if err != nil {
			t.Error(err)
		}
		read <- res
	})
	for _, c := range s.cores {
		c.held.Store(false)
	}
	if res := <-read; res.Top.Offset != 5 {
		t.Errorf("once it is not: %+v", res.Top)
	}
}

// A feeder that takes longer over each read than an edge waits before it asks again is
// heard all the same.
func TestSlowReads(t *testing.T) {
	s := newStageWith(t, 1, func(cfg *Config) { cfg.ReadWait = testPatience })
	s.publish(nil, named(0), "first")
	f := s.feeder()
	f.mu.Lock()
	f.slow = 4 * s.edge.cfg.SendAgain
	f.mu.Unlock()
	req := engine.HistoryRequest{Channel: named(0), Retention: kept, Limit: -1}
	res, err := await(t, func(done func(engine.HistoryResult, error)) { s.edge.History(&req, done) })
	if err != nil || res.Top.Offset != 1 || len(res.Publications) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	s.edge.mu.Lock()
	defer s.edge.mu.Unlock()
	if len(s.edge.former) > 0 {
		t.Errorf("%d ids are kept", len(s.edge.former))
	}
}

// When a log begins anew, what is told goes on in the new epoch, and readers are not
// held up by what was told in the old one.
func TestBeginsAnew(t *testing.T) {
	s := newStage(t, 2)
	s.edge.Follow(named(0))
	for n := range 5 {
		s.publish(nil, named(0), fmt.Sprint(n))
	}
	s.anew()
	f := s.feeder()
	f.line.loss.Store(1000)
	s.publish(f, named(0), "anew")
	f.line.loss.Store(0)
	req := engine.HistoryRequest{Channel: named(0), Retention: kept, Limit: -1}
	res, err := await(t, func(done func(engine.HistoryResult, error)) { s.edge.History(&req, done) })
	if err != nil || res.Top != (engine.Position{Epoch: "Fc0", Offset: 1}) {
		t.Errorf("%+v, %v", res.Top, err)
	}
	if res := s.publish(nil, named(0), "next"); res.Epoch != "Fc0" || res.Offset != 2 {
		t.Errorf("%+v", res)
	}
	s.told(named(0), 2)
}

// A publication that cannot be fed is left out, and what comes after it is told: the hub
// sees that it does not follow. One that cannot be sent is refused.
func TestTooLarge(t *testing.T) {
	s := newStage(t, 1)
	s.edge.Follow(named(0))
	s.publish(nil, named(0), "first")
	s.told(named(0), 1)
	const most = 1000
	s.line.most.Store(most)
	f := s.feeder()
	f.line.most.Store(most)
	req := request(named(0), strings.Repeat("x", most))
	if _, err := await(t, func(done func(engine.PublishResult, error)) { s.edge.Publish(&req, done) }); !errors.Is(err, errTooLarge) {
		t.Errorf("%v", err)
	}
	f.line.loss.Store(1000) // as it is for what is too large
	s.publish(f, named(0), strings.Repeat("x", most))
	f.line.loss.Store(0)
	s.seen.mu.Lock()
	delete(s.seen.tops, named(0)) // a gap is what is expected
	s.seen.mu.Unlock()
	s.publish(nil, named(0), "third")
	s.told(named(0), 3)
	read := engine.HistoryRequest{Channel: named(0), Retention: kept, Limit: -1}
	if _, err := await(t, func(done func(engine.HistoryResult, error)) { s.edge.History(&read, done) }); !errors.Is(err, errFailed) {
		t.Errorf("%v", err)
	}
}

// A channel whose publications are more tags than data is looked up all the same.
func TestManyTags(t *testing.T) {
	const missed, most = 100, 64 << 10
	s := newStage(t, 1)
	s.edge.Follow(named(0))
	s.publish(nil, named(0), "first")
	s.told(named(0), 1)
	f := s.feeder()
	f.line.most.Store(most)
	f.line.loss.Store(1000)
	for range missed {
		req := request(named(0), "x")
		req.Publication.Tags = map[string]string{"tag": strings.Repeat("x", 4000)}
		if _, err := await(t, func(done func(engine.PublishResult, error)) { f.Publish(req, done) }); err != nil {
			t.Fatal(err)
		}
	}
	f.line.loss.Store(0)
	s.told(named(0), missed+1)
}

// Without a feeder what was not sent is refused in time, and what is asked too.
func TestNobodyFeeds(t *testing.T) {
	_, cfg := connect(t, network(t))
	cfg.PublishWait, cfg.ReadWait = 50*time.Millisecond, 50*time.Millisecond
	c := New(cfg)
	c.Attach(newAudience(t).tell)
	defer c.Close()
	c.Follow(named(0))
	req := request(named(0), "x")
	if _, err := await(t, func(done func(engine.PublishResult, error)) { c.Publish(&req, done) }); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("publish: %v", err)
	}
	read := engine.HistoryRequest{Channel: named(0), Retention: kept}
	if _, err := await(t, func(done func(engine.HistoryResult, error)) { c.History(&read, done) }); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("history: %v", err)
	}
	if s := c.Status(); s.Ready || s.Reason == "" {
		t.Errorf("%+v", s)
	}
}

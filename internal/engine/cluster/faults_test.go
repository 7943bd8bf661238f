package cluster

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// crew is the engines on a cast: one on each node that is not stopped.
type crew struct {
	*cast

	cfg   Config
	truth *truth

	mu       sync.Mutex
	engines  []*Engine // nil: stopped
	audience []*audience
}

func newCrew(t *testing.T, n int, cfg Config) *crew {
	t.Helper()
	return crewOf(t, newCast(t, n), cfg)
}

func crewOf(t *testing.T, on *cast, cfg Config) *crew {
	t.Helper()
	n := len(on.nodes)
	c := &crew{cast: on, cfg: cfg, truth: newTruth(), engines: make([]*Engine, n), audience: make([]*audience, n)}
	c.cfg.Name = "crew"
	for i := range n {
		c.enter(i)
	}
	t.Cleanup(func() {
		for i := range c.engines {
			c.exit(i)
		}
	})
	ready(t, c.engines...)
	return c
}

// enter opens an engine on a node that runs.
func (c *crew) enter(i int) *Engine {
	c.t.Helper()
	a := newAudience(c.t, c.truth)
	e := c.open(i, c.cfg, a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.engines[i], c.audience[i] = e, a
	return e
}

// exit closes the engine of a node.
func (c *crew) exit(i int) {
	c.t.Helper()
	c.mu.Lock()
	e := c.engines[i]
	c.engines[i] = nil
	c.mu.Unlock()
	if e != nil {
		closeAll(c.t, e)
	}
}

// away stops a node with its engine; the server first, so that the engine has no
// time for anything.
func (c *crew) away(i int) {
	c.t.Helper()
	c.stop(i)
	c.exit(i)
}

func (c *crew) back(i int) *Engine {
	c.t.Helper()
	c.start(i)
	return c.enter(i)
}

// at is the engine of a node, nil when it is away.
func (c *crew) at(i int) engine.Engine {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.engines[i%len(c.engines)]; e != nil {
		return e
	}
	return nil
}

func (c *crew) all() (list []engine.Engine) {
	for _, e := range c.engines {
		list = append(list, e)
	}
	return list
}

// Every node goes and comes back while all others publish: nothing is lost,
// doubled, or in another order anywhere.
func TestNodesComeAndGo(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 3, Config{})
	r := keep(1_000_000, channel.Disk)
	traffic := newTraffic(t, 6, r, c.at)
	traffic.flows("before", 200)
	for i := range c.engines {
		traffic.longest()
		c.away(i)
		traffic.flows(fmt.Sprintf("without node %d", i+1), 200)
		e := c.back(i)
		ready(t, e)
		traffic.flows(fmt.Sprintf("with node %d again", i+1), 200)
		t.Logf("node %d went and came back: the longest time without an acknowledgement is %s", i+1, traffic.longest().Round(time.Millisecond))
	}
	traffic.end(r, c.truth, c.all()...)
}

// A minority says so, refuses what is durable with a temporary error, and goes on
// once it is none any more.
func TestMinorityRefuses(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 3, Config{})
	r := keep(1000, channel.Disk)
	ch := named(0)
	publish(t, c.engines[0], ch, r, "before")
	c.away(1)
	c.away(2)
	e := c.engines[0]
	eventually(t, "it says that it has no quorum", func() bool {
		s := e.Status()
		return !s.Ready && strings.Contains(s.Reason, "quorum")
	})
	var unknown []<-chan reply // sent before anybody knew
	refused := func() bool {
		got := send(e, ch, r, fmt.Sprint("meanwhile ", len(unknown)), "")
		select {
		case r := <-got:
			if !errors.Is(r.err, engine.ErrBusy) {
				t.Errorf("%+v", r)
			}
			return true
		case <-time.After(5 * time.Second):
			unknown = append(unknown, got)
			return false
		}
	}
	eventually(t, "it refuses", refused)
	if !refused() {
		t.Error("it does not refuse at once any more")
	}
	if got := history(t, e, ch, r, c.truth); got.Top.Offset != 1 {
		t.Errorf("%+v", got)
	}
	if got := await(t, ask(e, ch, r, &engine.Position{Epoch: "other", Offset: 1})); !errors.Is(got.err, engine.ErrBusy) {
		t.Errorf("what may be elsewhere is answered with %v", got.err)
	}
	if got := send(e, ch, engine.Retention{}, "without history", ""); await(t, got).err != nil {
		t.Error("what has no history is refused")
	}
	c.back(1)
	c.back(2)
	ready(t, c.engines...)
	next := publish(t, c.engines[2], ch, r, "after")
	stored := 0
	for _, u := range unknown {
		if await(t, u).err == nil {
			stored++
		}
	}
	if next.Offset < 2 || int(next.Offset) > 2+len(unknown) {
		t.Errorf("after 1 and %d unknown comes %d", len(unknown), next.Offset)
	}
	for _, e := range c.engines {
		eventually(t, "all is everywhere", func() bool { return await(t, ask(e, ch, r, nil)).Top.Offset >= uint64(2+stored) })
		history(t, e, ch, r, c.truth)
	}
}

// Where no node has the space it keeps in reserve, what the reserve is for is stored
// by all of them, and nothing else is.
func TestReserveOfAllNodes(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 3, Config{Logs: 1})
	r := keep(1000, channel.Disk)
	ch := named(0)
	publish(t, c.engines[0], ch, r, "before")
	c.cfg.ReserveBytes = 1 << 50
	for i := range c.engines {
		c.exit(i)
		c.enter(i)
	}
	for i, e := range c.engines {
		eventually(t, fmt.Sprintf("node %d says that it has no space", i+1), func() bool { return strings.Contains(e.Status().Reason, "no space") })
		if got := await(t, send(e, ch, r, "refused", "")); !errors.Is(got.err, engine.ErrReadOnly) {
			t.Errorf("node %d: %+v", i+1, got)
		}
		urgent := engine.PublishRequest{Channel: ch, Retention: r, Publication: engine.Publication{Data: []byte("urgent")}, FromReserve: true}
		res, err := engine.Await(t.Context(), func(done func(engine.PublishResult, error)) { e.Publish(urgent, done) })
		if err != nil || res.Offset != uint64(i+2) {
			t.Errorf("node %d, from the reserve: %+v %v", i+1, res, err)
		}
	}
	for i, e := range c.engines {
		eventually(t, fmt.Sprintf("node %d has all", i+1), func() bool { return history(t, e, ch, r, c.truth).Top.Offset == 4 })
	}
}

// After all nodes were stopped at once, what was on disk is where it was, and
// what was in RAM cannot be taken for what comes after it.
func TestAllRestart(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 3, Config{})
	disk, memory := keep(1000, channel.Disk), keep(1000, channel.Memory)
	keyed := await(t, send(c.engines[0], named(0), disk, "keyed", "k"))
	var onDisk, inRAM engine.PublishResult
	for n := range 50 {
		onDisk = publish(t, c.engines[n%3], named(0), disk, fmt.Sprint("disk ", n))
		inRAM = publish(t, c.engines[n%3], named(1), memory, fmt.Sprint("memory ", n))
	}
	for i := range c.engines {
		c.away(i)
	}
	for i := range c.engines {
		c.back(i)
	}
	ready(t, c.engines...)
	for i, e := range c.engines {
		if got := history(t, e, named(0), disk, c.truth); got.Top != onDisk.Position || len(got.Publications) != 51 {
			t.Errorf("node %d: %d on disk to %+v, want %+v", i+1, len(got.Publications), got.Top, onDisk.Position)
		}
		if got := await(t, ask(e, named(1), memory, &inRAM.Position)); !errors.Is(got.err, engine.ErrUnrecoverable) {
			t.Errorf("node %d: the position in RAM is answered with %+v", i+1, got)
		}
		if again := await(t, send(e, named(0), disk, "again", "k")); again.err != nil || !again.Duplicate || again.Position != keyed.Position {
			t.Errorf("node %d: the repeat of %+v is %+v", i+1, keyed, again)
		}
	}
	publish(t, c.engines[1], named(1), memory, "after")
	if next := publish(t, c.engines[1], named(0), disk, "after"); next.Epoch != onDisk.Epoch || next.Offset != onDisk.Offset+1 {
		t.Errorf("after %+v comes %+v", onDisk, next)
	}
}

// What all that had a memory log in RAM have lost is given up, and the log begins
// anew: NATS alone would wait for a server that may never come.
func TestMemoryLogBeginsAnew(t *testing.T) {
	t.Parallel()
	memoryLogBeginsAnew(t, newCrew(t, 3, Config{Logs: 1, RemakeAfter: 2 * time.Second}))
}

// Nor does it wait for an edge node to decide.
func TestMemoryLogBeginsAnewBesideAnEdge(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 3, Config{Logs: 1, RemakeAfter: 2 * time.Second, Feeds: true})
	cfg := c.cfg
	for cfg.Node = rand.Text(); !heavy(cfg.Node, c.engines[0].memory[0].name); cfg.Node = rand.Text() {
	}
	e := c.edge(cfg, newAudience(t, c.truth))
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	edgeReady(t, e, 3)
	for _, x := range c.engines {
		if owner, _ := x.Owner(x.memory[0].name); owner != cfg.Node {
			t.Fatalf("%s decides", owner)
		}
	}
	memoryLogBeginsAnew(t, c)
}

// heavy reports whether a node is the owner of a key among nodes of a few random ids.
func heavy(node, key string) bool {
	sum := sha256.Sum256([]byte(node + "\x00" + key))
	return sum[0] == 0xff && sum[1] >= 0xf0
}

func memoryLogBeginsAnew(t *testing.T, c *crew) {
	t.Helper()
	r := keep(1000, channel.Memory)
	before := publish(t, c.engines[0], named(0), r, "before")
	for i := range c.engines {
		c.away(i)
	}
	c.back(1)
	c.back(2)
	eventually(t, "two of three give the log up", func() bool {
		there, err := c.engines[1].memory[0].journal.Leaderless(t.Context())
		return err == nil && !there
	})
	c.back(0)
	ready(t, c.engines...)
	after := publish(t, c.engines[0], named(0), r, "after")
	if after.Epoch == before.Epoch {
		t.Errorf("it goes on after %+v with %+v", before, after)
	}
}

// discardIndex removes what a stopped node has applied.
func (c *crew) discardIndex(i int) {
	c.t.Helper()
	if err := store.RemoveDir(nil, c.indexDir(i, c.cfg.Name)); err != nil {
		c.t.Fatal(err)
	}
}

// A node whose index is older than the log copies another's, and is not ready
// before.
func TestCopyForWhoWasAway(t *testing.T) {
	for _, d := range both {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, index lost: %t", d, lost), func(t *testing.T) {
				t.Parallel()
				c := newCrew(t, 3, Config{Logs: 1, LogBytes: 1 << 20, MemoryLogBytes: 1 << 20})
				r := keep(1000, d)
				publish(t, c.engines[0], named(0), r, "first")
				keyed := await(t, send(c.engines[0], named(0), r, "keyed", "k"))
				c.away(2)
				if lost {
					c.discardIndex(2)
				}
				big := strings.Repeat("x", 10_000)
				for n := range 400 {
					publish(t, c.engines[n%2], named(n%3), r, fmt.Sprint(n, big))
				}
				e := c.back(2)
				ready(t, e)
				for n := range 3 {
					want := history(t, c.engines[0], named(n), r, c.truth)
					got := history(t, e, named(n), r, c.truth)
					if got.Top != want.Top || len(got.Publications) != len(want.Publications) || got.Top.Offset < 100 {
						t.Errorf("%s: %d to %+v, want %d to %+v", named(n), len(got.Publications), got.Top, len(want.Publications), want.Top)
					}
				}
				if again := await(t, send(e, named(0), r, "again", "k")); again.err != nil || !again.Duplicate || again.Position != keyed.Position {
					t.Errorf("the repeat of %+v is %+v", keyed, again)
				}
				publish(t, e, named(0), r, "from the copy")
			})
		}
	}
}

// An index whose last message is not the log's was made from another log.
func TestDivergentIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 1, Config{Logs: 1})
	r := keep(1000, channel.Disk)
	ch := named(0)
	for n := range 10 {
		publish(t, c.engines[0], ch, r, fmt.Sprint(n))
	}
	before := history(t, c.engines[0], ch, r, c.truth)
	p := c.engines[0].disk[0]
	incarnation, dir := p.index.Load().Store().Incarnation(), p.dir
	c.exit(0)
	for name, mark := range map[string]func(store.Mark) store.Mark{
		"another message": func(m store.Mark) store.Mark { return store.Mark{Seq: m.Seq, Writer: "other", Count: 1} },
		"a later one":     func(m store.Mark) store.Mark { return store.Mark{Seq: m.Seq + 10, Writer: "other", Count: 2} },
	} {
		forge(t, store.Config{Dir: dir, Incarnation: incarnation, Replayed: true}, mark)
		e := c.enter(0)
		ready(t, e)
		if got := history(t, e, ch, r, c.truth); got.Top != before.Top || len(got.Publications) != 10 {
			t.Errorf("%s: %d to %+v, want %+v", name, len(got.Publications), got.Top, before.Top)
		}
		if got := history(t, e, channel.ID{App: "app", Name: "forged"}, r, c.truth); got.Top.Offset != 0 {
			t.Errorf("%s: what no log held is still there", name)
		}
		c.exit(0)
	}
}

// forge applies a message to an index that no log holds.
func forge(t *testing.T, cfg store.Config, mark func(store.Mark) store.Mark) {
	t.Helper()
	s, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := s.NewBatch()
	b.Message(mark(s.Mark()))
	en := entry(store.Publish, channel.ID{App: "app", Name: "forged"}, keep(10, channel.Disk))
	en.Time, en.Pub = time.Now().UnixMilli(), &engine.Publication{Data: []byte("forged")}
	var rec store.Record
	_, err = b.Apply(&en, &rec)
	if err = errors.Join(err, b.Commit(), b.Wait(), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// What is under way when an index is copied, or the log turns out to be another,
// will not be applied here; whoever waits for it is answered all the same.
func TestUnderWayIsAnswered(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 1, Config{Logs: 1})
	publish(t, c.engines[0], named(0), keep(10, channel.Disk), "first")
	p := c.engines[0].disk[0]
	s := p.index.Load().Store()
	waits := func(count uint64) <-chan error {
		answers := make(chan error, 1)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.pending[count] = &message{settled: make(chan struct{}), requests: []index.Request{{
			Done: func(_ engine.PublishResult, err error) { answers <- err },
		}}}
		return answers
	}
	applied, sent := waits(s.Written(p.e.cfg.Node)), waits(1000)
	p.reconcile(s)
	if err := await(t, applied); !errors.Is(err, errUnseen) {
		t.Errorf("what the index holds: %v", err)
	}
	if len(sent) > 0 {
		t.Errorf("what it does not hold yet: %v", <-sent)
	}
	p.previous++
	p.reconcile(s)
	if err := await(t, sent); !errors.Is(err, errUnseen) {
		t.Errorf("what was made for another log: %v", err)
	}
}

// A client that comes from a node that is ahead is not told that it is lost.
func TestAheadOfTheIndex(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 3, Config{Logs: 1, MaxLag: time.Hour})
	r := keep(1000, channel.Disk)
	ch := named(0)
	first := publish(t, c.engines[0], ch, r, "1")
	eventually(t, "the first is everywhere", func() bool { return c.audience[2].top(ch) == first.Position })
	hold := make(chan struct{})
	var once sync.Once
	release := func() { once.Do(func() { close(hold) }) }
	defer release()
	slow := channel.ID{App: "app", Name: "slow"}
	c.audience[2].on = func(ch channel.ID, _ *engine.Publication) {
		if ch == slow {
			<-hold // and with it, what this node finishes
		}
	}
	publish(t, c.engines[0], slow, r, "slow")
	var last engine.PublishResult
	for n := range 50 {
		last = publish(t, c.engines[0], ch, r, fmt.Sprint(n))
	}
	behind := c.engines[2]
	if got := await(t, ask(behind, ch, r, &first.Position)); got.err != nil || got.Top != first.Position {
		t.Errorf("who is not ahead: %+v", got)
	}
	if got := await(t, ask(behind, ch, r, &last.Position)); !errors.Is(got.err, engine.ErrBusy) {
		t.Errorf("before the log is applied: %+v", got)
	}
	waiting := ask(behind, ch, r, &last.Position)
	release()
	if got := await(t, waiting); got.err != nil || got.Top != last.Position {
		t.Errorf("once it is: %+v", got)
	}
	if got := await(t, ask(behind, ch, r, &engine.Position{Epoch: last.Epoch, Offset: last.Offset + 1})); !errors.Is(got.err, engine.ErrUnrecoverable) {
		t.Errorf("what no log holds: %v", got.err)
	}
}

package bus

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// What is published on one node arrives on the others in order, and where it was
// published in the same order and once.
func TestPublicationsCross(t *testing.T) {
	nodes := cluster(t, 3, servers(t, 3), nil)
	const n = 2000
	for _, to := range nodes {
		to.Follow(room)
	}
	var wg sync.WaitGroup
	for i, from := range nodes {
		wg.Go(func() {
			for k := range n {
				from.publish(t, room, fmt.Sprintf("%d:%d", i, k))
			}
		})
	}
	wg.Wait()
	for _, to := range nodes {
		eventually(t, "everything arrives", func() bool { return len(to.told(room)) >= len(nodes)*n })
		next := make([]int, len(nodes))
		for _, said := range to.told(room) {
			var i, k int
			if _, err := fmt.Sscanf(said, "pub %d:%d", &i, &k); err != nil || k != next[i] {
				t.Fatalf("%s hears %q, want number %d", to.cfg.Name, said, next[i])
			}
			next[i]++
		}
		if c := to.Counters(); c.Missed+c.Late+c.Dropped+c.Malformed > 0 {
			t.Errorf("%+v", c)
		}
	}
}

// Once Follow has returned, what is published on any node arrives.
func TestFollowIsInForce(t *testing.T) {
	nodes := cluster(t, 3, servers(t, 3), nil)
	for i := range 200 {
		ch := channel.ID{App: "default", Name: fmt.Sprint(i)}
		to, from := nodes[i%3], nodes[(i+1)%3]
		to.Follow(ch)
		from.publish(t, ch, "x")
		to.hears(t, ch, "pub x")
	}
	if c := nodes[0].Counters(); c.Streams == 0 || c.Streams > 200 || c.Unreached > 0 {
		t.Errorf("%+v", c)
	}
}

// A stream that nobody follows a channel of is not listened to for ever, and what
// others have there is forgotten; calls count in whatever order they come.
func TestInterestEnds(t *testing.T) {
	nodes := cluster(t, 2, servers(t, 1), func(int) Config { return Config{Linger: time.Nanosecond, Beat: 20 * time.Millisecond} })
	a, b := nodes[0], nodes[1]
	b.Unfollow(room)
	b.Follow(room)
	if n := b.Counters().Streams; n != 0 {
		t.Errorf("unfollowed and followed, it listens to %d streams", n)
	}
	b.Follow(room)
	b.Follow(room)
	b.Unfollow(room)
	a.Join(room, session("u", "1"), both)
	b.hears(t, room, "join 1+")
	a.publish(t, room, "first")
	b.hears(t, room, "join 1+", "pub first")
	b.Unfollow(room)
	eventually(t, "it listens no more", func() bool { return b.Counters().Streams == 0 })
	a.publish(t, room, "unheard")
	b.comesToSee(t, room, "1", 1) // others are asked
	b.Follow(room)
	a.publish(t, room, "second")
	b.hears(t, room, "join 1+", "pub first", "pub second")
	b.comesToSee(t, room, "1", 1)
	if c := b.Counters(); c.Missed > 0 {
		t.Errorf("what it did not listen to is missed: %+v", c)
	}
}

func TestPresenceAcrossNodes(t *testing.T) {
	nodes := cluster(t, 3, servers(t, 3), nil)
	a, b, c := nodes[0], nodes[1], nodes[2]
	a.Join(room, session("u", "1"), both) // before anybody else is interested
	b.Follow(room)
	b.comesToSee(t, room, "1", 1)
	c.comesToSee(t, room, "1", 1) // without interest
	b.Join(room, session("u", "2"), both)
	a.Follow(room)
	a.comesToSee(t, room, "1 2", 1)
	c.Join(room, session("v", "3"), both)
	for _, n := range nodes {
		n.comesToSee(t, room, "1 2 3", 2)
	}
	a.Leave(room, session("u", "1"), both)
	b.hears(t, room, "join 2", "join 3+", "leave 1")
	b.Leave(room, session("u", "2"), both)
	b.hears(t, room, "join 2", "join 3+", "leave 1", "leave 2+")
	a.hears(t, room, "join 1+", "join 3+", "leave 1", "leave 2+")
	for _, n := range nodes {
		n.comesToSee(t, room, "3", 1)
	}
	c.Leave(room, session("u", "2"), both) // a session of another node
	c.comesToSee(t, room, "3", 1)
}

// A state that does not fit into one message is whole.
func TestLargeState(t *testing.T) {
	nodes := cluster(t, 2, servers(t, 1), nil)
	a, b := nodes[0], nodes[1]
	const n = 5000
	for i := range n {
		info := session(fmt.Sprint(i), fmt.Sprint(i))
		info.ConnInfo = make([]byte, 200)
		a.Join(room, info, engine.Track)
	}
	counts := func(stage string) {
		done := make(chan engine.PresenceStats, 1)
		b.Stats(room, func(s engine.PresenceStats, err error) {
			if err != nil {
				t.Errorf("%s: %v", stage, err)
			}
			done <- s
		})
		if s := <-done; s.Clients != n || s.Users != n {
			t.Errorf("%s: %+v", stage, s)
		}
	}
	counts("asked without interest")
	b.Follow(room)
	counts("with interest")
}

// A session that is too large to be told of is seen without its info, and keeps
// nobody else from being seen.
func TestLargeSession(t *testing.T) {
	nodes := cluster(t, 2, servers(t, 1), nil)
	a, b := nodes[0], nodes[1]
	large := session("u", "large")
	large.ConnInfo = make([]byte, 4<<20)
	a.Join(room, large, both)
	a.Join(room, session("u", "small"), both)
	b.comesToSee(t, room, "large small", 1)
	b.Follow(room)
	b.comesToSee(t, room, "large small", 1)
	a.Leave(room, large, both)
	a.Join(room, large, both)
	b.hears(t, room, "leave large", "join large")
	for i, n := range nodes {
		size := []int{len(large.ConnInfo), 0}[i]
		eventually(t, fmt.Sprintf("%s sees an info of %d bytes", n.cfg.Name, size), func() bool {
			right := make(chan bool, 1)
			n.Members(room, func(m engine.Members, err error) { // an error says that others are busy
				right <- err == nil && m["large"] != nil && m["small"] != nil && len(m["large"].ConnInfo) == size && string(m["small"].ConnInfo) == "{}"
			})
			return <-right
		})
	}
}

// The sessions of a node that dies leave, within 3 s of its last word by the
// defaults; those of one that closes leave at once.
func TestDeath(t *testing.T) {
	var dead sync.Map
	nodes := cluster(t, 3, servers(t, 3), func(i int) Config {
		return Config{OnDead: func(n NodeInfo) { dead.Store(i, n.Name) }}
	})
	a, b, c := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		n.Follow(room)
	}
	a.Join(room, session("u", "1"), both)
	for _, n := range nodes {
		n.hears(t, room, "join 1+")
	}
	b.Join(room, session("u", "2"), both)
	c.hears(t, room, "join 1+", "join 2")
	a.Count("app", 5)
	eventually(t, "counts are known", func() bool { return b.Others("app") == 5 })
	begun := time.Now()
	a.die()
	for _, n := range []*node{b, c} {
		n.hears(t, room, "join 1+", "join 2", "leave 1")
		n.comesToSee(t, room, "2", 1)
		eventually(t, "it is told of as dead", func() bool { name, _ := dead.Load(map[*node]int{b: 1, c: 2}[n]); return name == "n0" })
	}
	t.Logf("its sessions have left after %v", time.Since(begun))
	if n := b.Others("app"); n != 0 {
		t.Errorf("the dead still count %d", n)
	}
	if got := len(b.Nodes()); got != 2 {
		t.Errorf("%d nodes", got)
	}
	if err := control(b.Bus, engine.Control{Op: engine.ControlReceive, Node: a.cfg.Node}); !errors.Is(err, engine.ErrUnknownNode) {
		t.Errorf("control of the dead: %v", err)
	}
	deaths := c.Counters().Deaths
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	c.hears(t, room, "join 1+", "join 2", "leave 1", "leave 2+")
	if got := c.Counters().Deaths; got != deaths {
		t.Errorf("one that has left is counted as dead")
	}
}

// A node that stands still is taken for dead, and when it goes on is as it was.
func TestFrozen(t *testing.T) {
	nodes := cluster(t, 3, servers(t, 3), func(int) Config { return Config{FollowWait: 50 * time.Millisecond} })
	a, b, c := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		n.Follow(room)
		n.comesToSee(t, room, "", 0)
	}
	a.Join(room, session("u", "1"), both)
	b.hears(t, room, "join 1+")
	a.ear.gate.Lock() // a stands still at the next thing that it is told
	c.publish(t, room, "stop")
	eventually(t, "it is taken for dead", func() bool { return len(b.Nodes()) == 2 && len(c.Nodes()) == 2 })
	b.hears(t, room, "join 1+", "pub stop", "leave 1+")
	b.comesToSee(t, room, "", 0)
	b.Join(room, session("v", "2"), both)
	b.publish(t, room, "meanwhile")
	a.ear.gate.Unlock()
	acquainted(t, nodes)
	b.hears(t, room, "join 1+", "pub stop", "leave 1+", "join 2+", "pub meanwhile", "join 1+")
	a.hears(t, room, "join 1+", "pub stop", "join 2+", "pub meanwhile")
	for _, n := range nodes {
		n.comesToSee(t, room, "1 2", 2)
	}
	if n := a.Counters().Deaths; n > 0 {
		t.Errorf("it took %d others for dead", n)
	}
}

// A node that does not answer is waited for once.
func TestFollowDoesNotWaitForTheFrozen(t *testing.T) {
	nodes := cluster(t, 2, servers(t, 1), func(int) Config { return Config{FollowWait: 50 * time.Millisecond, Dead: time.Hour} })
	a, b := nodes[0], nodes[1]
	a.Follow(room)
	a.ear.gate.Lock()
	defer a.ear.gate.Unlock()
	b.publish(t, room, "stop")
	for i := range 100 { // were each waited for, the test would take 5 s
		b.Follow(channel.ID{App: "default", Name: fmt.Sprint(i)})
	}
	if n := b.Counters().Unreached; n == 0 || n > 3 {
		t.Errorf("%d follows waited in vain", n)
	}
}

// What is lost is noticed, and what it would have changed is right again.
func TestGap(t *testing.T) {
	nodes := cluster(t, 2, servers(t, 1), func(int) Config { return Config{MaxInbound: 16, Dead: time.Hour} })
	a, b := nodes[0], nodes[1]
	b.Follow(room)
	a.Join(room, session("u", "gone"), both)
	a.Join(room, session("w", "stays"), both)
	b.hears(t, room, "join gone+", "join stays+")
	b.ear.gate.Lock()
	a.publish(t, room, "stop")
	a.Leave(room, session("u", "gone"), both)
	for i := range 200 {
		a.publish(t, room, fmt.Sprint(i))
	}
	a.Join(room, session("v", "new"), both)
	eventually(t, "messages are dropped", func() bool {
		st := b.streamOf(room)
		n, _ := st.sub.Dropped()
		return n > 100
	})
	b.ear.gate.Unlock()
	b.comesToSee(t, room, "new stays", 2)
	eventually(t, "the loss is counted", func() bool { c := b.Counters(); return c.Missed > 100 && c.Dropped > 100 })
	told := make(map[string]int)
	for _, what := range b.told(room) {
		told[what]++
	}
	for _, what := range []string{"join gone+", "leave gone+", "join stays+", "join new+"} {
		if told[what] != 1 {
			t.Errorf("%q was told %d times", what, told[what])
		}
	}
	a.publish(t, room, "after")
	eventually(t, "it goes on", func() bool { l := b.told(room); return l[len(l)-1] == "pub after" })
}

// The last message before a silence is missed, too.
func TestGapAtTheEnd(t *testing.T) {
	nodes := cluster(t, 2, servers(t, 1), nil)
	a, b := nodes[0], nodes[1]
	b.Follow(room)
	b.comesToSee(t, room, "", 0)
	st := a.streamOf(room)
	st.mu.Lock() // as if it was said, and lost on the way
	st.number++
	a.joinLocked(st, present{room, both, session("u", "1")}, 0, false)
	st.mu.Unlock()
	b.comesToSee(t, room, "1", 1)
	b.hears(t, room, "join 1+")
	if n := b.Counters().Missed; n != 1 {
		t.Errorf("%d are missed", n)
	}
}

func control(b *Bus, c engine.Control) error {
	done := make(chan error, 1)
	b.Control(c, func(err error) { done <- err })
	return <-done
}

func TestControl(t *testing.T) {
	nodes := cluster(t, 3, servers(t, 3), nil)
	a, b, c := nodes[0], nodes[1], nodes[2]
	on := func(app, reason, node string) engine.Control {
		return engine.Control{Op: engine.ControlDisconnect, App: app, User: "u", Reason: reason, Node: node}
	}
	for _, order := range []engine.Control{on("a", "all", ""), on("a", "one", c.cfg.Node), on("a", "self", a.cfg.Node), on("a", "end", "")} {
		if err := control(a.Bus, order); err != nil {
			t.Errorf("%s: %v", order.Reason, err)
		}
	}
	if err := control(a.Bus, on("a", "nobody", "boot9")); !errors.Is(err, engine.ErrUnknownNode) {
		t.Errorf("control of nobody: %v", err)
	}
	where := channel.ID{App: "a"}
	a.hears(t, where, "control all", "control self", "control end")
	b.hears(t, where, "control all", "control end")
	c.hears(t, where, "control all", "control one", "control end")
}

func TestCounts(t *testing.T) {
	srv := servers(t, 1)
	nodes := cluster(t, 3, srv, func(int) Config { return Config{Beat: 50 * time.Millisecond} })
	a, b, c := nodes[0], nodes[1], nodes[2]
	a.Count("app:x", 3)
	b.Count("app:x", 2)
	b.Count("user:x/u", 1)
	eventually(t, "the sums are known", func() bool {
		return a.Others("app:x") == 2 && b.Others("app:x") == 3 && c.Others("app:x") == 5 && c.Others("user:x/u") == 1
	})
	a.Count("app:x", -1)
	b.Count("user:x/u", -1)
	eventually(t, "changes are known", func() bool { return c.Others("app:x") == 4 && c.Others("user:x/u") == 0 })
	l := newListener()
	last := &node{start(t, srv[0], Config{Node: "late"}, l), l}
	acquainted(t, append(nodes, last))
	eventually(t, "who comes late knows the sums", func() bool { return last.Others("app:x") == 4 })
}

func TestCountsAreBounded(t *testing.T) {
	var s shares
	s.init()
	s.take(1, []count{{"a", 2}, {"b", 1}})
	s.take(2, []count{{"a", 3}})
	s.merge(1, []count{{"a", 1}}, true)
	if s.others["a"] != 4 || s.others["b"] != 0 || len(s.others) != 1 {
		t.Errorf("%v", s.others)
	}
	s.forget(1)
	s.forget(2)
	if len(s.others) > 0 || len(s.peers) > 0 {
		t.Errorf("left: %v %v", s.others, s.peers)
	}
}

// The owner of a key is one node, the same wherever it is asked, and each node
// owns some; when one goes, what others own stays theirs.
func TestOwner(t *testing.T) {
	nodes := cluster(t, 3, servers(t, 1), nil)
	const keys = 300
	owns := make(map[string]int)
	before := make(map[string]string)
	for i := range keys {
		key := fmt.Sprint(i)
		mine := 0
		for _, n := range nodes {
			owner, yes := n.Owner(key)
			if before[key] == "" {
				before[key] = owner
			}
			if owner != before[key] {
				t.Errorf("key %s has owners %s and %s", key, owner, before[key])
			}
			if yes {
				mine++
			}
		}
		if mine != 1 {
			t.Errorf("key %s is owned by %d", key, mine)
		}
		owns[before[key]]++
	}
	for _, n := range nodes {
		if owns[n.cfg.Node] < keys/6 {
			t.Errorf("%s owns %d keys of %d", n.cfg.Name, owns[n.cfg.Node], keys)
		}
	}
	_ = nodes[2].Close()
	eventually(t, "it has left", func() bool { return len(nodes[0].Nodes()) == 2 })
	for key, owner := range before {
		if now, _ := nodes[0].Owner(key); owner != nodes[2].cfg.Node && now != owner {
			t.Errorf("key %s went from %s to %s", key, owner, now)
		}
	}
}

// Closed, everything is answered with ErrClosed.
func TestClosed(t *testing.T) {
	nodes := cluster(t, 2, servers(t, 1), nil)
	a := nodes[0]
	if st := a.Status(); !st.Ready {
		t.Errorf("%+v", st)
	}
	a.die()
	eventually(t, "it says that it has no connection", func() bool { st := a.Status(); return !st.Ready && st.Reason != "" })
	_ = a.Close()
	_ = a.Close()
	a.Follow(room)
	a.Unfollow(room)
	a.Join(room, session("u", "1"), both)
	a.Leave(room, session("u", "1"), both)
	for i, err := range []error{
		control(a.Bus, engine.Control{}), a.sees(room).err,
		func() (failed error) {
			a.Publish(room, &engine.Publication{}, func(err error) { failed = err })
			return
		}(),
	} {
		if !errors.Is(err, engine.ErrClosed) {
			t.Errorf("question %d: %v", i, err)
		}
	}
	if said := a.told(room); len(said) > 0 {
		t.Errorf("told %q", said)
	}
}

// What waits for an answer when the bus closes gets one.
func TestCloseAnswers(t *testing.T) {
	nodes := cluster(t, 2, servers(t, 1), func(int) Config {
		return Config{Dead: time.Hour, QueryWait: time.Hour, FollowWait: time.Millisecond}
	})
	a, b := nodes[0], nodes[1]
	a.Follow(room)
	a.comesToSee(t, room, "", 0)
	a.ear.gate.Lock() // and answers nothing
	defer a.ear.gate.Unlock()
	b.publish(t, room, "stop")
	b.Follow(room)
	answers := make(chan error, 2)
	b.Members(room, func(_ engine.Members, err error) { answers <- err })                                      // incomplete
	b.Members(channel.ID{App: "default", Name: "other"}, func(_ engine.Members, err error) { answers <- err }) // asked
	_ = b.Close()
	for range 2 {
		if err := <-answers; !errors.Is(err, engine.ErrClosed) {
			t.Errorf("answered %v", err)
		}
	}
}

func TestConfig(t *testing.T) {
	c := connect(t, servers(t, 1)[0])
	for name, cfg := range map[string]Config{
		"no connection": {Node: "n"}, "no node": {Conn: c}, "a subject": {Conn: c, Node: "a.b"}, "a long name": {Conn: c, Node: "n", Name: strings.Repeat("n", MaxName+1)}, "a wildcard": {Conn: c, Node: "n", Prefix: "a.*"}, "half a prefix": {Conn: c, Node: "n", Prefix: "a."},
	} {
		if b, err := New(cfg); err == nil {
			t.Errorf("%s is no error", name)
			_ = b.Close()
		}
	}
}

// The queue refuses what may be refused first, and never what others depend on.
func TestOutboundIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbound()
		for range MaxQueueMessages {
			if err := o.publish("s", nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.publish("s", nil); !errors.Is(err, engine.ErrBusy) {
			t.Errorf("a publication too many: %v", err)
		}
		if !o.change("s", make([]byte, 2*MaxQueueBytes)) || o.change("s", nil) {
			t.Error("changes are not bounded by bytes of their own")
		}
		o.put(sending{subject: "beat"})
		if n, bytes := o.size(); n != MaxQueueMessages+2 || bytes != 2*MaxQueueBytes {
			t.Errorf("%d messages of %d bytes", n, bytes)
		}
		batch, open := o.take(nil)
		if len(batch) != MaxQueueMessages+2 || !open {
			t.Errorf("%d were taken", len(batch))
		}
		go o.close()
		if batch, open = o.take(batch); open || batch != nil {
			t.Error("closed and empty, it is open")
		}
	})
}

// A view that is not complete is waited for, until the node that it lacks answers
// or is dead.
func TestMembersWaitForTheWholeView(t *testing.T) {
	for ends, dead := range map[string]time.Duration{"answers": time.Hour, "dies": 0} {
		t.Run(ends, func(t *testing.T) {
			nodes := cluster(t, 2, servers(t, 1), func(int) Config { return Config{FollowWait: time.Millisecond, Dead: dead} })
			a, b := nodes[0], nodes[1]
			a.Join(room, session("u", "1"), both)
			other := channel.ID{App: "default", Name: "other"}
			a.Follow(other)
			a.comesToSee(t, other, "", 0) // Follow alone has not waited for b
			a.ear.gate.Lock()
			release := sync.OnceFunc(a.ear.gate.Unlock)
			defer release()
			b.publish(t, other, "stop")
			b.Follow(room)
			views := make(chan view, 2)
			for _, ch := range []channel.ID{room, {App: "default", Name: "nowhere"}} { // with interest and without
				go func() { views <- b.sees(ch) }()
			}
			eventually(t, "both wait", func() bool {
				st := b.streamOf(room)
				st.mu.Lock()
				defer st.mu.Unlock()
				return len(st.waiting) == 1
			})
			if ends == "answers" {
				release()
			}
			seen := map[view]bool{<-views: true, <-views: true}
			want := view{clients: "1", stats: engine.PresenceStats{Clients: 1, Users: 1}}
			if ends == "dies" {
				want = view{}
			}
			if !seen[want] || !seen[view{}] {
				t.Errorf("seen %v", seen)
			}
		})
	}
}

// What a publication costs besides its delivery.
func TestPublishAllocates(t *testing.T) {
	srv := servers(t, 1)
	b := start(t, srv[0], Config{Node: "one"}, deaf{})
	acquainted(t, []*Bus{b, start(t, srv[0], Config{Node: "other"}, deaf{})})
	pub := &engine.Publication{Time: 1, Data: []byte(`{"a":1}`)}
	done := func(error) {}
	if n := testing.AllocsPerRun(1000, func() { b.Publish(room, pub, done) }); n > 3 {
		t.Errorf("%.0f allocations", n)
	}
}

type deaf struct{ engine.Follower }

func (deaf) Publication(channel.ID, string, *engine.Publication) {}

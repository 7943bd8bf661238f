package bus

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Nodes that are cut off from each other go on by themselves, each with its own
// sessions, and together again see everybody.
func TestPartition(t *testing.T) {
	var route *proxy
	srv := routed(t, 2, func(address string) string {
		route = newProxy(t, address)
		return route.Addr().String()
	})
	nodes := cluster(t, 2, srv, nil)
	a, b := nodes[0], nodes[1]
	for i, n := range nodes {
		n.Follow(room)
		n.Join(room, session(fmt.Sprint(i), fmt.Sprint(i)), both)
	}
	for _, n := range nodes {
		n.comesToSee(t, room, "0 1", 2)
	}
	route.setCut(true)
	eventually(t, "each takes the other for dead", func() bool { return len(a.Nodes()) == 1 && len(b.Nodes()) == 1 })
	a.comesToSee(t, room, "0", 1)
	b.comesToSee(t, room, "1", 1)
	a.publish(t, room, "only here")
	a.Join(room, session("2", "2"), both)
	b.Leave(room, session("1", "1"), both)
	b.Join(room, session("3", "3"), both)
	route.setCut(false)
	acquainted(t, nodes)
	for _, n := range nodes {
		n.comesToSee(t, room, "0 2 3", 3)
	}
	b.publish(t, room, "together")
	eventually(t, "publications cross again", func() bool { l := a.told(room); return l[len(l)-1] == "pub together" })
	for _, said := range b.told(room) {
		if said == "pub only here" {
			t.Error("what was published on the other side has come late")
		}
	}
}

// A node whose server goes away turns to another one, and misses nothing without
// noticing.
func TestReconnect(t *testing.T) {
	srv := servers(t, 2)
	nodes := cluster(t, 2, srv, func(i int) Config {
		if i == 1 {
			return Config{}
		}
		return Config{Conn: connect(t, srv[0], nats.ReconnectWait(time.Millisecond), nats.MaxReconnects(-1), nats.DontRandomize(), also(srv[1]))}
	})
	a, b := nodes[0], nodes[1]
	for _, n := range nodes {
		n.Follow(room)
	}
	a.Join(room, session("u", "1"), both)
	b.comesToSee(t, room, "1", 1)
	srv[0].Shutdown()
	a.Join(room, session("v", "2"), both)
	b.Join(room, session("w", "3"), both)
	const n = 1000
	for range n {
		b.publish(t, room, "b")
	}
	for _, n := range nodes {
		n.comesToSee(t, room, "1 2 3", 3)
	}
	eventually(t, "what does not come is missed", func() bool {
		heard := 0
		for _, said := range a.told(room) {
			if said == "pub b" {
				heard++
			}
		}
		return heard+int(a.Counters().Missed) >= n
	})
	a.publish(t, room, "a")
	eventually(t, "it is heard", func() bool { l := b.told(room); return l[len(l)-1] == "pub a" })
	eventually(t, "it is ready", func() bool { return a.Status().Ready })
}

// also is a server to turn to when the first is away.
func also(s *natsserver.Server) nats.Option {
	return func(o *nats.Options) error {
		o.Servers = append(o.Servers, s.ClientURL())
		return nil
	}
}

// That a node is alive is said past what waits on either side, and says nothing
// that would have to be in order.
func TestPulse(t *testing.T) {
	srv := servers(t, 1)
	sub, err := connect(t, srv[0]).SubscribeSync(subjectsOf(DefaultPrefix).alive)
	if err != nil {
		t.Fatal(err)
	}
	a := cluster(t, 1, srv, func(int) Config { return Config{Beat: 10 * time.Millisecond} })[0]
	a.Join(room, session("u", "1"), both) // whose number the beat tells
	for range 3 {
		msg, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := decode(msg.Data); err != nil || m.kind != kindBeat || m.from != a.cfg.Node || m.name != "n0" || m.flags != 0 || len(m.tops) > 0 {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

// When NATS takes nothing, publications are refused and not delivered, the node
// says so, and what was taken arrives in order once NATS goes on.
func TestNATSTakesNothing(t *testing.T) {
	srv := servers(t, 1)
	p := newProxy(t, srv[0].Addr().String())
	conn, err := nats.Connect("nats://"+p.Addr().String(), nats.NoEcho(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	nodes := cluster(t, 2, srv, func(i int) Config {
		if i == 0 {
			return Config{Conn: conn, Beat: 20 * time.Millisecond, Dead: time.Hour}
		}
		return Config{Dead: time.Hour}
	})
	a, b := nodes[0], nodes[1]
	b.Follow(room)
	p.gate.Lock()
	release := sync.OnceFunc(p.gate.Unlock)
	defer release()
	taken, refused := 0, 0
	large := make([]byte, 128<<10)
	for refused == 0 && taken < 4*MaxQueueBytes/len(large) {
		a.Publish(room, &engine.Publication{Data: fmt.Appendf(large[:0:0], "%d %s", taken, large), Binary: true}, func(err error) {
			switch {
			case err == nil:
				taken++
			case errors.Is(err, engine.ErrBusy):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	if refused == 0 {
		t.Fatalf("%d were taken", taken)
	}
	if got := len(a.told(room)); got != taken {
		t.Errorf("%d were taken, %d delivered here", taken, got)
	}
	if err := control(a.Bus, engine.Control{App: "a", Reason: "refused"}); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("control: %v", err)
	}
	if said := a.told(channel.ID{App: "a"}); len(said) > 0 {
		t.Errorf("refused, and told %q", said)
	}
	eventually(t, "it says so", func() bool { return !a.Status().Ready })
	if c := a.Counters(); c.QueueFull != 2 || c.QueueBytes < MaxQueueBytes {
		t.Errorf("%+v", c)
	}
	release()
	eventually(t, "what was taken arrives", func() bool { return len(b.told(room)) == taken })
	for i, said := range b.told(room) {
		if want := fmt.Sprintf("pub %d ", i); len(said) < len(want) || said[:len(want)] != want {
			t.Fatalf("%.20q came as number %d", said, i)
		}
	}
	eventually(t, "it is ready again", func() bool { return a.Status().Ready })
}

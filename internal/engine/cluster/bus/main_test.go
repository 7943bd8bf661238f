package bus

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

var room = channel.ID{App: "default", Name: "room:1"}

const both = engine.Track | engine.Announce

// servers starts NATS servers that form a cluster. The end of the test stops them.
func servers(tb testing.TB, n int) []*natsserver.Server {
	tb.Helper()
	return routed(tb, n, func(address string) string { return address })
}

// routed is servers whose routes to the first go where through says.
func routed(tb testing.TB, n int, through func(address string) string) []*natsserver.Server {
	tb.Helper()
	var list []*natsserver.Server
	var first string
	for i := range n {
		o := &natsserver.Options{
			ServerName: fmt.Sprintf("s%d", i), Host: "127.0.0.1", Port: natsserver.RANDOM_PORT,
			NoLog: true, NoSigs: true, NoSystemAccount: true,
		}
		if n > 1 {
			o.Cluster = natsserver.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: natsserver.RANDOM_PORT}
			o.RoutesStr = first
			o.Routes = natsserver.RoutesFromStr(first)
		}
		s, err := natsserver.NewServer(o)
		if err != nil {
			tb.Fatal(err)
		}
		s.Start()
		tb.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		if !s.ReadyForConnections(patience) {
			tb.Fatal("a NATS server does not start")
		}
		if first == "" && n > 1 {
			first = "nats://" + through(s.ClusterAddr().String())
		}
		list = append(list, s)
	}
	return list
}

// connect connects in the process to a server, or as options say.
func connect(tb testing.TB, s *natsserver.Server, options ...nats.Option) *nats.Conn {
	tb.Helper()
	url := "" // in the process
	if len(options) == 0 {
		options = []nats.Option{nats.InProcessServer(s), nats.NoReconnect()}
	} else {
		url = s.ClientURL()
	}
	c, err := nats.Connect(url, append(options, nats.NoEcho(), nats.Timeout(patience),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...) // what is dropped is what tests look at
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// node is a Bus and what its Follower was told.
type node struct {
	*Bus

	ear *listener
}

// start starts a node that tells f, on a server unless it has a connection. The end
// of the test closes it.
func start(tb testing.TB, s *natsserver.Server, cfg Config, f engine.Follower) *Bus {
	tb.Helper()
	if cfg.Conn == nil {
		cfg.Conn = connect(tb, s)
	}
	if cfg.FollowWait == 0 {
		cfg.FollowWait = patience // a busy machine is no reason not to wait
	}
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	b, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	b.Attach(f)
	tb.Cleanup(func() { _ = b.Close() })
	return b
}

// cluster starts n nodes, spread over servers, that know each other.
func cluster(tb testing.TB, n int, srv []*natsserver.Server, cfg func(i int) Config) []*node {
	tb.Helper()
	var nodes []*node
	for i := range n {
		c := Config{}
		if cfg != nil {
			c = cfg(i)
		}
		c.Node, c.Name = rand.Text(), fmt.Sprintf("n%d", i)
		l := newListener()
		nodes = append(nodes, &node{start(tb, srv[i%len(srv)], c, l), l})
	}
	acquainted(tb, nodes)
	return nodes
}

// acquainted waits until every node knows all others.
func acquainted[N interface{ Nodes() []NodeInfo }](tb testing.TB, nodes []N) {
	tb.Helper()
	eventually(tb, "all know each other", func() bool {
		return !slices.ContainsFunc(nodes, func(n N) bool { return len(n.Nodes()) != len(nodes) })
	})
}

// die is what a killed process does: nothing more.
func (n *node) die() { n.cfg.Conn.Close() }

// listener is a Follower that keeps what it is told: "pub data", "join client",
// "leave client", with + at an edge, "control reason".
type listener struct {
	mu   sync.Mutex
	said map[channel.ID][]string
	gate sync.Mutex // held: everything stands still
}

func newListener() *listener { return &listener{said: make(map[channel.ID][]string)} }

func (l *listener) say(ch channel.ID, what string) {
	l.gate.Lock()
	defer l.gate.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said[ch] = append(l.said[ch], what)
}

func (l *listener) Publication(ch channel.ID, _ string, pub *engine.Publication) {
	l.say(ch, "pub "+string(pub.Data))
}

func (l *listener) Join(ch channel.ID, info *engine.ClientInfo, edge bool) {
	l.say(ch, "join "+info.Client+map[bool]string{true: "+"}[edge])
}

func (l *listener) Leave(ch channel.ID, info *engine.ClientInfo, edge bool) {
	l.say(ch, "leave "+info.Client+map[bool]string{true: "+"}[edge])
}

func (l *listener) Control(c engine.Control) {
	l.say(channel.ID{App: c.App, Name: c.Channel}, "control "+c.Reason)
}

// told is what was told of a channel, in order.
func (l *listener) told(ch channel.ID) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.said[ch])
}

func (n *node) told(ch channel.ID) []string { return n.ear.told(ch) }

// hears waits until exactly this was told of a channel.
func (n *node) hears(tb testing.TB, ch channel.ID, want ...string) {
	tb.Helper()
	var got []string
	eventually(tb, fmt.Sprintf("%s is %q", ch, want), func() bool {
		got = n.told(ch)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		tb.Fatalf("%s was told of %s: %q, want %q", n.cfg.Name, ch, got, want)
	}
}

func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("it does not come to be that %s", what)
		}
	}
}

func (n *node) publish(tb testing.TB, ch channel.ID, data string) {
	tb.Helper()
	n.Publish(ch, &engine.Publication{Data: []byte(data)}, func(err error) {
		if err != nil {
			tb.Errorf("publish %q: %v", data, err)
		}
	})
}

func session(user, client string) *engine.ClientInfo {
	return &engine.ClientInfo{User: user, Client: client, ConnInfo: []byte(`{}`)}
}

type view struct {
	clients string // sorted
	stats   engine.PresenceStats
	err     error
}

// sees asks for members and counts.
func (n *node) sees(ch channel.ID) view {
	answers := make(chan view, 2)
	n.Members(ch, func(m engine.Members, err error) {
		var ids []string
		for id := range m {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		answers <- view{clients: strings.Join(ids, " "), err: err}
	})
	members := <-answers
	n.Stats(ch, func(s engine.PresenceStats, err error) { answers <- view{stats: s, err: err} })
	stats := <-answers
	members.stats = stats.stats
	if members.err == nil {
		members.err = stats.err
	}
	return members
}

// comesToSee waits until a node's view is these sessions of so many users.
func (n *node) comesToSee(tb testing.TB, ch channel.ID, clients string, users int) {
	tb.Helper()
	want := view{clients: clients, stats: engine.PresenceStats{Clients: len(strings.Fields(clients)), Users: users}}
	var got view
	defer func() {
		if tb.Failed() {
			tb.Logf("it sees %+v; %+v", got, n.Counters())
		}
	}()
	eventually(tb, fmt.Sprintf("%s sees %+v", n.cfg.Name, want), func() bool {
		got = n.sees(ch)
		return got == want
	})
}

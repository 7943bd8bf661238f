package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

const (
	apiKey  = "the key of the edge's test"
	timeout = 90 * time.Second
)

const settings = `
api: {key: "` + apiKey + `"}
client: {allow_anonymous: true}
channel:
  without_namespace: {allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, presence: true}
  namespaces:
    - {name: kept, history_size: 1000, history_ttl: 1h, force_recovery: true, allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true}
`

var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("edge")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// freePort is a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// scene is three core nodes and one edge node.
type scene struct {
	*trio.Trio

	t      *testing.T
	dir    string
	ports  []string // for edge nodes
	edge   *server.Server
	client *http.Client
}

func start(ctx context.Context, t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, dir: t.TempDir(), client: &http.Client{Transport: &http.Transport{}}}
	var err error
	if s.Trio, err = trio.New(ctx, trio.Config{Bin: bin, Dir: s.dir, Settings: settings, APIKey: apiKey}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.edge != nil {
			s.edge.Kill()
		}
		s.client.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range trio.Size {
		s.ports = append(s.ports, freePort(t))
		if err := s.Start(ctx, i, "FANFARE_CLUSTER_LISTEN_EDGES="+s.ports[i]); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// join starts the edge node on an empty directory, or on what it had.
func (s *scene) join(ctx context.Context, name string) {
	s.t.Helper()
	var err error
	s.edge, err = server.Start(ctx, server.Options{
		Bin: bin, Dir: s.dir, ConfigName: name + ".yaml", APIKey: apiKey,
		Config: settings + fmt.Sprintf("cluster: {name: trio, node: %s, edge: true, peers: [%s]}\n", name, strings.Join(s.ports, ", ")),
		Args:   []string{"--data-dir", filepath.Join(s.dir, name)},
		Env:    []string{"FANFARE_CLUSTER_SECRET=" + s.Secret()},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// edgeReady waits until the edge node can do its job.
func (s *scene) edgeReady(ctx context.Context) {
	s.t.Helper()
	_, err := trio.Await(ctx, "the edge node is ready", func() (bool, string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.edge.Addr()+"/ready", http.NoBody)
		if err != nil {
			return false, err.Error()
		}
		res, err := s.client.Do(req)
		if err != nil {
			return false, err.Error()
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK, res.Status
	})
	if err != nil {
		s.t.Fatal(err, s.edge.Output())
	}
}

// publish publishes on a node, again while it is refused for the moment.
func (s *scene) publish(ctx context.Context, srv *server.Server, channel string, n int) {
	s.t.Helper()
	_, err := trio.Await(ctx, fmt.Sprintf("%s:%d is published", channel, n), func() (bool, string) {
		err := srv.API(s.client).Do(ctx, "publish", json.RawMessage(fmt.Sprintf(`{"channel":%q,"data":%d,"idempotency_key":"%s%d"}`, channel, n, channel, n)), nil)
		return err == nil, fmt.Sprint(err)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// listen connects to a node and subscribes, from a position on ("": from now on).
func (s *scene) listen(ctx context.Context, srv *server.Server, channel, since string) (*wire.Conn, wire.Message) {
	s.t.Helper()
	c, err := wire.Connect(ctx, srv.WebSocketURL())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Drop)
	if err := c.Send(ctx, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q%s}}`, channel, since)); err != nil {
		s.t.Fatal(err)
	}
	m, err := c.Reply(ctx, 2)
	if err != nil || m.Subscribe == nil {
		s.t.Fatalf("%v %s", err, m.Raw)
	}
	return c, m
}

// TestEdgeComesAndGoes: what is published on a core node arrives on the edge and the
// other way round, with and without history; a client goes on from where it stood on
// another node when the edge is killed; an edge that is new has all there is.
func TestEdgeComesAndGoes(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	s := start(ctx, t)
	s.join(ctx, "e1")
	if err := s.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	s.edgeReady(ctx)

	onEdge, reply := s.listen(ctx, s.edge, "kept:a", "")
	onCore, _ := s.listen(ctx, s.Server(1), "plain", "")
	for n := 1; n <= 5; n++ {
		s.publish(ctx, s.Server(n%trio.Size), "kept:a", n)
	}
	for n := 1; n <= 5; n++ {
		m, err := onEdge.Next(ctx)
		if err != nil || m.Push == nil || !strings.Contains(string(m.Raw), fmt.Sprintf(`"offset":%d`, n)) {
			t.Fatalf("%d: %v %s", n, err, m.Raw)
		}
	}
	s.publish(ctx, s.edge, "plain", 7)
	if m, err := onCore.Next(ctx); err != nil || !strings.Contains(string(m.Raw), `"data":7`) {
		t.Fatalf("%v %s", err, m.Raw)
	}

	s.edge.Kill()
	for n := 6; n <= 10; n++ {
		s.publish(ctx, s.Server(0), "kept:a", n)
	}
	since := fmt.Sprintf(`,"recover":true,"offset":5,"epoch":%q`, reply.Subscribe.Epoch)
	recovered := func(srv *server.Server, where string) {
		t.Helper()
		_, m := s.listen(ctx, srv, "kept:a", since)
		for n := 6; n <= 10; n++ {
			if !strings.Contains(string(m.Raw), fmt.Sprintf(`"data":%d`, n)) {
				t.Fatalf("%s: %d is not recovered: %s", where, n, m.Raw)
			}
		}
		if !strings.Contains(string(m.Raw), `"recovered":true`) {
			t.Fatalf("%s: %s", where, m.Raw)
		}
	}
	recovered(s.Server(2), "on a core node")
	s.join(ctx, "e2") // on an empty directory
	s.edgeReady(ctx)
	recovered(s.edge, "on a new edge node")
	s.edge.Kill()
	s.join(ctx, "e1") // on what the first one had
	s.edgeReady(ctx)
	recovered(s.edge, "on the edge node that came back")
}

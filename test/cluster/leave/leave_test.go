package leave

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/audit/crowd"
	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	apiKey = "leave"
	appKey = "leave-key"

	clients = 60 // that wait on all nodes together
)

// settings release 20 clients in a second, so that those of a node take a while.
const settings = `
drain_rate: 20
app: {id: leave-id, key: ` + appKey + `, secret: leave-secret}
api: {key: ` + apiKey + `}
client: {allow_anonymous: true}
store: {reserve_size: 32MiB}
channel:
  without_namespace:
    history_size: 1000000
    history_ttl: 24h
    force_recovery: true
    allow_subscribe_for_client: true
    allow_subscribe_for_anonymous: true
`

// gap is the longest time in which nothing was acknowledged.
type gap struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
}

func (g *gap) acked(string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !g.last.IsZero() {
		g.longest = max(g.longest, now.Sub(g.last))
	}
	g.last = now
}

// take gives the longest since the last take.
func (g *gap) take() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	longest := g.longest
	g.longest = 0
	return longest
}

// TestRollingRestart: nothing is lost, doubled or out of order while all nodes are
// stopped and started one after the other, and every client is told to come back.
// How long clients were away and nothing was acknowledged is reported, and decides
// nothing.
func TestRollingRestart(t *testing.T) {
	bin, err := server.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	nodes, err := trio.New(ctx, trio.Config{Bin: bin, Dir: t.TempDir(), Settings: settings, APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := nodes.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i := range trio.Size {
		if err := nodes.Start(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := nodes.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	away, err := send(ctx, nodes, clients)
	if err != nil {
		t.Fatal(err)
	}
	acks := &gap{}
	crew := &crowd.Crowd{
		Loads: []crowd.Load{
			{Channel: "a", Publishers: trio.Size, Subscribers: 4, MaxPad: 200, Pause: 20 * time.Millisecond},
			{Channel: "b", Publishers: trio.Size, Subscribers: 4, MaxPad: 2000, Pause: 20 * time.Millisecond},
		},
		Seed: rand.Uint64(), APIKey: apiKey, AppKey: appKey, Find: nodes.Find, Moves: true, CallTimeout: 3 * time.Second, Acked: acks.acked,
		Ways: []crowd.Way{crowd.OverWebSocket, crowd.OverEvents, crowd.OverHTTPStream, crowd.OverPusher},
		Ends: func(ctx context.Context) (list []string, err error) {
			err = nodes.AwaitReady(ctx)
			for i := range trio.Size {
				list = append(list, nodes.Server(i).Addr())
			}
			return list, err
		},
	}
	record, err := crew.Run(ctx, func(ctx context.Context, _ *rand.Rand) error {
		if err := crew.AwaitAcks(ctx, 100); err != nil {
			return err
		}
		t.Logf("undisturbed: nothing acknowledged for %v at most", acks.take().Round(time.Millisecond))
		for i := range trio.Size {
			if err := restart(ctx, t, nodes, i, crew, acks); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, away.end()); err != nil {
		t.Fatal(err)
	}
	t.Attr("summary", crowd.Summary(record))
	t.Log(crowd.Summary(record))
	if err := crowd.Judge(record, filepath.Join(os.TempDir(), "fanfare-cluster-leave.json")); err != nil {
		t.Error(err)
	}
	away.report(t)
}

// restart stops a node as an operator does, starts it again and waits until all
// are ready.
func restart(ctx context.Context, t *testing.T, nodes *trio.Trio, i int, crew *crowd.Crowd, acks *gap) error {
	t.Helper()
	srv, began := nodes.Server(i), time.Now()
	if err := nodes.Stop(ctx, i); err != nil {
		return err
	}
	took := time.Since(began)
	if printed := srv.Output(); !strings.Contains(printed, "msg=drained") {
		return fmt.Errorf("%s has not released its clients:\n%s", trio.Name(i), printed)
	}
	down := acks.take()
	if err := nodes.Start(ctx, i); err != nil {
		return err
	}
	if err := nodes.AwaitReady(ctx); err != nil {
		return err
	}
	if err := crew.AwaitAcks(ctx, 100); err != nil {
		return err
	}
	t.Logf("%s: stopped in %v, nothing acknowledged for %v at most meanwhile and %v until it was ready again", trio.Name(i),
		took.Round(time.Millisecond), down.Round(time.Millisecond), acks.take().Round(time.Millisecond))
	return nil
}

// report tells how long clients were away, and checks that each node has sent some
// to others.
func (ts *travellers) report(t *testing.T) {
	t.Helper()
	for i := range trio.Size {
		var first, last time.Time
		var longest time.Duration
		n := 0
		for _, one := range ts.all {
			for _, a := range one.away {
				if a.from != i {
					continue
				}
				if n++; n == 1 || a.began.Before(first) {
					first = a.began
				}
				if a.began.After(last) {
					last = a.began
				}
				longest = max(longest, a.took)
			}
		}
		if n == 0 {
			t.Errorf("%s has sent no client to another node", trio.Name(i))
			continue
		}
		t.Logf("%s: %d clients were told to come back, within %v; the longest was away for %v", trio.Name(i), n,
			last.Sub(first).Round(time.Millisecond), longest.Round(time.Millisecond))
	}
}

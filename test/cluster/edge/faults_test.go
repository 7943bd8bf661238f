package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

// acks are the offsets at which publications were acknowledged.
type acks struct {
	mu sync.Mutex
	at map[string]uint64 // by data
}

func (a *acks) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.at)
}

// publishWhile publishes to a channel on one node after the other, again until it is
// acknowledged, while ctx lasts.
func (s *scene) publishWhile(ctx context.Context, channel string, i int, a *acks) {
	for n := 0; ctx.Err() == nil; n++ {
		data := fmt.Sprintf("%d-%d", i, n)
		for try := 0; ctx.Err() == nil; try++ {
			srv := s.edge
			if at := (i + n + try) % (trio.Size + 1); at < trio.Size {
				srv = s.Server(at)
			}
			if srv == nil {
				continue // it is down
			}
			offset, err := s.offset(ctx, srv, fmt.Sprintf(`{"channel":%q,"data":%q,"idempotency_key":%q}`, channel, data, data))
			if err == nil {
				a.mu.Lock()
				a.at[data] = offset
				a.mu.Unlock()
				break
			}
		}
	}
}

func (s *scene) offset(ctx context.Context, srv *server.Server, request string) (uint64, error) {
	var res struct{ Offset uint64 }
	err := srv.API(s.client).Do(ctx, "publish", json.RawMessage(request), &res)
	return res.Offset, err
}

// received is what a subscriber was sent, by offset from 1 on.
type received struct {
	mu   sync.Mutex
	data []string
}

// listenTo takes what a subscriber is sent until ctx ends, and faults what does not
// follow.
func (r *received) listenTo(ctx context.Context, t *testing.T, c *wire.Conn) {
	t.Helper()
	for {
		m, err := c.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		var push struct {
			Push struct {
				Pub *struct {
					Data   string
					Offset uint64
				}
			}
		}
		if err != nil || json.Unmarshal(m.Raw, &push) != nil || push.Push.Pub == nil {
			t.Errorf("a subscriber of the edge was sent %s, %v", m.Raw, err)
			return
		}
		r.mu.Lock()
		if want := uint64(len(r.data) + 1); push.Push.Pub.Offset != want {
			t.Errorf("%d was sent in place of %d", push.Push.Pub.Offset, want)
		}
		r.data = append(r.data, push.Push.Pub.Data)
		r.mu.Unlock()
	}
}

func (r *received) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.data)
}

// TestEdgeWhileCoreNodesAreKilled: a client of the edge that stays connected is sent each
// publication once, in order, while each core node is killed under load and comes back;
// what was acknowledged, also by the edge, is among it. The edge keeps nothing of it.
func TestEdgeWhileCoreNodesAreKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*timeout)
	defer cancel()
	s := start(ctx, t)
	if err := s.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	s.join(ctx, "e1")
	s.edgeReady(ctx)
	c, reply := s.listen(ctx, s.edge, "kept:load", "")
	if reply.Subscribe.Offset != 0 {
		t.Fatalf("%s", reply.Raw)
	}
	load, halt := context.WithCancel(ctx)
	defer halt()
	listening, deaf := context.WithCancel(ctx)
	defer deaf()
	a, got := &acks{at: make(map[string]uint64)}, &received{}
	var publishers, listener sync.WaitGroup
	listener.Go(func() { got.listenTo(listening, t, c) })
	for i := range 4 {
		publishers.Go(func() { s.publishWhile(load, "kept:load", i, a) })
	}
	flows := func(what string) {
		t.Helper()
		from := a.count()
		if _, err := trio.Await(ctx, "publications flow "+what, func() (bool, string) {
			return a.count() >= from+100, fmt.Sprint(a.count())
		}); err != nil {
			t.Fatal(err)
		}
	}
	flows("at first")
	for i := range trio.Size {
		s.Kill(i)
		flows("without " + trio.Name(i))
		if err := s.Start(ctx, i, "FANFARE_CLUSTER_LISTEN_EDGES="+s.ports[i]); err != nil {
			t.Fatal(err)
		}
		if err := s.AwaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		flows("with " + trio.Name(i) + " again")
	}
	halt()
	publishers.Wait()
	// One more, which comes last, says where the channel ends.
	var last uint64
	if _, err := trio.Await(ctx, "the last is published", func() (bool, string) {
		var err error
		last, err = s.offset(ctx, s.Server(0), `{"channel":"kept:load","data":"last","idempotency_key":"last"}`)
		return err == nil, fmt.Sprint(err)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := trio.Await(ctx, "all is sent", func() (bool, string) {
		return got.count() >= int(last), fmt.Sprintf("%d of %d", got.count(), last)
	}); err != nil {
		t.Fatal(err)
	}
	deaf()
	listener.Wait()
	for data, offset := range a.at {
		if offset == 0 || got.data[offset-1] != data {
			t.Errorf("%q was acknowledged at %d, where there is %q", data, offset, got.data[offset-1])
		}
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(got.data)))); n != len(got.data) {
		t.Errorf("of %d publications %d differ", len(got.data), n)
	}
	t.Logf("%d publications, %d acknowledged", len(got.data), len(a.at))
	for _, part := range []string{"index", "nats"} {
		if _, err := os.Stat(filepath.Join(s.dir, "e1", part)); !os.IsNotExist(err) {
			t.Errorf("the edge has %s on its disk: %v", part, err)
		}
	}
}

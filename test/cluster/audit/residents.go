package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/wire"
)

// residents are one client on each node that stays there, by which presence is
// judged.
type residents struct {
	trio *trio.Trio

	mu  sync.Mutex
	ids [trio.Size]string // of the clients; "": not there
}

const returnAfter = 50 * time.Millisecond

// begin lets them in; stop waits until they have left.
func (r *residents) begin(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for i := range trio.Size {
		all.Go(func() {
			for ctx.Err() == nil {
				r.reside(ctx, i)
				r.note(i, "")
				_ = pause(ctx, returnAfter)
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// reside is one connection from its dial to its end.
func (r *residents) reside(ctx context.Context, i int) {
	srv := r.trio.Server(i)
	if srv == nil {
		return
	}
	c, err := wire.Connect(ctx, srv.WebSocketURL())
	if err != nil {
		return
	}
	defer c.Drop()
	if c.Send(ctx, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, presentChannel)) != nil {
		return
	}
	m, err := c.Reply(ctx, 2)
	if err != nil || m.Subscribe == nil {
		return
	}
	r.note(i, c.Client)
	for err == nil && (m.Push == nil || m.Push.Unsubscribe == nil) {
		m, err = c.Next(ctx)
	}
}

func (r *residents) note(i int, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[i] = id
}

// right waits until every resident of a node that is up is there, and every such
// node says that they are present, and nobody else.
func (r *residents) right(ctx context.Context) (time.Duration, error) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: callTimeout}
	return trio.Await(ctx, "presence is right", func() (bool, string) {
		for i := range trio.Size {
			srv := r.trio.Server(i)
			if srv == nil {
				continue
			}
			want, missing := r.expected()
			if missing != "" {
				return false, missing
			}
			var got struct{ Presence map[string]any }
			if err := srv.API(client).Do(ctx, "presence", map[string]any{"channel": presentChannel}, &got); err != nil {
				return false, err.Error()
			}
			if list := slices.Sorted(maps.Keys(got.Presence)); !slices.Equal(list, want) {
				return false, fmt.Sprintf("%s says %s, want %s", trio.Name(i), strings.Join(list, " "), strings.Join(want, " "))
			}
		}
		return true, ""
	})
}

// expected are the clients that are there; missing is one whose node is up.
func (r *residents) expected() (ids []string, missing string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, id := range r.ids {
		switch {
		case r.trio.Server(i) == nil:
		case id == "":
			return nil, "nobody is on " + trio.Name(i)
		default:
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, ""
}

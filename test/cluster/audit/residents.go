package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

// residents are one client on each node that stays there, all of one user, by
// which presence and limits are judged.
type residents struct {
	trio  *trio.Trio
	token string // of the user

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
	c, err := wire.ConnectAs(ctx, srv.WebSocketURL(), r.token)
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

// mint makes the token of the residents, as an operator does.
func (a *audit) mint(ctx context.Context) error {
	code, token, err := server.Run(ctx, server.Options{Bin: a.bin, Dir: a.dir, Env: []string{"FANFARE_APP_SECRET=" + appSecret}},
		"token", "mint", "--user", "resident")
	if err == nil && code != 0 {
		err = fmt.Errorf("token mint ends with code %d: %s", code, token)
	}
	a.residents.token = strings.TrimSpace(token)
	return err
}

// overLimit is the code of a session that is one too many of its user.
const overLimit = 3504

// guest tries one more connection of the user.
func (r *residents) guest(ctx context.Context, i int) (admitted bool, err error) {
	srv := r.trio.Server(i)
	if srv == nil {
		return false, errors.New("down")
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := wire.ConnectAs(ctx, srv.WebSocketURL(), r.token)
	if err == nil {
		c.Drop()
		return true, nil
	}
	var closed *wire.Closed
	if errors.As(err, &closed) && closed.Code == overLimit {
		return false, nil
	}
	return false, err
}

// admits waits until a node admits one more, or refuses it.
func (r *residents) admits(ctx context.Context, i int, want bool) (time.Duration, error) {
	return trio.Await(ctx, fmt.Sprintf("one more of the user is admitted to %s: %t", trio.Name(i), want), func() (bool, string) {
		admitted, err := r.guest(ctx, i)
		return err == nil && admitted == want, fmt.Sprintf("%t, %v", admitted, err)
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/test/wire"
)

const (
	limitsSecret     = "0b5e2f9d8c7a61534f3e2d1c0b9a88776655443322" // of this run alone
	limitsChannel    = "bench"
	limitsPublishers = 64
	limitsUsers      = 16 // of the publishers that are clients
)

const limitsConfig = `
log: {level: warn}
api: {key: ` + apiKey + `}
app: {secret: ` + limitsSecret + `}
client: {allow_anonymous: true, ping_interval: 10m}
channel:
  without_namespace: {allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, allow_publish_for_client: true}
`

const noLimits = "limits: {subscribes_per_connection: 0, publishes_per_connection: 0, rpcs_per_connection: 0}\n"

// limitSettings are the contenders, the reference first; what differs from it while
// it is the same is noise. The last refuses nothing that this program can ask for.
var limitSettings = []struct{ name, config string }{
	{"none", noLimits},
	{"none, on another server", noLimits},
	{"the defaults", ""},
	{"every one", `limits:
  connections_per_app: 1000000
  connections_per_user: 1000000
  connections_per_ip: 1000000
  connects_per_ip: 1000000
  connects_per_user: 1000000
  connects_per_app: 10000000
  subscribes_per_connection: 1000000
  subscribes_per_user: 1000000
  subscribes_per_ip: 1000000
  subscribes_per_app: 10000000
  publishes_per_connection: 1000000
  publishes_per_user: 1000000
  publishes_per_ip: 1000000
  publishes_per_app: 10000000
  rpcs_per_connection: 1000000
  rpcs_per_user: 1000000
  rpcs_per_ip: 1000000
  rpcs_per_app: 10000000
  bytes_per_connection: 1GiB
  bytes_per_user: 1GiB
  bytes_per_ip: 1TiB
  bytes_per_app: 1TiB
  api_requests_per_key: 10000000
`},
}

// limitedWay is a way to publish.
type limitedWay struct {
	name        string
	subscribers int
	clients     bool // publish, and not a backend
}

// limits measures what limits cost a publication, with this program as the load.
func (b *bench) limits(ctx context.Context) (string, error) {
	t := &table{head: []string{"publication", "limits", "CPU of one", "ratio", "aim"}}
	for _, way := range []limitedWay{
		{"`POST /api/publish` to 2 subscribers", 2, false},
		{"`POST /api/publish` to 100 subscribers", 100, false},
		{"a client's to 2 subscribers", 2, true},
	} {
		m, err := b.repeat(ctx, way.name, func(ctx context.Context) (numbers, error) { return b.limitsRun(ctx, way) })
		if err != nil {
			return "", err
		}
		for _, s := range limitSettings {
			aim := ""
			if s.config != noLimits {
				aim = "≤ 1.05"
			}
			t.add(way.name, s.name, fmt.Sprintf("%.1f µs", m[s.name]*1e6), fmt.Sprintf("%.3f", m[s.name+"/ratio"]), aim)
		}
	}
	return fmt.Sprintf("\n## The cost of limits\n\n128 bytes of data, no history. %d publish at a time, clients as %d users; each of the settings has a server of its own, and\n"+
		"they take turns of %s. Ratios are medians of those of each run; that of the same settings on another server is noise.\n\n%s", limitsPublishers, limitsUsers, b.dur/turnsOfARun, t), nil
}

func (b *bench) limitsRun(ctx context.Context, way limitedWay) (numbers, error) {
	var list []contender
	var end ends
	defer end.run()
	for _, s := range limitSettings {
		srv, err := b.startWith(ctx, 1, limitsConfig+s.config)
		if err != nil {
			return nil, err
		}
		end.add(srv.end)
		listeners := &audience{}
		end.add(listeners.leave)
		if err := listeners.subscribe(ctx, srv, way.subscribers); err != nil {
			return nil, err
		}
		run := func(ctx context.Context, d time.Duration) (int64, error) {
			return publishFor(ctx, srv.api, func(int) string { return limitsChannel }, limitsPublishers, d)
		}
		if way.clients {
			c := &clients{}
			end.add(c.drop)
			if err := c.connect(ctx, srv.WebSocketURL()); err != nil {
				return nil, err
			}
			run = c.publishFor
		}
		list = append(list, contender{s.name, srv.PID(), run})
	}
	return takeTurns(ctx, list, b.dur)
}

// audience subscribes and reads whatever comes.
type audience struct {
	streams []io.Closer
	readers sync.WaitGroup
}

// subscribe returns once the server has all of them.
func (a *audience) subscribe(ctx context.Context, srv *subject, n int) error {
	tap := newWireTap(srv.Addr())
	for range n {
		stream, err := centrifugeJSON("", false)(ctx, tap, limitsChannel)
		if err != nil {
			return err
		}
		a.streams = append(a.streams, stream)
		a.readers.Go(func() { _, _ = io.Copy(io.Discard, stream) }) // ends with the connection
	}
	for {
		have, err := srv.metric(ctx, "fanfare_subscriptions")
		if err != nil || int(have) == n {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%d subscribers: %w", n, err)
		}
	}
}

func (a *audience) leave() {
	for _, s := range a.streams {
		_ = s.Close()
	}
	a.readers.Wait()
}

// clients publish, each one thing at a time.
type clients struct {
	conns []*wire.Conn
	last  []uint32 // the id of each one's last command
}

func (c *clients) connect(ctx context.Context, url string) error {
	for i := range limitsPublishers {
		token, err := auth.Mint(limitsSecret, auth.Token{User: "u" + strconv.Itoa(i%limitsUsers)})
		if err != nil {
			return err
		}
		conn, err := wire.Dial(ctx, url, nil)
		if err != nil {
			return err
		}
		c.conns, c.last = append(c.conns, conn), append(c.last, 1)
		if err := conn.Send(ctx, fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, token)); err != nil {
			return err
		}
		if m, err := conn.Reply(ctx, 1); err != nil || m.Connect == nil {
			return errors.Join(err, errors.New("connect: "+string(m.Raw)))
		}
	}
	return nil
}

func (c *clients) publishFor(ctx context.Context, d time.Duration) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := time.Now().Add(d)
	pad := strings.Repeat("x", 126)
	var n atomic.Int64
	var wg sync.WaitGroup
	for i, conn := range c.conns {
		wg.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				c.last[i]++
				err := conn.Send(ctx, fmt.Sprintf(`{"id":%d,"publish":{"channel":%q,"data":%q}}`, c.last[i], limitsChannel, pad))
				if err == nil {
					var m wire.Message
					if m, err = conn.Reply(ctx, c.last[i]); err == nil && m.Publish == nil {
						err = errors.New("publish: " + string(m.Raw))
					}
				}
				if err != nil {
					cancel(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return n.Load(), context.Cause(ctx)
}

func (c *clients) drop() {
	for _, conn := range c.conns {
		conn.Drop()
	}
}

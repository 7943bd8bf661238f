package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

const (
	fanoutSubscribers = 1000
	fanoutWindow      = 4 // publications under way
	fanoutChannel     = "fanout-bench"
	quoteChannel      = "quote-bench"
	appKey            = "bench"
)

const fanoutConfig = `
log:
  level: warn
app:
  key: ` + appKey + `
  secret: ` + appKey + `
api:
  key: ` + apiKey + `
client:
  allow_anonymous: true
channel:
  namespaces:
    - name: fanout
      prefixes: ["fanout-"]
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
    - name: quote
      prefixes: ["quote-"]
      history_size: 10
      history_ttl: 1h
      history_durability: memory
      force_recovery: true
      allowed_delta_types: [fossil]
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
`

// wireTap is the way to one server; it counts the bytes that come from there.
type wireTap struct {
	addr   string
	client *http.Client
	bytes  atomic.Int64
}

func newWireTap(addr string) *wireTap {
	w := &wireTap{addr: addr}
	w.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return tapped{c, w}, err
		},
	}}
	return w
}

type tapped struct {
	net.Conn
	tap *wireTap
}

func (t tapped) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.tap.bytes.Add(int64(n))
	return n, err
}

// feed is what is published: message i of its channel.
type feed struct {
	channel string
	message func(i int) string
}

// fanouts measures what one delivery costs by each way, with this program as the
// load, which reads as fast as it can and is not what is measured.
func (b *bench) fanouts(ctx context.Context) (string, error) {
	text := fmt.Sprintf("\n## Fan-out by transport and encoding\n\n%d subscribers of one channel, %d publications under way. Ratios are to %s\n"+
		"in the same table. Bytes are those on the wire for one delivery, HTTP and WebSocket framing included.\n", fanoutSubscribers, fanoutWindow, reference)
	padded := func(size int) feed {
		words := strings.Repeat(`the price of "silence" is noise, `, size/32+1)
		return feed{fanoutChannel, func(i int) string { return fmt.Sprintf(`{"n":%d,"text":%q}`, i, words[:size]) }}
	}
	for _, part := range []struct {
		title string
		feed  feed
		ways  []way
	}{
		{"Messages of about 128 bytes", padded(100), fanoutWays()},
		{"Messages of about 1 KiB", padded(950), compressedWays()},
		{"A feed of stock quotes, as it is and as changes", quotes(), quoteWays()},
	} {
		fmt.Println(" " + part.title)
		t := &table{head: []string{"way", "deliveries per CPU-second of the server", "ratio", "bytes per delivery", "ratio", "CPU"}}
		if err := b.compare(ctx, t, part.feed, part.ways); err != nil {
			return "", err
		}
		text += "\n### " + part.title + "\n\n" + t.String()
	}
	return text, nil
}

func (b *bench) compare(ctx context.Context, t *table, f feed, ways []way) error {
	runs := make([][]numbers, len(ways))
	for range b.runs {
		for i, w := range ways { // in turn, so that a slow minute is everybody's
			run, err := b.fanoutRun(ctx, f, w)
			if err != nil {
				return fmt.Errorf("fan-out, %s: %w", w.name, err)
			}
			runs[i] = append(runs[i], run)
		}
	}
	base := median(runs[0])
	for i, w := range ways {
		m := median(runs[i])
		t.add(w.name, human(m["per_cpu"]), fmt.Sprintf("%.2f", m["per_cpu"]/base["per_cpu"]),
			human(m["bytes"]), fmt.Sprintf("%.2f", m["bytes"]/base["bytes"]), fmt.Sprintf("%.0f %%", 100*m["cpu"]))
	}
	return nil
}

// fanoutRun is one server with its subscribers.
func (b *bench) fanoutRun(ctx context.Context, f feed, w way) (numbers, error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return nil, err
	}
	opts := server.Options{Bin: b.bin, Dir: dir, Config: fanoutConfig, APIKey: apiKey, Wrap: b.pin(serverCore)}
	if b.cpu != nil {
		opts.Env = []string{"GOMAXPROCS=1"}
	}
	srv, err := server.Start(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer srv.Kill()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := &crowd{tap: newWireTap(srv.Addr()), mark: []byte(w.mark), arrived: make(chan struct{}, 1<<16), fail: cancel}
	defer c.leave()
	if err := c.subscribe(ctx, w, f.channel); err != nil {
		return nil, err
	}
	api := srv.API(http.DefaultClient)
	defer http.DefaultClient.CloseIdleConnections()
	p := &pump{api: api, feed: f, crowd: c}
	if err := p.awaitSubscribers(ctx); err != nil {
		return nil, err
	}
	if err := p.publish(ctx, b.dur/4); err != nil {
		return nil, err
	}
	cpu, err := cpuSeconds(srv.PID())
	if err != nil {
		return nil, err
	}
	start, delivered, read := time.Now(), c.delivered.Load(), c.tap.bytes.Load()
	if err := p.publish(ctx, b.dur); err != nil {
		return nil, err
	}
	took, n := time.Since(start).Seconds(), float64(c.delivered.Load()-delivered)
	after, err := cpuSeconds(srv.PID())
	if err != nil {
		return nil, err
	}
	return numbers{"per_cpu": n / (after - cpu), "bytes": float64(c.tap.bytes.Load()-read) / n, "cpu": (after - cpu) / took}, nil
}

// crowd is all subscribers of a run.
type crowd struct {
	tap       *wireTap
	mark      []byte
	delivered atomic.Int64
	arrived   chan struct{} // once for each publication, when all have it, more or less
	fail      context.CancelCauseFunc

	mu      sync.Mutex
	streams []io.Closer
	left    bool
	readers sync.WaitGroup
}

// subscribe opens the connections, some at a time.
func (c *crowd) subscribe(ctx context.Context, w way, channel string) error {
	var opening sync.WaitGroup
	gate := make(chan struct{}, 64)
	for range fanoutSubscribers {
		gate <- struct{}{}
		opening.Go(func() {
			defer func() { <-gate }()
			stream, err := w.open(ctx, c.tap, channel)
			if err != nil {
				c.fail(err)
				return
			}
			c.mu.Lock()
			c.streams = append(c.streams, stream)
			c.mu.Unlock()
			c.readers.Go(func() { c.read(stream) })
		})
	}
	opening.Wait()
	return context.Cause(ctx)
}

// read counts marks, also those that come in two pieces.
func (c *crowd) read(stream io.Reader) {
	buf := make([]byte, 4<<10)
	for kept := 0; ; {
		n, err := stream.Read(buf[kept:])
		if err != nil {
			c.ended(err)
			return
		}
		have := buf[:kept+n]
		c.count(int64(bytes.Count(have, c.mark)))
		tail := have[max(0, len(have)-len(c.mark)+1):]
		kept = copy(buf, tail)
	}
}

func (c *crowd) ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.left {
		c.fail(fmt.Errorf("a subscriber's connection ended: %w", err))
	}
}

func (c *crowd) count(n int64) {
	now := c.delivered.Add(n)
	for range now/fanoutSubscribers - (now-n)/fanoutSubscribers {
		c.arrived <- struct{}{}
	}
}

func (c *crowd) leave() {
	c.mu.Lock()
	c.left = true
	for _, s := range c.streams {
		_ = s.Close()
	}
	c.mu.Unlock()
	c.readers.Wait()
	c.tap.client.CloseIdleConnections()
}

// pump publishes the feed to the crowd.
type pump struct {
	api       *server.API
	feed      feed
	crowd     *crowd
	published int
}

const fanoutPatience = 30 * time.Second

// awaitSubscribers returns when the server counts all of them.
func (p *pump) awaitSubscribers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fanoutPatience)
	defer cancel()
	for {
		var channels struct {
			Channels map[string]struct {
				Clients int `json:"num_clients"`
			} `json:"channels"`
		}
		if err := p.api.Do(ctx, "channels", map[string]any{}, &channels); err != nil {
			return err
		}
		if channels.Channels[p.feed.channel].Clients >= fanoutSubscribers {
			return nil
		}
	}
}

// publish publishes for d and returns when everything has arrived.
func (p *pump) publish(ctx context.Context, d time.Duration) error {
	under := 0
	for end := time.Now().Add(d); time.Now().Before(end) || under > 0; {
		if under < fanoutWindow && time.Now().Before(end) {
			body := fmt.Appendf(nil, `{"channel":%q,"delta":true,"data":%s}`, p.feed.channel, p.feed.message(p.published))
			reply, err := p.api.Post(ctx, "publish", body)
			if err == nil && reply.Error != nil {
				err = reply.Error
			}
			if err != nil {
				return err
			}
			p.published++
			under++
			continue
		}
		select {
		case <-p.crowd.arrived:
			under--
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(fanoutPatience):
			return errors.New("a publication did not reach everybody")
		}
	}
	return nil
}

// quotes is a feed of one stock: a snapshot of its book with each trade, in which
// little changes.
func quotes() feed {
	random := rand.New(rand.NewPCG(1, 1))
	price, volume := 18_250, 1_000_000
	var made []string // messages are asked for in order
	return feed{quoteChannel, func(i int) string {
		for len(made) <= i {
			price += random.IntN(11) - 5
			volume += random.IntN(500)
			made = append(made, quote(len(made), price, volume))
		}
		return made[i]
	}}
}

func quote(n, cents, volume int) string {
	money := func(c int) string { return strconv.Itoa(c/100) + "." + fmt.Sprintf("%02d", c%100) }
	var side [2][]string
	for level := 1; level <= 5; level++ {
		side[0] = append(side[0], fmt.Sprintf(`{"price":%s,"size":%d}`, money(cents/10*10-10*level), 100*(10-level)))
		side[1] = append(side[1], fmt.Sprintf(`{"price":%s,"size":%d}`, money(cents/10*10+10*level), 100*(10-level)))
	}
	return fmt.Sprintf(`{"symbol":"FNFR","exchange":"XLOC","currency":"EUR","sequence":%d,"last":%s,"volume":%d,"open":182.10,"high":190.00,"low":171.35,"previous_close":181.95,"bids":[%s],"asks":[%s]}`,
		n, money(cents), volume, strings.Join(side[0], ","), strings.Join(side[1], ","))
}

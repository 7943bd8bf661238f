package crowd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
	"github.com/fanfare-push/fanfare/test/server"
)

// Load is who publishes what where.
type Load struct {
	Channel     string
	Publishers  int
	Subscribers int
	MaxPad      int           // bytes that a publication may have besides its id; at least 1
	Pause       time.Duration // the longest wait of a publisher before its next
}

// Crowd says who there is, and where they go. Its fields are set before Run.
type Crowd struct {
	Loads  []Load
	Seed   uint64 // what all random decisions come from
	APIKey string
	AppKey string // of the App that Pusher clients connect to
	// Find waits until there is a server that listens and gives its address. home
	// numbers who asks; random is the asker's own.
	Find func(ctx context.Context, home int, random *rand.Rand) (addr string, err error)
	// Ends gives the addresses whose histories are read when all is published; the
	// histories of all but the first are copies, which must be like it.
	Ends func(ctx context.Context) ([]string, error)
	// Ways are how subscribers speak, dealt to them in turn; nil: OverWebSocket.
	Ways []Way
	// Moves is set where a client may come from one server to another that is
	// behind it.
	Moves bool
	// CallTimeout bounds one call of the server API; 0: DefaultCallTimeout.
	CallTimeout time.Duration
	// Acked is told of each acknowledgement of a publication that is no repeat, by
	// many goroutines; nil: nobody is.
	Acked func(channel string)

	http    *http.Client
	streams atomic.Uint64
	acked   atomic.Int64
	subs    []*subscriber
	pubs    []*publisher
	reader  *reader
}

// DefaultCallTimeout bounds one call of the server API.
const DefaultCallTimeout = 15 * time.Second

// DrainTimeout bounds how long subscribers may take to be shown the end, and
// publishers to be acknowledged by servers that run undisturbed.
const DrainTimeout = 30 * time.Second

// random is a source of its own for who asks, the same in each run of a seed.
func (c *Crowd) random() *rand.Rand { return rand.New(rand.NewPCG(c.Seed, c.streams.Add(1))) }

// Run lets everybody work while during lasts, which is given a source of random
// decisions, and gives what everybody was told. An error says that the run itself
// could not go on. It is called once.
func (c *Crowd) Run(ctx context.Context, during func(ctx context.Context, random *rand.Rand) error) (*check.Record, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	c.http = &http.Client{Transport: transport}
	if c.CallTimeout == 0 {
		c.CallTimeout = DefaultCallTimeout
	}
	if c.Ways == nil {
		c.Ways = []Way{OverWebSocket}
	}
	c.gather()
	disturb := c.random()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	live, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	listening, stopListening := context.WithCancel(ctx)
	defer stopListening()

	var publishing, watching sync.WaitGroup
	spawn := func(wg *sync.WaitGroup, what func() error) {
		wg.Go(func() {
			if err := what(); err != nil {
				fail(err)
			}
		})
	}
	for _, s := range c.subs {
		spawn(&watching, func() error { return s.run(listening) })
	}
	for _, p := range c.pubs {
		spawn(&publishing, func() error { return p.run(ctx, live) })
	}
	spawn(&publishing, func() error { return c.reader.run(live) })

	err := during(ctx, disturb)
	if err != nil {
		fail(err) // who cannot be acknowledged any more would wait for ever
	}
	stopLoad()
	publishing.Wait()
	var ends []check.Copy
	if err == nil {
		ends, err = c.ends(ctx)
	}
	if err == nil {
		c.drain(ctx, ends[0].Channels)
	}
	stopListening()
	watching.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	return c.record(ends), nil
}

func (c *Crowd) gather() {
	for _, l := range c.Loads {
		for range l.Publishers {
			n := len(c.pubs)
			c.pubs = append(c.pubs, &publisher{Crowd: c, load: l, home: n, name: fmt.Sprintf("p%d", n), random: c.random()})
		}
	}
	for _, l := range c.Loads {
		for range l.Subscribers {
			n := len(c.subs)
			w := c.Ways[n%len(c.Ways)]
			c.subs = append(c.subs, &subscriber{
				Crowd: c, way: w, channel: l.Channel, home: n, name: fmt.Sprintf("s%d", n), random: c.random(),
			})
		}
	}
	c.reader = &reader{Crowd: c, random: c.random()}
}

// AwaitAcks waits until n more publications are acknowledged.
func (c *Crowd) AwaitAcks(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, DrainTimeout)
	defer cancel()
	for before := c.acked.Load(); c.acked.Load() < before+n; {
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return fmt.Errorf("a server listens, and nothing is acknowledged: %w", err)
		}
	}
	return nil
}

// Acknowledged is how many publications were, repeats included.
func (c *Crowd) Acknowledged() int64 { return c.acked.Load() }

// call asks the server at addr.
func (c *Crowd) call(ctx context.Context, addr, method string, request, result any) error {
	ctx, cancel := context.WithTimeout(ctx, c.CallTimeout)
	defer cancel()
	api := &server.API{Client: c.http, Addr: addr, Key: c.APIKey}
	return api.Do(ctx, method, request, result)
}

// drain waits until every subscriber has been shown its channel's top; the check
// says who was not.
func (c *Crowd) drain(ctx context.Context, channels []check.Channel) {
	ctx, cancel := context.WithTimeout(ctx, DrainTimeout)
	defer cancel()
	ends := map[string]*check.Channel{}
	for i := range channels {
		ends[channels[i].Name] = &channels[i]
	}
	for _, s := range c.subs {
		for !s.done(ends[s.channel]) && pause(ctx, 5*time.Millisecond) == nil {
		}
	}
}

func (c *Crowd) record(ends []check.Copy) *check.Record {
	record := &check.Record{Channels: ends[0].Channels, Copies: ends[1:], Reads: c.reader.reads}
	for _, p := range c.pubs {
		record.Publishers = append(record.Publishers, check.Publisher{Name: p.name, Acks: p.acks})
	}
	for _, s := range c.subs {
		record.Subscribers = append(record.Subscribers, check.Subscriber{
			Name: s.name + " (" + s.way.Name + ")", Live: s.way.Live, Moves: c.Moves, Channel: s.channel, Events: s.events,
		})
	}
	return record
}

// temporary says whether asking again makes sense: the server has gone, or says
// so itself.
func temporary(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var api *server.APIError
	if errors.As(err, &api) {
		return api.Code == 100 || api.Code == 111 || api.Code == http.StatusServiceUnavailable
	}
	return true
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// upTo is a random duration below d.
func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// over says whether err only says that ctx has ended.
func over(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err()) || errors.Is(err, context.Canceled))
}

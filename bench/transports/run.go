package transports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/client"
)

// Config says what to measure. Server, APIKey and Channel are required; zero
// fields mean the defaults.
type Config struct {
	Server   string // host:port or a URL
	APIKey   string // publishes
	Token    string // connection token of who receives; "": anonymous
	Channel  string
	Messages int           // 0: DefaultMessages
	Rate     float64       // messages a second, on average; 0: DefaultRate
	Size     int           // bytes of each message, as JSON; at least what holds its number
	Every    time.Duration // pause between short polls; 0: DefaultEvery
	// Patience is how long the last message may take on every transport. 0:
	// DefaultPatience. The pause between short polls is added to it.
	Patience time.Duration

	base string // of paths
}

// Defaults of Config.
const (
	DefaultMessages = 200
	DefaultRate     = 20
	DefaultSize     = 128
	DefaultEvery    = time.Second
	DefaultPatience = 15 * time.Second
)

// Result is what one transport did.
type Result struct {
	Transport string        `json:"transport"`
	Received  int           `json:"received"` // of Config.Messages
	Median    time.Duration `json:"median_ns"`
	P95       time.Duration `json:"p95_ns"`
	Max       time.Duration `json:"max_ns"`
	Requests  int64         `json:"requests"`
	Bytes     int64         `json:"bytes"` // both ways, without what opened the connection
}

// PerMessage is how many bytes a message took.
func (r *Result) PerMessage() float64 { return float64(r.Bytes) / float64(max(r.Received, 1)) }

func (c *Config) complete() error {
	if c.Server == "" || c.Channel == "" {
		return errors.New("a server and a channel are needed")
	}
	c.base = strings.TrimRight(c.Server, "/")
	if !strings.Contains(c.base, "://") {
		c.base = "http://" + c.base
	}
	if rest, ok := strings.CutPrefix(c.base, "ws"); ok {
		c.base = "http" + rest
	}
	if c.Messages == 0 {
		c.Messages = DefaultMessages
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	if c.Size == 0 {
		c.Size = DefaultSize
	}
	if c.Every == 0 {
		c.Every = DefaultEvery
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	if c.Messages < 0 || c.Rate < 0 || c.Size < 0 || c.Every < 0 {
		return errors.New("messages, rate, size and every must be positive")
	}
	return nil
}

// Run publishes Config.Messages messages and receives them over every transport at
// once. It returns when all have them, or Patience is over, which Result.Received
// then tells.
func Run(ctx context.Context, c Config) ([]Result, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	api, err := client.NewAPI(c.Server, c.APIKey)
	if err != nil {
		return nil, err
	}
	defer api.Close()
	sent := &ledger{at: make([]time.Time, c.Messages)}
	lanes := []*lane{newLane("WebSocket", sent), newLane("Server-Sent Events", sent), newLane("long poll", sent), newLane("short poll", sent)}
	receivers := []receiver{c.webSocket, c.events, c.polls(longPoll, 0), c.polls(0, c.Every)}

	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	for i, l := range lanes {
		running.Go(func() {
			if err := receivers[i](ctx, l); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", l.name, err))
			}
		})
	}
	if err := each(ctx, lanes, func(l *lane) <-chan struct{} { return l.ready }); err != nil {
		return nil, err
	}
	for _, l := range lanes {
		l.settle()
	}
	if err := c.publish(ctx, api, sent); err != nil {
		return nil, err
	}
	patient, stop := context.WithTimeout(ctx, c.Patience+c.Every)
	defer stop()
	if err := each(patient, lanes, func(l *lane) <-chan struct{} { return l.all }); err != nil && ctx.Err() != nil {
		return nil, err
	}
	results := make([]Result, len(lanes))
	for i, l := range lanes {
		results[i] = l.result()
	}
	return results, nil
}

// each waits for something of every lane.
func each(ctx context.Context, lanes []*lane, of func(*lane) <-chan struct{}) error {
	for _, l := range lanes {
		select {
		case <-of(l):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// publish sends the messages one after another. Pauses are uneven, so that they do
// not march in step with the polls.
func (c *Config) publish(ctx context.Context, api *client.API, sent *ledger) error {
	for n := 1; n <= c.Messages; n++ {
		data, err := c.data(n)
		if err != nil {
			return err
		}
		sent.note(n)
		if _, err := api.Publish(ctx, client.Message{Channel: c.Channel, Data: data}); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("publish: %w", err)
		}
		pause := (0.5 + rand.Float64()) / c.Rate
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(pause * float64(time.Second))):
		}
	}
	return nil
}

const letters = "abcdefghijklmnopqrstuvwxyz0123456789"

// data is the nth message, of random letters, so that no compression is in favour
// of one transport.
func (c *Config) data(n int) ([]byte, error) {
	p := payload{N: n}
	bare, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	pad := make([]byte, max(0, c.Size-len(bare)))
	for i := range pad {
		pad[i] = letters[rand.IntN(len(letters))]
	}
	p.Pad = string(pad)
	return json.Marshal(p)
}

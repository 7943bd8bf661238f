package feed

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
)

// Line is what a node says to others with: in order, and without waiting for the
// network. A *bus.Bus is one.
type Line interface {
	// Send queues a message; ErrBusy when too much is queued.
	Send(subject string, data []byte) error
	// MaxMessage is how many bytes it takes in one message; 0: not known yet.
	MaxMessage() int
	// Do runs fn in its turn among what is sent.
	Do(fn func())
}

// Core is what a feeder serves edges from: the engine of its node.
type Core interface {
	engine.Publisher
	engine.Historian
	// Look is History of a log as it is: a channel without a position is given none,
	// and its Top has no epoch.
	Look(req engine.HistoryRequest, done func(engine.HistoryResult, error))
	Status() engine.Status
}

// Defaults and limits of both sides.
const (
	DefaultBeat = 500 * time.Millisecond
	DefaultDead = 2 * time.Second
	// DefaultSendAgain is longer than a core node takes while all is well.
	DefaultSendAgain = time.Second
	// lease is for how long a feeder sends a shard to an edge that does not ask again.
	lease = 10 * time.Second
	// maxInbound is how many messages may wait to be looked at; NATS drops more, which
	// are then missed by their numbers, or asked for again.
	maxInbound = 1 << 15
)

// Config is what a Feeder or a Client needs.
type Config struct {
	Conn   *nats.Conn // stays the caller's
	Line   Line
	Node   string // id of this process, of the characters of a subject
	Prefix string // of subjects
	Logger *slog.Logger

	Beat time.Duration // between beats; 0: DefaultBeat
	Dead time.Duration // silence after which a feeder is replaced; 0: DefaultDead

	// Of a Client.
	SendAgain   time.Duration // after how long a call without an answer is sent again; 0: DefaultSendAgain
	PublishWait time.Duration // how long a write waits for a feeder before it is refused
	ReadWait    time.Duration // how long a read may take
	FollowWait  time.Duration // how long Follow waits for the feed of a shard; 0: bus.DefaultFollowWait
	CloseWait   time.Duration // how long Close waits for what is in flight
	MaxCalls    int           // in flight; more are refused with ErrBusy
	MaxBytes    int64         // their bytes
}

func (c *Config) setDefaults() {
	c.Beat = cmp.Or(c.Beat, DefaultBeat)
	c.Dead = cmp.Or(c.Dead, DefaultDead)
	c.SendAgain = cmp.Or(c.SendAgain, DefaultSendAgain)
	c.FollowWait = cmp.Or(c.FollowWait, bus.DefaultFollowWait)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

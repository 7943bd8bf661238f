package bus

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Config is what a Bus is made of. Zero values are defaults, except for Conn and
// Node.
type Config struct {
	// Conn stays the caller's, who closes it after the Bus. It is best made with
	// nats.NoEcho, since what a node says itself it does not listen to, and a
	// nats.FlusherTimeout of about Dead. Its ReconnectBufSize is how many bytes wait
	// for NATS to come back.
	Conn *nats.Conn
	// Node is the id of this process among all there ever were, of at most MaxNode
	// characters of [A-Za-z0-9_-]: a boot id.
	Node   string
	Name   string // for people, at most MaxName bytes; "": Node
	Prefix string // of subjects, as words of the same characters with dots between them; "": DefaultPrefix
	Logger *slog.Logger
	// OnDead is told, on one goroutine, of a node that was not heard of for Dead,
	// after its sessions have left; not of one that has closed its Bus. It must not
	// block, nor call the Bus. A node that is cut off takes all others for dead.
	OnDead func(NodeInfo)
	Now    func() time.Time // what publications are stamped with

	Beat time.Duration // between beats
	Dead time.Duration // silence after which a node is dead
	// Linger is how long a stream is listened to after the last channel in it was
	// unfollowed.
	Linger time.Duration
	// FollowWait is how long Follow waits at most for other nodes. One that does not
	// answer within it is not waited for again until it has.
	FollowWait time.Duration
	// QueryWait is how long Members and Stats wait at most for other nodes. Unlike
	// FollowWait it is longer than Dead, so that whoever is alive is in the answer.
	QueryWait time.Duration
	// MaxInbound is how many messages may wait to be looked at; NATS drops what
	// comes when they are as many.
	MaxInbound int
}

// The defaults of Config.
const (
	DefaultPrefix     = "fanfare"
	DefaultBeat       = 500 * time.Millisecond
	DefaultDead       = 2 * time.Second
	DefaultLinger     = 10 * time.Second
	DefaultFollowWait = 100 * time.Millisecond
	DefaultQueryWait  = 3 * time.Second
	DefaultMaxInbound = 1 << 15
)

func (c Config) withDefaults() (Config, error) {
	if c.Conn == nil {
		return c, errors.New("bus: no connection")
	}
	if !isNode(c.Node) {
		return c, fmt.Errorf("bus: node id %q is not 1 to %d characters of letters, digits, - and _", c.Node, MaxNode)
	}
	c.Name = cmp.Or(c.Name, c.Node)
	if len(c.Name) > MaxName {
		return c, fmt.Errorf("bus: the node's name has %d bytes, at most %d are allowed", len(c.Name), MaxName)
	}
	c.Prefix = cmp.Or(c.Prefix, DefaultPrefix)
	for token := range strings.SplitSeq(c.Prefix, ".") {
		if !isNode(token) {
			return c, fmt.Errorf("bus: prefix %q is not made of letters, digits, - and _ with dots between them", c.Prefix)
		}
	}
	c.Beat = cmp.Or(c.Beat, DefaultBeat)
	c.Dead = cmp.Or(c.Dead, DefaultDead)
	c.Linger = cmp.Or(c.Linger, DefaultLinger)
	c.FollowWait = cmp.Or(c.FollowWait, DefaultFollowWait)
	c.QueryWait = cmp.Or(c.QueryWait, DefaultQueryWait)
	c.MaxInbound = cmp.Or(c.MaxInbound, DefaultMaxInbound)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnDead == nil {
		c.OnDead = func(NodeInfo) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

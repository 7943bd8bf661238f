package feed

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
)

// candidate is a core node that could feed this one.
type candidate struct {
	heard time.Time
	ready bool
}

// Reasons of Status.
const (
	noFeeder = "no core node is heard of"
	unready  = "the core node that feeds this one is not ready"
	joining  = "not everything is fed yet"
)

// patience is how long a feeder may not be ready before a ready one replaces it, and
// something else not be well before Status says so.
const patience = time.Second

// ticksPerBeat is how often in a beat what waits is looked at.
const ticksPerBeat = 5

// deafFor is for how many times Dead a feeder may not answer that it feeds.
const deafFor = 2

// heard takes a beat of a feeder.
func (c *Client) heard(m *message) {
	now := time.Now()
	if m.flags&beatLeaves != 0 {
		delete(c.feeders, m.from)
		c.choose(now)
		return
	}
	n := c.feeders[m.from]
	if n == nil {
		n = &candidate{}
		c.feeders[m.from] = n
	}
	n.heard, n.ready = now, m.flags&beatReady != 0
	c.choose(now)
}

// tick is what happens all the time.
func (c *Client) tick(now time.Time) {
	if now.Sub(c.ticked) > c.cfg.Dead/2 {
		// This node has stood still; what others have said meanwhile is still to come.
		for _, n := range c.feeders {
			n.heard = now
		}
		c.fed = now
	}
	c.ticked = now
	if now.Sub(c.fed) > deafFor*c.cfg.Dead { // it beats, and does not hear
		delete(c.feeders, c.Feeder())
	}
	for id, n := range c.feeders {
		if now.Sub(n.heard) > c.cfg.Dead {
			delete(c.feeders, id)
		}
	}
	c.choose(now)
	c.tendCalls(now)
	c.rest(now)
	if now.Sub(c.beaten) >= c.cfg.Beat {
		c.beaten = now
		c.listen()
	}
	for _, f := range c.later {
		c.queue(f)
	}
	c.later = c.later[:0]
	again := c.again
	c.again = nil
	for _, ask := range again {
		ask()
	}
	c.note(now)
}

// choose keeps the feeder while it is heard of and ready, and takes the best of the
// others otherwise: each edge has its own order of them, so that edges are spread.
func (c *Client) choose(now time.Time) {
	current := c.Feeder()
	n := c.feeders[current]
	switch {
	case n == nil, n.ready:
		c.starved = time.Time{}
	case c.starved.IsZero():
		c.starved = now
	}
	if n != nil && (n.ready || now.Sub(c.starved) < patience) {
		return
	}
	best, most := "", uint64(0)
	for id, o := range c.feeders {
		if w := c.weight(id); o.ready && (best == "" || w > most) {
			best, most = id, w
		}
	}
	switch {
	case best != "":
	case n != nil:
		best = current
	default:
		for id := range c.feeders { // one that is not ready may still know what is asked
			if w := c.weight(id); best == "" || w > most {
				best, most = id, w
			}
		}
	}
	if best != current {
		c.change(best, now)
	}
}

func (c *Client) weight(id string) uint64 {
	sum := sha256.Sum256([]byte(c.cfg.Node + "\x00" + id))
	return binary.BigEndian.Uint64(sum[:])
}

// change goes over to another feeder.
func (c *Client) change(feeder string, now time.Time) {
	c.cfg.Logger.Info("this node is fed by another core node", "id", feeder)
	c.count.changes.Add(1)
	c.starved = time.Time{}
	c.turn(feeder, now)
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		sh.live = false
		if sh.wanted {
			c.subscribeLocked(sh)
		}
		sh.mu.Unlock()
	}
	c.mute.Store(false)
	c.beaten, c.fed = now, now
	c.listen()
}

// subscribeLocked asks for a shard of the feeder there is.
func (c *Client) subscribeLocked(sh *shard) {
	c.mu.Lock()
	feeder := c.feeder
	c.wishes++ // what is asked for from here on is answered once the subscription is in force
	sh.wish = c.wishes
	c.mu.Unlock()
	c.cfg.Line.Do(func() {
		if sh.sub != nil {
			_ = sh.sub.Unsubscribe() // fails only with the connection, and then nothing comes
			sh.sub = nil
		}
		if feeder == "" {
			return
		}
		sub, err := c.cfg.Conn.ChanSubscribe(c.subjects.shard+feeder+"."+strconv.Itoa(sh.index), c.inbound)
		if err != nil { // the connection is closed, as Status of the bus says
			c.cfg.Logger.Error("cannot listen to a core node", "error", err)
			return
		}
		sh.sub = sub
	})
}

// listen tells the feeder which shards are wanted.
func (c *Client) listen() {
	c.wishing.Lock() // or what has been looked at longer ago is said later, and counts
	defer c.wishing.Unlock()
	m := &message{kind: kindListen, from: c.cfg.Node}
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		if sh.wanted {
			m.shards = append(m.shards, i)
		}
		sh.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.feeder == "" {
		return
	}
	c.wishes++
	m.id = c.wishes
	if err := c.cfg.Line.Send(c.subjects.node+c.feeder, m.append()); err != nil {
		c.cfg.Logger.Debug("a core node was not asked", "error", err)
	}
}

// listening takes the answer: what the feeder has applied in each shard.
func (c *Client) listening(m *message) {
	c.fed = time.Now()
	for _, t := range m.tops {
		sh := &c.shards[t.shard]
		sh.mu.Lock()
		compare := false
		switch {
		case !sh.wanted || m.id < sh.wish:
		case !sh.live:
			sh.live, sh.seen = true, t.number
			sh.joinedLocked()
			c.mute.Store(false)
			compare = true
		case t.number > sh.seen:
			c.count.gaps.Add(1)
			sh.seen = t.number
			compare = true
		}
		if compare {
			for _, f := range sh.channels {
				if f.count > 0 {
					c.queue(f)
				}
			}
		}
		sh.mu.Unlock()
	}
}

// rest gives up the feed of shards that nothing is followed in for a while.
func (c *Client) rest(now time.Time) {
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		if sh.wanted && sh.active == 0 && now.Sub(sh.idle) > bus.DefaultLinger {
			sh.wanted, sh.live = false, false
			c.cfg.Line.Do(func() {
				if sh.sub != nil {
					_ = sh.sub.Unsubscribe() // fails only with the connection, and then nothing comes
					sh.sub = nil
				}
			})
		}
		sh.mu.Unlock()
	}
}

// note says how it is. What passes within patience, such as another feeder, is no
// reason to send clients elsewhere.
func (c *Client) note(now time.Time) {
	reason := ""
	n := c.feeders[c.Feeder()]
	switch {
	case n == nil:
		reason = noFeeder
	case !n.ready:
		reason = unready
	default:
		for i := range c.shards {
			sh := &c.shards[i]
			sh.mu.Lock()
			if sh.wanted && !sh.live {
				reason = joining
			}
			sh.mu.Unlock()
		}
	}
	if reason == "" {
		c.sound = now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if reason == "" || c.unready != "" || now.Sub(c.sound) > patience {
		c.unready = reason
	}
}

package feed

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/pack"
	"github.com/fanfare-push/fanfare/internal/store"
)

const (
	// maxAgain is how many writes are sent again in one tick.
	maxAgain = 256
	// giveUp is after how long a publication is sent to no feeder any more: then its
	// key may be forgotten before it comes there.
	giveUp = engine.IdempotencyWindow - time.Minute
)

// errUnknown answers a write that no feeder can be asked about any more.
var errUnknown = errors.New("what became of it is unknown: the core node that was asked is gone")

// call is something asked of a feeder. Client.mu guards it until it is ended.
type call struct {
	id     uint64
	op     op
	body   []byte
	number uint64 // of a write: its place; 0: it was not sent yet, or is no write
	write  bool
	begun  time.Time
	sentAt time.Time // zero: it was not sent
	again  bool      // it was sent before the feeder changed, and may have been made then
	ended  bool
	former []uint64 // ids of a read that was sent again, which may yet be answered

	// Owned by the client's goroutine.
	coming uint64 // id of the answer of which there are
	parts  int
	res    engine.HistoryResult // as far as it has come
	done   func(x *call, body []byte, err error)
}

// Publish has a core node store a publication.
func (c *Client) Publish(req *engine.PublishRequest, done func(engine.PublishResult, error)) {
	pub := req.Publication
	key := req.IdempotencyKey
	if key == "" { // of this attempt alone, however often it is sent
		c.mu.Lock()
		c.lastID++
		key = "edge " + c.cfg.Node + " " + strconv.FormatUint(c.lastID, 10)
		c.mu.Unlock()
	}
	terms := appendFlag(make([]byte, 0, overhead+len(pub.Data)), req.FromReserve)
	body := store.AppendEntry(binary.AppendUvarint(terms, uint64(max(req.Quota, 0))), &store.Entry{
		Kind: store.Publish, Channel: req.Channel, Retention: req.Retention, Key: key, Pub: &pub,
	})
	ch, memory, own := req.Channel, req.Retention.Durability == channel.Memory, req.IdempotencyKey == ""
	c.begin(&call{op: opPublish, body: body, write: true, done: func(_ *call, body []byte, err error) {
		var res engine.PublishResult
		if err == nil {
			r := reader{pack.Reader{B: body}}
			res.Position, res.Duplicate = r.position(), r.flag() && !own
			err = r.End("answer")
		}
		if err != nil {
			done(engine.PublishResult{}, err)
			return
		}
		c.handed(ch, memory, res.Position, !res.Duplicate, func() { done(res, nil) })
	}})
}

// Remove has a core node forget the publications of a channel.
func (c *Client) Remove(ch channel.ID, r engine.Retention, done func(error)) {
	body := store.AppendEntry(nil, &store.Entry{Kind: store.Remove, Channel: ch, Retention: r})
	c.begin(&call{op: opRemove, body: body, write: true, done: func(_ *call, _ []byte, err error) { done(err) }})
}

// History reads what a core node has.
func (c *Client) History(req *engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	var l *lane
	if f := c.find(req.Channel); f != nil {
		l = &f.lanes[laneOf(req.Retention.Durability == channel.Memory)]
	}
	body, begun := appendRequest(nil, req), time.Now()
	var ask func()
	ask = func() {
		told := uint64(0)
		if l != nil {
			told = l.told.Load()
		}
		c.begin(&call{op: opHistory, body: body, done: func(x *call, _ []byte, err error) {
			switch {
			case err != nil:
				done(engine.HistoryResult{}, err)
			case l == nil || !l.stands(x.res.Top, told):
				done(x.res, nil)
			case time.Since(begun) > c.cfg.ReadWait:
				done(engine.HistoryResult{}, engine.ErrBusy)
			default: // the feeder is a new one, and behind the last
				c.again = append(c.again, ask)
			}
		}})
	}
	ask()
}

// begin sends a call, or lets it wait for a feeder.
func (c *Client) begin(x *call) {
	c.mu.Lock()
	err := c.takeLocked(x)
	c.mu.Unlock()
	if err != nil {
		x.done(x, nil, err)
	}
}

func (c *Client) takeLocked(x *call) error {
	switch {
	case c.closed:
		return engine.ErrClosed
	case c.cfg.Line.MaxMessage() > 0 && len(x.body) > c.cfg.Line.MaxMessage()-overhead:
		return fmt.Errorf("a publication of %d bytes %w, %d", len(x.body), errTooLarge, c.cfg.Line.MaxMessage())
	case len(c.calls) >= c.cfg.MaxCalls, c.bytes+int64(len(x.body)) > c.cfg.MaxBytes:
		c.count.refused.Add(1)
		return engine.ErrBusy
	}
	c.lastID++
	x.id, x.begun = c.lastID, time.Now()
	c.calls[x.id] = x
	c.bytes += int64(len(x.body))
	if x.write {
		c.writes = append(c.writes, x)
	}
	c.sendLocked(x, x.begun)
	return nil
}

// sendLocked sends a call to the feeder, if there is one. What the line does not
// take is sent again.
func (c *Client) sendLocked(x *call, now time.Time) {
	if c.feeder == "" {
		return
	}
	m := &message{kind: kindCall, from: c.cfg.Node, id: x.id, op: x.op, body: x.body}
	if x.write {
		if x.number == 0 {
			c.number++
			x.number = c.number
		}
		m.number, m.base = x.number, c.writes[0].number
	}
	x.sentAt = now
	if err := c.cfg.Line.Send(c.subjects.node+c.feeder, m.append()); err != nil {
		c.cfg.Logger.Debug("a core node was not asked", "error", err)
	}
}

// finish ends a call, once.
func (c *Client) finish(x *call, err error) { c.finishWith(x, nil, err) }

func (c *Client) finishWith(x *call, body []byte, err error) {
	c.mu.Lock()
	if x.ended {
		c.mu.Unlock()
		return
	}
	x.ended = true
	delete(c.calls, x.id)
	for _, id := range x.former {
		delete(c.former, id)
	}
	c.bytes -= int64(len(x.body))
	x.body = nil
	for len(c.writes) > 0 && c.writes[0].ended {
		c.writes[0] = nil
		c.writes = c.writes[1:]
	}
	idle := c.idle
	if len(c.calls) > 0 {
		idle = nil
	} else {
		c.idle = nil
	}
	c.mu.Unlock()
	x.done(x, body, err)
	if idle != nil {
		close(idle)
	}
}

// answered takes an answer, or a part of one. One that misses a part is asked for
// again.
func (c *Client) answered(m *message) {
	c.mu.Lock()
	x := cmp.Or(c.calls[m.id], c.former[m.id])
	again := x != nil && x.again
	c.mu.Unlock()
	switch {
	case x == nil:
		return
	case m.status != statusOK && again:
		c.finish(x, errUnknown) // this feeder has not made it, and the last may have
		return
	case m.status != statusOK:
		c.finish(x, errorOf(m.status, m.body))
		return
	case x.op != opHistory && x.op != opLook:
		c.finishWith(x, m.body, nil)
		return
	}
	if m.part == 0 {
		x.coming, x.parts, x.res = m.id, 0, engine.HistoryResult{}
	}
	if m.id != x.coming || m.part != x.parts {
		return
	}
	x.parts++
	if err := decodePage(m.body, &x.res); err != nil {
		c.finish(x, fmt.Errorf("answer of a core node: %w", err))
		return
	}
	if m.last {
		c.finish(x, nil)
	}
}

// tendCalls ends what has waited too long, and sends again what was not answered.
func (c *Client) tendCalls(now time.Time) {
	type end struct {
		x   *call
		err error
	}
	var ends []end
	var reads []*call
	c.mu.Lock()
	for _, x := range c.calls {
		age := now.Sub(x.begun)
		switch {
		case !x.write && age > c.cfg.ReadWait, x.write && x.number == 0 && age > c.cfg.PublishWait:
			c.count.refused.Add(1)
			ends = append(ends, end{x, engine.ErrBusy})
		case x.write && x.number > 0 && age > giveUp:
			ends = append(ends, end{x, errUnknown})
		case !x.write && now.Sub(x.sentAt) > c.cfg.SendAgain:
			reads = append(reads, x)
		}
	}
	c.rereadLocked(reads, now)
	again := 0
	for _, x := range c.writes {
		if !x.ended && now.Sub(x.sentAt) > c.cfg.SendAgain && again < maxAgain && c.feeder != "" {
			again++
			c.count.resent.Add(1)
			c.sendLocked(x, now)
		}
	}
	c.mu.Unlock()
	for _, e := range ends {
		c.finish(e.x, e.err)
	}
}

// rereadLocked sends reads again under other ids, so that the parts of two answers are
// not taken for one. Any of the answers will do: those of a feeder that always takes
// longer than SendAgain would never come in time otherwise.
func (c *Client) rereadLocked(reads []*call, now time.Time) {
	if c.feeder == "" {
		return
	}
	for _, x := range reads {
		delete(c.calls, x.id)
		c.former[x.id], x.former = x, append(x.former, x.id)
		c.lastID++
		x.id = c.lastID
		c.calls[x.id] = x
		c.count.resent.Add(1)
		c.sendLocked(x, now)
	}
}

// turn asks another feeder what the last one has not answered. Writes are numbered
// anew: it never hears of those between them that have ended, and would wait for each.
// A removal that may have been made is not made again: it would take with it what came
// since.
func (c *Client) turn(feeder string, now time.Time) {
	var lost, reads []*call
	c.mu.Lock()
	c.feeder = feeder
	if feeder != "" {
		c.writes = slices.DeleteFunc(c.writes, func(x *call) bool {
			if !x.ended && x.op == opRemove && x.number > 0 {
				lost = append(lost, x)
				return true
			}
			return x.ended
		})
		for _, x := range c.writes {
			x.again = x.again || x.number > 0
			x.number = 0
		}
		for _, x := range c.writes {
			c.sendLocked(x, now)
		}
	}
	for _, x := range c.calls {
		if !x.write {
			reads = append(reads, x)
		}
	}
	c.rereadLocked(reads, now)
	c.mu.Unlock()
	for _, x := range lost {
		c.finish(x, errUnknown)
	}
}

package direct

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/transport"
)

const (
	// maxHeld is what is read beyond a request that is not answered yet.
	maxHeld = maxHead + maxBody
	// maxInARow requests of one connection are answered before others have a turn.
	maxInARow = 16
)

// conn is a connection whose requests are answered here. It lives on its shard's
// goroutine, but for the hand-over of an answer.
type conn struct {
	handler *Handler
	shard   *hub.Shard
	stream  transport.Stream
	timer   *time.Timer
	request Request
	done    func([]byte) // c.take
	held    []byte       // read, not yet looked at, or the beginning of a request
	out     []byte       // of an answer, what the stream has not taken

	handing atomic.Uint32 // who comes first: the answer, or the return of the call
	answer  []byte

	busy   bool // a request awaits its answer, or the answer the stream
	active bool // something was answered since the last tick
	late   bool // held begins a request that has not come whole
	paused bool
	ended  bool // the peer sends no more
	last   bool // no further request is answered
	gone   bool
}

// States of conn.handing.
const (
	calling  uint32 = iota
	waiting         // the call has returned, the answer is posted
	answered        // the answer came first
)

var _ transport.Receiver = (*conn)(nil)

// open begins with what answers the request that net/http read.
func (c *conn) open(s transport.Stream, answer []byte) transport.Receiver {
	c.stream = s
	c.done = c.take
	c.timer = time.AfterFunc(c.handler.cfg.IdleTimeout, func() { c.shard.Post(c.tick) })
	c.write(answer)
	return c
}

// Data implements transport.Receiver.
func (c *conn) Data(p []byte) {
	if c.busy || len(c.held) > 0 {
		c.held = append(c.held, p...)
		if len(c.held) > maxHeld && c.busy && !c.paused {
			c.paused = true
			c.stream.Pause()
		}
		p = c.held
	}
	c.run(p)
}

// run answers the requests in p as far as it can and holds the rest.
func (c *conn) run(p []byte) {
	for n := 0; len(p) > 0 && !c.busy && !c.last; n++ {
		if n == maxInARow {
			c.shard.Post(c.goOn)
			break
		}
		size, v := c.request.parse(p, c.handler.line)
		if v == partial {
			c.await()
			break
		}
		if v == foreign || !c.call() {
			c.giveBack(p)
			return
		}
		p = p[size:]
	}
	c.hold(p)
	if !c.busy && (c.ended || c.last) {
		c.stream.Finish(nil, transport.Close)
	}
}

// hold keeps what is left of p, which may be a part of held.
func (c *conn) hold(p []byte) {
	if len(p) == 0 {
		c.held = nil
		return
	}
	c.held = append(c.held[:0], p...)
}

// await gives the rest of a request a time to come.
func (c *conn) await() {
	if !c.late {
		c.late = true
		c.timer.Reset(c.handler.cfg.RequestTimeout)
	}
}

// goOn is run, after what kept it from going on.
func (c *conn) goOn() {
	if c.gone || c.busy {
		return
	}
	if c.paused {
		c.paused = false
		c.stream.Resume()
	}
	if !c.gone {
		c.run(c.held)
	}
}

// call hands the request on; false: it is for net/http.
func (c *conn) call() bool {
	c.handing.Store(calling)
	c.busy = true
	if !c.handler.cfg.Serve(&c.request, c.done) {
		c.busy = false
		return false
	}
	c.active, c.late = true, false
	if !c.handing.CompareAndSwap(calling, waiting) {
		c.reply()
	}
	return true
}

// take is given the answer, by any goroutine.
func (c *conn) take(body []byte) {
	c.answer = body
	if !c.handing.CompareAndSwap(calling, answered) {
		c.shard.Post(func() {
			if !c.gone {
				c.reply()
				c.goOn()
			}
		})
	}
}

func (c *conn) reply() {
	body := c.answer
	c.answer = nil
	c.write(c.handler.appendReply(c.out[:0], body, c.last))
}

// write sends an answer. While the stream does not take it no further request is
// looked at.
func (c *conn) write(p []byte) {
	n, err := c.stream.Write(p)
	if err != nil {
		c.stream.Abort()
		n = len(p) // nobody is there to be told
	}
	c.busy = n < len(p)
	c.out = p[:copy(p, p[n:])]
}

// Writable implements transport.Receiver.
func (c *conn) Writable() {
	if len(c.out) == 0 {
		return
	}
	if c.write(c.out); !c.busy {
		c.goOn()
	}
}

// Ended implements transport.Receiver. What was asked is answered before the end.
func (c *conn) Ended() {
	c.ended = true
	if !c.busy {
		c.run(c.held)
	}
}

// Gone implements transport.Receiver.
func (c *conn) Gone(error) {
	c.gone = true
	c.timer.Stop()
	c.handler.forget(c)
}

// tick ends a connection that has been idle for an interval, or whose request or
// answer has made no way.
func (c *conn) tick() {
	switch {
	case c.gone:
		return
	case c.late || len(c.out) > 0 && !c.active:
		c.stream.Abort()
		return
	case !c.active && !c.busy:
		c.stream.Finish(nil, transport.Close)
		return
	}
	c.active = false
	c.timer.Reset(c.handler.cfg.IdleTimeout)
}

// leave ends the connection once what it has asked is answered.
func (c *conn) leave() {
	c.last = true
	if !c.gone && !c.busy {
		c.stream.Finish(nil, transport.Close)
	}
}

// giveBack returns the connection to net/http, with what it has not read.
func (c *conn) giveBack(unread []byte) {
	nc, err := c.stream.Release()
	if err != nil {
		c.stream.Abort()
		return
	}
	c.handler.back.give(transport.Front(nc, append([]byte(nil), unread...), nil))
	c.held = nil
}

// appendReply makes a response of a body (RFC 9112, section 4).
func (h *Handler) appendReply(b, body []byte, last bool) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nDate: "...)
	b = append(b, h.clock.now()...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	if last {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

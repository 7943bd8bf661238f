package httpstream

import (
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/internal/transport"
)

// outlet is the stream of a response that is at another node: what is written to it
// goes there in messages, as far as the response takes them. It lives on the
// session's shard.
type outlet struct {
	// Fixed.
	carrier *carrier
	answer  *answer // that is told
	relay   string
	node    string // of the response

	status int    // of the response
	sent   uint64 // bytes
	taken  uint64 // of them, those that the response has taken
	full   bool   // Write has refused bytes; Writable is owed
	last   bool   // Finish has been called
	rest   []byte // what it still has to send
	heard  time.Time
	ticks  int
	timer  *time.Timer
	over   bool
}

var (
	_ transport.Stream = (*outlet)(nil)
	_ opening          = (*outlet)(nil)
)

// openOutlet opens a response of another node to a session of this one.
func (x *XHR) openOutlet(m *relayMessage) {
	c := x.find(m.session)
	if c == nil || c.polls != m.polls {
		x.refuseOutlet(m)
		return
	}
	o := &outlet{carrier: c, relay: m.relay, node: m.from}
	o.answer = &answer{carrier: c, polls: c.polls, opening: o}
	x.relays.mu.Lock()
	x.relays.outlets[o.relay] = o
	x.relays.mu.Unlock()
	c.shard.Post(func() {
		o.heard = time.Now()
		o.timer = time.AfterFunc(relayTick, func() { c.shard.Post(o.tick) })
		o.answer.open(o)
	})
}

func (x *XHR) refuseOutlet(m *relayMessage) {
	err := x.tell(m.from, relayMessage{
		kind: relayLast, relay: m.relay, status: noSession.status, bytes: noSession.body(),
	})
	if err != nil {
		x.cfg.Log.Debug("another node was not told", "node", m.from, "error", err)
	}
}

// take takes a message of the response's node.
func (o *outlet) take(m *relayMessage) {
	if o.over || m.from != o.node {
		return
	}
	o.heard = time.Now()
	switch m.kind {
	case relayTook:
		if m.count > o.taken && m.count <= o.sent {
			o.taken = m.count
			o.goOn()
		}
	case relayLeft:
		o.end(nil)
		o.answer.Ended()
	case relayEnough:
		o.answer.enough()
	}
}

// goOn sends what there was no room for.
func (o *outlet) goOn() {
	switch {
	case o.last:
		o.sendRest()
	case o.full:
		o.full = false
		o.answer.Writable()
	}
}

// accept implements opening. A stream begins at once, whatever the session has to say.
func (o *outlet) accept() []byte {
	o.status = http.StatusOK
	if !o.answer.polls {
		o.part(nil)
	}
	return nil
}

// refuse implements opening.
func (o *outlet) refuse(status int, body []byte) []byte {
	o.status = status
	return body
}

// part reports whether p is on its way.
func (o *outlet) part(p []byte) bool {
	err := o.carrier.xhr.tell(o.node, relayMessage{kind: relayPart, relay: o.relay, count: o.sent, bytes: p})
	if err != nil { // it is tried again
		o.carrier.xhr.cfg.Log.Debug("another node was not sent a part", "node", o.node, "error", err)
		return false
	}
	o.sent += uint64(len(p))
	return true
}

// room is how much may be sent in one message now.
func (o *outlet) room() int { return min(relayWindow-int(o.sent-o.taken), relayChunk) }

// Write implements transport.Stream.
func (o *outlet) Write(p []byte) (n int, err error) {
	if o.over || o.last {
		return 0, errLeft
	}
	for n < len(p) {
		next := p[n:min(n+max(o.room(), 0), len(p))]
		if len(next) == 0 || !o.part(next) {
			o.full = true
			break
		}
		n += len(next)
	}
	return n, nil
}

// Finish implements transport.Stream.
func (o *outlet) Finish(last []byte, _ transport.After) {
	o.rest = append(o.rest, last...)
	o.last = true
	o.sendRest()
}

func (o *outlet) sendRest() {
	for !o.over {
		room := o.room()
		if room <= 0 && len(o.rest) > 0 {
			return
		}
		if len(o.rest) > room {
			if !o.part(o.rest[:room]) {
				return
			}
			o.rest = o.rest[room:]
			continue
		}
		err := o.carrier.xhr.tell(o.node, relayMessage{kind: relayLast, relay: o.relay, count: o.sent, status: o.status, bytes: o.rest})
		if err != nil { // it is tried again
			return
		}
		o.end(nil)
	}
}

// Abort implements transport.Stream.
func (o *outlet) Abort() {
	if !o.over {
		o.carrier.xhr.hint(o.node, o.relay, relayBroken)
		o.end(nil)
	}
}

// end is the last of the relay here; the session is told after what is under way.
func (o *outlet) end(err error) {
	if o.over {
		return
	}
	o.over = true
	o.rest = nil
	o.timer.Stop()
	r := &o.carrier.xhr.relays
	r.mu.Lock()
	delete(r.outlets, o.relay)
	r.mu.Unlock()
	o.carrier.shard.Post(func() { o.answer.Gone(err) })
}

var errUnheard = errors.New("the node of the response is not heard of")

// tick looks whether the node of the response is there, and shows it that this one is.
func (o *outlet) tick() {
	if o.over {
		return
	}
	x := o.carrier.xhr
	if time.Since(o.heard) > relaySilence || !x.cfg.Hub.Alive(o.node) {
		x.relays.broken.Inc()
		x.hint(o.node, o.relay, relayBroken)
		o.end(errUnheard)
		return
	}
	if o.ticks++; o.ticks%int(relayBeat/relayTick) == 0 {
		o.part(nil)
	}
	o.goOn()
	o.timer.Reset(relayTick)
}

// Pause implements transport.Stream: nothing is read.
func (o *outlet) Pause() {}

// Resume implements transport.Stream.
func (o *outlet) Resume() {}

// Warm implements transport.Stream: NATS writes.
func (o *outlet) Warm() bool { return true }

// Release implements transport.Stream.
func (o *outlet) Release() (net.Conn, error) { return nil, errors.ErrUnsupported }

// Remote implements transport.Stream.
func (o *outlet) Remote() string { return o.carrier.remote }

package httpstream

import (
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// visit answers a request whose session is at another node.
func (x *XHR) visit(w http.ResponseWriter, r *http.Request, v *visitor, origin string) *transport.Denial {
	at, _ := netip.ParseAddrPort(r.RemoteAddr) // for the log; a Unix socket has none
	place, err := x.cfg.Hub.EnterGuest(at.Addr())
	switch {
	case errors.Is(err, hub.ErrShutdown) && v.polls: // its client asks again, of another node, and keeps its session
		x.gate.Done()
		maps.Copy(w.Header(), header(xhrType, origin))
		return nil
	case err != nil:
		return &transport.Denial{Status: http.StatusServiceUnavailable, Err: err}
	}
	v.xhr, v.relay, v.place = x, rand.Text(), place
	x.relays.mu.Lock()
	x.relays.visitors[v.relay] = v
	x.relays.mu.Unlock()
	err = x.open(w, r, place.Shard, v.polls, origin, func(o opening) transport.Opener {
		v.opening = o
		return v.open
	})
	if err != nil {
		x.relays.forget(v)
		place.Release()
		x.failed(r, err)
	}
	return nil
}

func (r *relays) forget(v *visitor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.visitors, v.relay)
}

// visitor is the response to a request whose session is at another node: what comes
// of it goes to the client. It lives on its place's shard.
type visitor struct {
	// Fixed once it is open.
	xhr     *XHR
	relay   string
	session string
	node    string // of the session
	polls   bool
	place   hub.Place
	stream  transport.Stream

	opening opening // nil once something was sent
	out     []byte  // what the stream has not taken; of a poll, all that has come
	head    int     // bytes at the beginning of out that are not the session's
	come    uint64  // bytes of the session
	sent    uint64  // of them, those that the stream has taken
	told    uint64  // of them, those that the session's node knows of
	heard   time.Time
	endBy   time.Time // zero: any time
	timer   *time.Timer
	over    bool // the two nodes have nothing more to say to each other
	gone    bool
}

var (
	_ transport.Receiver = (*visitor)(nil)
	_ hub.Guest          = (*visitor)(nil)
)

func (v *visitor) open(s transport.Stream) transport.Receiver {
	v.stream, v.heard = s, time.Now()
	v.xhr.relays.open.Add(1)
	v.timer = time.AfterFunc(relayTick, func() { v.place.Post(v.tick) })
	if err := v.xhr.tell(v.node, relayMessage{kind: relayOpen, relay: v.relay, session: v.session, polls: v.polls}); err != nil {
		v.xhr.cfg.Log.Debug("another node was not asked", "node", v.node, "error", err)
		v.breakOff()
	}
	v.place.Seat(v)
	return v
}

// take takes a message of the session's node.
func (v *visitor) take(m *relayMessage) {
	if v.over || m.from != v.node {
		return
	}
	v.heard = time.Now()
	switch {
	case m.kind == relayBroken:
		v.over = true
		v.stream.Abort()
	case m.count != v.come || v.come+uint64(len(m.bytes)) > v.sent+relayWindow:
		v.breakOff()
	case m.kind == relayLast:
		v.come += uint64(len(m.bytes))
		v.finish(m.status, m.bytes)
	default:
		v.part(m.bytes)
	}
}

// part sends what a stream is made of. The response to a poll is sent as a whole, so
// that it can be an error when a part of it is missing.
func (v *visitor) part(p []byte) {
	v.come += uint64(len(p))
	switch {
	case v.polls:
		v.out = append(v.out, p...)
		v.sent = v.come
	default:
		if v.opening != nil {
			v.begin()
		}
		v.out = append(v.out, p...)
		v.flush() // also of nothing: the client is to know that the stream is there
	}
	if len(p) == 0 || v.sent-v.told >= relayWindow/4 {
		v.tellTaken()
	}
}

func (v *visitor) begin() {
	v.out = v.opening.accept()
	v.opening, v.head = nil, len(v.out)
}

func (v *visitor) flush() {
	n, err := v.stream.Write(v.out)
	if err != nil {
		v.leave()
		return
	}
	if v.out = v.out[n:]; len(v.out) == 0 {
		v.out = nil // a client at rest holds no buffer
	}
	head := min(n, v.head)
	v.head -= head
	v.sent += uint64(n - head)
}

func (v *visitor) tellTaken() {
	if v.over {
		return
	}
	v.told = v.sent
	if err := v.xhr.tell(v.node, relayMessage{kind: relayTook, relay: v.relay, count: v.sent}); err != nil {
		v.xhr.cfg.Log.Debug("another node was not told", "node", v.node, "error", err)
	}
}

// finish ends the response with what has come last.
func (v *visitor) finish(status int, last []byte) {
	v.over = true
	v.endBy = time.Now().Add(writeTimeout)
	switch {
	case v.opening != nil && status != http.StatusOK:
		v.stream.Finish(v.opening.refuse(status, last), transport.Close)
		return
	case v.opening != nil:
		v.out = append(v.opening.accept(), v.out...)
		v.opening = nil
	}
	v.stream.Finish(append(v.out, last...), transport.Close)
	v.out = nil
}

// leave says that the client has left.
func (v *visitor) leave() {
	if !v.over {
		v.over = true
		v.xhr.hint(v.node, v.relay, relayLeft)
	}
	v.stream.Abort()
}

// breakOff ends a response that lacks something: as an error where that is still
// possible, otherwise in the middle.
func (v *visitor) breakOff() {
	if v.over {
		return
	}
	v.xhr.relays.broken.Inc()
	if v.opening == nil {
		v.leave()
		return
	}
	v.xhr.hint(v.node, v.relay, relayLeft)
	v.out = nil
	v.finish(http.StatusServiceUnavailable, errorBody(codeTooMany, "the session's node does not answer; try again"))
}

// tick looks whether the session's node is there, and the client reads.
func (v *visitor) tick() {
	if v.gone {
		return
	}
	now := time.Now()
	late := !v.endBy.IsZero() && now.After(v.endBy)
	switch {
	case v.over && late:
		v.stream.Abort()
	case !v.over && (late || now.Sub(v.heard) > relaySilence || !v.xhr.cfg.Hub.Alive(v.node)):
		v.breakOff()
	}
	v.timer.Reset(relayTick)
}

// Dismiss implements hub.Guest: the session's node is asked for an end that brings the
// client back, to another node.
func (v *visitor) Dismiss() {
	if !v.over {
		v.endBy = time.Now().Add(relayPatience)
		v.xhr.hint(v.node, v.relay, relayEnough)
	}
}

// Data implements transport.Receiver: nothing follows the request.
func (v *visitor) Data([]byte) {}

// Ended implements transport.Receiver.
func (v *visitor) Ended() { v.leave() }

// Writable implements transport.Receiver.
func (v *visitor) Writable() {
	if v.over || v.polls {
		return
	}
	v.flush()
	if v.sent-v.told >= relayWindow/4 {
		v.tellTaken()
	}
}

// Gone implements transport.Receiver.
func (v *visitor) Gone(error) {
	v.gone = true
	v.timer.Stop()
	if !v.over {
		v.over = true
		v.xhr.hint(v.node, v.relay, relayLeft)
	}
	v.out = nil
	v.xhr.relays.open.Add(-1)
	v.xhr.relays.forget(v)
	v.place.Unseat(v)
}

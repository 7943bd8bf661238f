package httpstream

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// carrier is a session's connection, made of one response after the other. It
// lives on its shard's goroutine.
type carrier struct {
	// Fixed.
	xhr    *XHR
	id     string
	place  hub.Place
	shard  *hub.Shard // place's
	enc    *hub.Encoding
	polls  bool
	hello  any // until the session is open
	remote string

	session *hub.Session
	now     *answer     // nil: between two responses
	timer   *time.Timer // ends a session that stays without a response
	last    []byte      // what a session that has ended is still to be told
	closing bool        // the session has ended
	lost    bool        // the client has
	gone    bool        // the session has been told
	paused  bool        // the session takes no messages
	held    []string    // that have come meanwhile
	size    int         // of held
}

var (
	_ hub.Conn   = (*carrier)(nil)
	_ hub.Prober = (*carrier)(nil)
)

// answer is one response.
type answer struct {
	carrier *carrier
	polls   bool
	opening opening // nil once something was sent
	stream  transport.Stream
	head    []byte // of it, what the stream has not taken yet
	written int    // characters of the body
	whole   bool   // the last thing written is a whole line
}

var _ transport.Receiver = (*answer)(nil)

// open takes the place of the response before, which the client has left.
func (a *answer) open(s transport.Stream) transport.Receiver {
	c := a.carrier
	a.stream, a.whole = s, true
	switch {
	case c.gone: // meanwhile; the client learns it from the next session's o
		s.Finish(a.opening.refuse(noSession.status, noSession.body()), transport.Close)
		return a
	case c.now != nil:
		old := c.now
		c.now = nil
		old.stream.Abort()
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.now = a
	switch {
	case c.closing:
		c.finish(nil)
	case c.session == nil:
		a.begin("o\n")
		hello := c.hello
		c.hello = nil
		c.session = c.place.Open(c, c.enc, hello)
	default:
		a.begin("")
		c.session.Pong()
		c.session.Writable()
	}
	return a
}

// begin makes the head of the response, and sends that of a stream at once: the
// client is to know that it is there.
func (a *answer) begin(first string) {
	a.head = append(a.opening.accept(), first...)
	a.opening = nil
	a.written = len(first)
	if !a.polls {
		n, err := a.stream.Write(a.head)
		if err == nil {
			a.head = append([]byte(nil), a.head[n:]...)
		}
	}
}

// Data implements transport.Receiver: nothing follows the request.
func (a *answer) Data([]byte) {}

// Ended implements transport.Receiver.
func (a *answer) Ended() { a.carrier.leave(a) }

// Writable implements transport.Receiver.
func (a *answer) Writable() {
	if c := a.carrier; c.now == a && c.session != nil && !c.closing {
		c.session.Writable()
	}
}

// Gone implements transport.Receiver.
func (a *answer) Gone(error) {
	c := a.carrier
	if c.now != a {
		return
	}
	c.now = nil
	c.without(a)
}

// enough ends a response whose node stops, so that the client asks for the next one:
// a poll brings nothing, and the client of a stream is to connect anew.
func (a *answer) enough() {
	c := a.carrier
	switch {
	case c.now != a || c.closing: // its end is on its way
	case a.polls:
		c.finish(nil)
		c.now = nil
		c.wait()
	default:
		c.session.Disconnect(hub.DisconnectShutdown)
	}
}

// leave ends a response that the client has left.
func (c *carrier) leave(a *answer) {
	if c.now == a {
		c.now = nil
		c.without(a)
	}
	a.stream.Abort()
}

// without is what becomes of a session that has lost its response. A client that
// has not had enough of it does not come back.
func (c *carrier) without(a *answer) {
	switch {
	case c.closing:
		c.end()
	case !a.polls && a.written > xhrStream && a.whole:
		c.wait()
	default:
		c.lose()
	}
}

// wait gives the client time to ask for the next response.
func (c *carrier) wait() {
	if c.timer == nil {
		c.timer = time.AfterFunc(xhrWindow, func() { c.shard.Post(c.expire) })
		return
	}
	c.timer.Reset(xhrWindow)
}

func (c *carrier) expire() {
	if c.now == nil && !c.closing {
		c.lose()
	}
}

func (c *carrier) lose() {
	c.lost = true
	c.session.Disconnect(hub.DisconnectClosed)
}

// end tells the session that nothing more can be said.
func (c *carrier) end() {
	if c.gone {
		return
	}
	c.gone = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.held, c.last = nil, nil
	c.xhr.remove(c)
	c.session.Closed(nil)
}

// abandon gives back the place of a session that no response has opened.
func (c *carrier) abandon() {
	if c.session == nil && !c.gone {
		c.gone = true
		c.xhr.remove(c)
		c.place.Release()
	}
}

// Write implements hub.Conn: lines, as many as the response may have.
func (c *carrier) Write(p []byte) (int, error) {
	a := c.now
	switch {
	case a == nil:
		return 0, nil
	case a.polls:
		c.finish(p)
		c.now = nil
		c.wait()
		return len(p), nil
	}
	if len(a.head) > 0 {
		n, err := a.stream.Write(a.head)
		if a.head = a.head[n:]; err != nil || len(a.head) > 0 {
			return 0, err
		}
		a.head = nil
	}
	p = p[:a.room(p)]
	if len(p) == 0 {
		return 0, nil
	}
	n, err := a.stream.Write(p)
	a.written += n
	if n > 0 {
		a.whole = p[n-1] == '\n'
	}
	return n, err
}

// room is how much of p a stream may still have: up to the end of the line with
// which the client has enough.
func (a *answer) room(p []byte) int {
	left := xhrStream - a.written
	switch {
	case left < 0 && a.whole:
		return 0
	case left >= len(p):
		return len(p)
	}
	if end := bytes.IndexByte(p[max(left, 0):], '\n'); end >= 0 {
		return max(left, 0) + end + 1
	}
	return len(p)
}

// finish ends the response that is there with body, and what is to be said last.
func (c *carrier) finish(body []byte) {
	a := c.now
	if a.opening != nil {
		a.head = a.opening.accept()
		a.opening = nil
	}
	rest := append(append(a.head, body...), c.last...)
	a.head, a.whole, c.last = nil, true, nil
	a.stream.Finish(rest, transport.Close)
}

// Close implements hub.Conn.
func (c *carrier) Close(rest []byte, d hub.Disconnect) {
	c.closing = true
	if c.lost {
		c.shard.Post(c.end)
		return
	}
	c.last = append([]byte(nil), rest...)
	c.last = strconv.AppendUint(append(c.last, "c["...), uint64(d.Code), 10)
	c.last = appendASCII(append(c.last, `,"`...), []byte(d.Reason))
	c.last = append(c.last, "\"]\n"...)
	if c.now != nil {
		c.finish(nil)
	}
}

// Abort implements hub.Conn.
func (c *carrier) Abort() {
	if a := c.now; a != nil {
		c.now = nil
		a.stream.Abort()
	}
	c.end()
}

// Probe implements hub.Prober: a client answers with an empty request, or with its
// next poll.
func (c *carrier) Probe() { c.session.SendFrame([]byte("h\n")) }

// hear takes what a request said.
func (c *carrier) hear(said []string) {
	if c.session == nil || c.closing {
		return
	}
	c.session.Pong()
	if len(said) == 0 { // the client wants a sign of life
		c.session.SendFrame([]byte("a[]\n"))
		return
	}
	for _, msg := range said {
		switch {
		case c.closing:
			return
		case c.paused || len(c.held) > 0:
			c.hold(msg)
		default:
			c.session.Receive([]byte(msg))
		}
	}
}

func (c *carrier) hold(msg string) {
	if c.size += len(msg); c.size > maxXHRHeld {
		c.session.Disconnect(hub.DisconnectTooManyRequests)
		return
	}
	c.held = append(c.held, msg)
}

// Pause implements hub.Conn.
func (c *carrier) Pause() { c.paused = true }

// Resume implements hub.Conn. What was held comes first, but not inside the call
// that resumed.
func (c *carrier) Resume() {
	c.paused = false
	c.shard.Post(func() {
		for len(c.held) > 0 && !c.paused && !c.closing {
			msg := c.held[0]
			c.held, c.size = c.held[1:], c.size-len(msg)
			c.session.Receive([]byte(msg))
		}
	})
}

// Remote implements hub.Conn.
func (c *carrier) Remote() string { return c.remote }

// xhrFraming puts a message on a line.
type xhrFraming struct{}

var _ hub.Framing = xhrFraming{}

// Name implements hub.Framing.
func (xhrFraming) Name() string { return "http-xhr" }

// AppendFrame implements hub.Framing.
func (xhrFraming) AppendFrame(dst, payload []byte) []byte {
	dst = appendASCII(append(dst, `a["`...), payload)
	return append(dst, "\"]\n"...)
}

// appendASCII writes the inside of a JSON string, with escapes for whatever is not
// ASCII.
func appendASCII(b, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ' && c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRune(s[i:])
			if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
				b = appendEscape(appendEscape(b, high), low)
			} else {
				b = appendEscape(b, r)
			}
			i += size
			continue
		}
		i++
	}
	return b
}

func appendEscape(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&0xf], digits[r>>8&0xf], digits[r>>4&0xf], digits[r&0xf])
}

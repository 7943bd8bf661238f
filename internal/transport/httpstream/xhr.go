package httpstream

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// XHR carries sessions in many responses, one after the other, in the form that
// pusher-js falls back to where WebSocket is blocked (its source,
// core/http/http_socket.ts). The client makes up the session's id; each request
// names it. A response is a stream, or with polling whatever there is at the
// moment, in lines of ASCII:
//
//	o              the session is open
//	a["…"]         messages
//	h              is the client there?
//	c[code,"…"]    the session has ended
//
// What the client says comes in requests of its own, a JSON array of texts each;
// an empty one says that it is there. The client leaves a stream after 262,144
// characters and asks for another one. No more than that is written to one, so
// that nothing is lost between two; this is why it is all ASCII.
//
// A session is at the node that its first request has reached. Others may reach any,
// see relaywire.go.
type XHR struct {
	cfg       Config
	streaming *hub.Encoding
	polling   *hub.Encoding

	gate                            *transport.Gate
	refusedOrigin, refusedHandshake *metrics.Counter

	relays relays

	mu       sync.Mutex
	sessions map[string]*carrier
}

var _ hub.Relayed = (*XHR)(nil)

// XHRConfig is what an XHR is made of. Hub, Engine and Protocol of Config and
// Protocol are required; Hello tells the protocol of the request that opens a
// session.
type XHRConfig struct {
	Config
	Protocol           hub.Protocol
	Streaming, Polling metrics.Via
}

// Limits of XHR.
const (
	// xhrStream is how many characters a client takes from one stream.
	xhrStream = 256 << 10
	// xhrWindow is how long a session is kept without a response.
	xhrWindow = 10 * time.Second
	// maxXHRSession is the longest id that a client can make up.
	maxXHRSession = 64
	// maxXHRHeld is how many bytes wait for a session that takes no messages.
	maxXHRHeld = 1 << 20
)

// xhrType is the media type of responses.
const xhrType = "application/javascript; charset=UTF-8"

// NewXHR makes an XHR and registers its encodings with the hub, which can have one.
func NewXHR(cfg XHRConfig) (*XHR, error) {
	if cfg.Hub == nil || cfg.Engine == nil || cfg.Protocol == nil || cfg.Hello == nil {
		return nil, errors.New("httpstream: Hub, Engine, Protocol and Hello are required")
	}
	cfg.setDefaults()
	x := &XHR{
		cfg:              cfg.Config,
		streaming:        cfg.Hub.NewEncoding(cfg.Protocol, xhrFraming{}, cfg.Streaming),
		polling:          cfg.Hub.NewEncoding(cfg.Protocol, xhrFraming{}, cfg.Polling),
		refusedOrigin:    cfg.Metrics.Refused.Of(metrics.RefuseOrigin),
		refusedHandshake: cfg.Metrics.Refused.Of(metrics.RefuseHandshake),
		gate:             transport.NewGate(cfg.Hub, cfg.MaxHandshakes, cfg.Metrics, cfg.Log),
		relays:           newRelays(cfg.Metrics),
		sessions:         make(map[string]*carrier),
	}
	cfg.Hub.Relay(x)
	return x, nil
}

// Streaming answers with a stream; the request's path has the values key, server
// and session.
func (x *XHR) Streaming() http.Handler { return x.receive(x.streaming) }

// Polling answers with what there is, once there is something.
func (x *XHR) Polling() http.Handler { return x.receive(x.polling) }

// Send takes what a client says.
func (x *XHR) Send() http.Handler { return http.HandlerFunc(x.send) }

// sessionOf names the session of a request of an App; "": there can be no such session.
// It begins with the App, so that no key, also one that changes hands, leads to
// another's.
func (x *XHR) sessionOf(r *http.Request, app string) string {
	server, session := r.PathValue("server"), r.PathValue("session")
	name := app + "/" + r.PathValue("key") + "/" + server + "/" + session
	if server == "" || session == "" || len(server)+len(session) > maxXHRSession || len(name) > hub.MaxSessionName {
		return ""
	}
	return name
}

func (x *XHR) receive(enc *hub.Encoding) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin, ok := admit(w, r, x.cfg.Origins, []string{http.MethodPost}, x.refusedOrigin, x.refusedHandshake)
		if !ok {
			return
		}
		app := x.cfg.App(r)
		id := x.sessionOf(r, app)
		if id == "" {
			x.refusedHandshake.Inc()
			(&refusal{http.StatusNotFound, codeBadRequest, "there can be no such session"}).write(w, origin)
			return
		}
		if denial := x.gate.Begin(r); denial != nil {
			deny(w, origin, denial)
			return
		}
		if denial := x.respond(w, r, id, app, origin, enc); denial != nil {
			x.gate.Done()
			deny(w, origin, denial)
		}
	})
}

// respond answers a request, wherever its session is.
func (x *XHR) respond(w http.ResponseWriter, r *http.Request, id, app, origin string, enc *hub.Encoding) *transport.Denial {
	node, denial := x.elsewhere(r, id)
	switch {
	case denial != nil:
		return denial
	case node != "":
		return x.visit(w, r, &visitor{session: id, node: node, polls: enc == x.polling}, origin)
	}
	c, fresh, denial := x.session(id, app, enc, r)
	if denial != nil {
		return denial
	}
	err := x.open(w, r, c.shard, c.polls, origin, func(o opening) transport.Opener {
		return (&answer{carrier: c, polls: c.polls, opening: o}).open
	})
	if err != nil {
		if fresh {
			c.shard.Post(c.abandon)
		}
		x.failed(r, err)
	}
	return nil
}

// failed is what becomes of a request whose response could not be opened.
func (x *XHR) failed(r *http.Request, err error) {
	x.gate.Done()
	x.cfg.Log.Debug("stream failed", "remote", r.RemoteAddr, "error", err)
}

func deny(w http.ResponseWriter, origin string, d *transport.Denial) {
	d.SetHeader(w.Header())
	code := uint32(codeTooMany)
	if d.Final() {
		code = codeNotFound
	}
	(&refusal{d.Status, code, d.Err.Error()}).write(w, origin)
}

// session finds a session, or makes one that is open once its first response is.
func (x *XHR) session(id, app string, enc *hub.Encoding, r *http.Request) (c *carrier, fresh bool, denial *transport.Denial) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c := x.sessions[id]; c != nil {
		return c, false, nil
	}
	place, denial := x.gate.Enter(r, app)
	if denial != nil {
		return nil, false, denial
	}
	hello, err := x.hello(r)
	if err != nil {
		place.Release()
		return nil, false, &transport.Denial{Status: http.StatusServiceUnavailable, Err: err}
	}
	c = &carrier{xhr: x, id: id, place: place, shard: place.Shard, enc: enc, polls: enc == x.polling, hello: hello, remote: r.RemoteAddr}
	x.sessions[id] = c
	return c, true, nil
}

// hello is what a request tells the protocol and backends.
func (x *XHR) hello(r *http.Request) (any, error) {
	hello, err := x.cfg.Hello(r)
	if err == nil && x.cfg.Header != nil {
		hello = hub.Greet(hello, x.cfg.Header(r.Header))
	}
	return hello, err
}

func (x *XHR) find(id string) *carrier {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sessions[id]
}

func (x *XHR) remove(c *carrier) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sessions[c.id] == c {
		delete(x.sessions, c.id)
	}
}

// open begins a response: on the shard's loop where it is a stream and its
// connection can be taken from net/http, otherwise here. begin is given what has to be
// sent first. The request has then passed the gate, unless open fails.
func (x *XHR) open(w http.ResponseWriter, r *http.Request, shard *hub.Shard, polls bool, origin string, begin func(opening) transport.Opener) error {
	pass := func(o opening) transport.Opener {
		open := begin(o)
		return func(s transport.Stream) transport.Receiver {
			x.gate.Done()
			return open(s)
		}
	}
	if r.ProtoMajor == 1 && !polls {
		nc, buf, err := http.NewResponseController(w).Hijack()
		if err == nil {
			early, err := buf.Peek(buf.Reader.Buffered())
			if err == nil {
				err = transport.LimitSilence(nc, x.cfg.Silence)
			}
			if err != nil {
				return errors.Join(err, nc.Close())
			}
			// The end of the connection ends the body (RFC 9112, 6.3).
			return x.cfg.Engine.Adopt(shard, nc, early, pass(&wire{contentType: xhrType, origin: origin}))
		}
		if !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	s := newWriter(w, r, shard, header(xhrType, origin), header(jsonType, origin))
	s.run(pass(s))
	return nil
}

func (x *XHR) send(w http.ResponseWriter, r *http.Request) {
	origin, ok := admit(w, r, x.cfg.Origins, []string{http.MethodPost}, x.refusedOrigin, x.refusedHandshake)
	if !ok {
		return
	}
	if fault := x.take(w, r); fault != nil {
		fault.write(w, origin)
		return
	}
	for name, values := range header(jsonType, origin) {
		if name != "Content-Type" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// take hands the session what the request says, at the node that it is at.
func (x *XHR) take(w http.ResponseWriter, r *http.Request) *refusal {
	id := x.sessionOf(r, x.cfg.App(r))
	if id == "" {
		return noSession
	}
	node, denial := x.elsewhere(r, id) // before the body is read, which is then held
	c := x.find(id)
	switch {
	case denial != nil:
		return notTaken
	case c == nil && node == "":
		return noSession
	}
	body, fault := readBody(w, r, x.cfg.MaxBody, x.cfg.BodyTimeout)
	if fault != nil {
		x.refusedHandshake.Inc()
		return fault
	}
	var said []string
	if json.Unmarshal(body, &said) != nil {
		x.refusedHandshake.Inc()
		return &refusal{http.StatusBadRequest, codeBadRequest, "the body must be a JSON array of texts"}
	}
	if c == nil {
		return x.carry(r, node, id, said)
	}
	c.shard.Post(func() { c.hear(said) })
	return nil
}

var (
	noSession = &refusal{http.StatusNotFound, codeBadRequest, "there is no such session"}
	notTaken  = &refusal{http.StatusServiceUnavailable, codeTooMany, "not taken; try again"}
)

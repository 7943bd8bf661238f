package httpstream

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
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
type XHR struct {
	cfg       Config
	streaming *hub.Encoding
	polling   *hub.Encoding

	gate                            *transport.Gate
	refusedOrigin, refusedHandshake *metrics.Counter

	mu       sync.Mutex
	sessions map[string]*carrier
}

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

// NewXHR makes an XHR and registers its encodings with the hub.
func NewXHR(cfg XHRConfig) (*XHR, error) {
	if cfg.Hub == nil || cfg.Engine == nil || cfg.Protocol == nil || cfg.Hello == nil {
		return nil, errors.New("httpstream: Hub, Engine, Protocol and Hello are required")
	}
	cfg.setDefaults()
	return &XHR{
		cfg:              cfg.Config,
		streaming:        cfg.Hub.NewEncoding(cfg.Protocol, xhrFraming{}, cfg.Streaming),
		polling:          cfg.Hub.NewEncoding(cfg.Protocol, xhrFraming{}, cfg.Polling),
		refusedOrigin:    cfg.Metrics.Refused.Of(metrics.RefuseOrigin),
		refusedHandshake: cfg.Metrics.Refused.Of(metrics.RefuseHandshake),
		gate:             transport.NewGate(cfg.Hub, cfg.MaxHandshakes, cfg.Metrics, cfg.Log),
		sessions:         make(map[string]*carrier),
	}, nil
}

// Streaming answers with a stream; the request's path has the values key, server
// and session.
func (x *XHR) Streaming() http.Handler { return x.receive(x.streaming) }

// Polling answers with what there is, once there is something.
func (x *XHR) Polling() http.Handler { return x.receive(x.polling) }

// Send takes what a client says.
func (x *XHR) Send() http.Handler { return http.HandlerFunc(x.send) }

// sessionOf is what the client calls its session; "": it cannot be called so.
func sessionOf(r *http.Request) string {
	server, session := r.PathValue("server"), r.PathValue("session")
	if server == "" || session == "" || len(server)+len(session) > maxXHRSession {
		return ""
	}
	return r.PathValue("key") + "/" + server + "/" + session
}

func (x *XHR) receive(enc *hub.Encoding) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin, ok := admit(w, r, x.cfg.Origins, []string{http.MethodPost}, x.refusedOrigin, x.refusedHandshake)
		if !ok {
			return
		}
		id := sessionOf(r)
		if id == "" {
			x.refusedHandshake.Inc()
			(&refusal{http.StatusNotFound, codeBadRequest, "there can be no such session"}).write(w, origin)
			return
		}
		if denial := x.gate.Begin(r); denial != nil {
			deny(w, origin, denial)
			return
		}
		c, fresh, denial := x.session(id, enc, r)
		if denial != nil {
			x.gate.Done()
			deny(w, origin, denial)
			return
		}
		if err := x.open(w, r, c, origin); err != nil {
			x.gate.Done()
			if fresh {
				c.shard.Post(c.abandon)
			}
			x.cfg.Log.Debug("stream failed", "remote", r.RemoteAddr, "error", err)
		}
	})
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
func (x *XHR) session(id string, enc *hub.Encoding, r *http.Request) (c *carrier, fresh bool, denial *transport.Denial) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c := x.sessions[id]; c != nil {
		return c, false, nil
	}
	place, denial := x.gate.Enter(r, x.cfg.App(r))
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
	x.cfg.Hub.Relay(id, c.takeRelayed)
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
		x.cfg.Hub.Unrelay(c.id)
	}
}

// open begins a response: on the shard's loop where it is a stream and its
// connection can be taken from net/http, otherwise here.
func (x *XHR) open(w http.ResponseWriter, r *http.Request, c *carrier, origin string) error {
	const contentType = "application/javascript; charset=UTF-8"
	a := &answer{carrier: c, polls: c.polls}
	if r.ProtoMajor == 1 && !c.polls {
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
			a.opening = &wire{contentType: contentType, origin: origin}
			return x.cfg.Engine.Adopt(c.shard, nc, early, a.open)
		}
		if !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	s := newWriter(w, r, c.shard, header(contentType, origin), header(jsonType, origin))
	a.opening = s
	s.run(a.open)
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

// take hands the session what the request says, or carries it to the node that has
// the session.
func (x *XHR) take(w http.ResponseWriter, r *http.Request) *refusal {
	id := sessionOf(r)
	c := x.find(id)
	if id == "" || c == nil && x.cfg.Hub.Alone() {
		return &refusal{http.StatusNotFound, codeBadRequest, "there is no such session"}
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
		return x.carry(r, id, body)
	}
	c.shard.Post(func() { c.hear(said) })
	return nil
}

func (x *XHR) carry(r *http.Request, id string, body []byte) *refusal {
	switch err := x.cfg.Hub.Carry(r.Context(), id, body); {
	case err == nil:
		return nil
	case errors.Is(err, hub.ErrUnknownSession), errors.Is(err, engine.ErrUnknownNode):
		return &refusal{http.StatusNotFound, codeBadRequest, "there is no such session"}
	default:
		x.cfg.Log.Debug("not carried to another node", "remote", r.RemoteAddr, "error", err)
		return &refusal{http.StatusServiceUnavailable, codeTooMany, "not taken; try again"}
	}
}

// takeRelayed takes the body of a request to another node, which has checked it.
func (c *carrier) takeRelayed(body []byte) {
	var said []string
	if json.Unmarshal(body, &said) == nil {
		c.shard.Post(func() { c.hear(said) })
	}
}

package httpstream

import (
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// Defaults of Config.
const (
	DefaultMaxBody       = 512 << 10
	DefaultMaxHandshakes = 2048
	DefaultBodyTimeout   = 10 * time.Second
	DefaultSilence       = 30 * time.Second
)

// Config is what a Handler is made of. Hub, Engine and Variants are required.
type Config struct {
	Hub      *hub.Hub
	Engine   transport.Engine
	Variants []Variant
	Origins  *transport.Origins // nil: only pages of the server's own address
	Log      *slog.Logger
	Metrics  *metrics.Metrics

	// Method is GET or POST; "": both. The session's first message is the body of
	// a POST, or the query parameter Param of a GET.
	Method string
	Param  string
	// Hello takes the place of the first message: what a request tells the
	// protocol, in a form of its own, the Session's State when it is opened. Its
	// error is shown to the client.
	Hello func(*http.Request) (any, error)
	// App names the App of a request's session; nil: transport.AppOf.
	App func(*http.Request) string
	// Header is what of a request backends are told; nil: nothing.
	Header func(http.Header) map[string][]string
	// Emulated sessions are spoken for by requests to Emulation.
	Emulated bool

	MaxBody       int           // bytes of a POST; 0: DefaultMaxBody
	BodyTimeout   time.Duration // for it to arrive; 0: DefaultBodyTimeout
	MaxHandshakes int           // requests that are not yet with their shard; 0: DefaultMaxHandshakes
	// Silence is how long the peer's system may leave bytes unacknowledged until
	// the peer is given up, where the system can be told; 0: DefaultSilence.
	Silence time.Duration
}

// Variant is a protocol in a format. The first one serves requests that name no
// other.
type Variant struct {
	MediaType   string // of requests that it serves, such as "application/octet-stream"; "": not asked for by name
	Protocol    hub.Protocol
	Format      Format
	Via         metrics.Via
	ContentType string // of the response; "": that of the format
	// Goodbye appends the message that tells a client why its session ends; nil: the
	// end of the response says all.
	Goodbye func(dst []byte, d hub.Disconnect) []byte
	// Refuse makes an HTTP error of a session that ends before it has sent anything.
	Refuse bool
	// Retry appends the body of a response that is no error, for clients that never
	// come back from one, and should: an EventSource that meets a temporary refusal.
	Retry func(dst []byte, d hub.Disconnect) []byte
}

// variant is a Variant in its encodings.
type variant struct {
	Variant
	chunked, plain *hub.Encoding
}

// Handler answers requests with streams.
type Handler struct {
	cfg      Config
	variants []variant
	gate     *transport.Gate

	refusedOrigin, refusedHandshake *metrics.Counter
}

// New makes a Handler and registers its encodings with the hub.
func New(cfg Config) (*Handler, error) {
	if cfg.Hub == nil || cfg.Engine == nil || len(cfg.Variants) == 0 {
		return nil, errors.New("httpstream: Hub, Engine and Variants are required")
	}
	cfg.setDefaults()
	h := &Handler{
		cfg:              cfg,
		refusedOrigin:    cfg.Metrics.Refused.Of(metrics.RefuseOrigin),
		refusedHandshake: cfg.Metrics.Refused.Of(metrics.RefuseHandshake),
		gate:             transport.NewGate(cfg.Hub, cfg.MaxHandshakes, cfg.Metrics, cfg.Log),
	}
	for _, v := range cfg.Variants {
		if v.ContentType == "" {
			v.ContentType = v.Format.contentType()
		}
		made := variant{Variant: v, plain: cfg.Hub.NewEncoding(v.Protocol, framing{v.Format, false}, v.Via)}
		if v.Format != Whole {
			made.chunked = cfg.Hub.NewEncoding(v.Protocol, framing{v.Format, true}, v.Via)
		}
		h.variants = append(h.variants, made)
	}
	return h, nil
}

func (c *Config) setDefaults() {
	if c.Origins == nil {
		c.Origins = &transport.Origins{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.New("")
	}
	if c.App == nil {
		c.App = transport.AppOf
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.BodyTimeout == 0 {
		c.BodyTimeout = DefaultBodyTimeout
	}
	if c.MaxHandshakes == 0 {
		c.MaxHandshakes = DefaultMaxHandshakes
	}
	if c.Silence == 0 {
		c.Silence = DefaultSilence
	}
}

// request is what a request said.
type request struct {
	first  []byte // message
	hello  any
	origin string // of another site's page that may read the response
}

// ServeHTTP opens a session in the response, or answers why it does not.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	methods := []string{http.MethodGet, http.MethodPost}
	if h.cfg.Method != "" {
		methods = []string{h.cfg.Method}
	}
	origin, ok := admit(w, r, h.cfg.Origins, methods, h.refusedOrigin, h.refusedHandshake)
	if !ok {
		return
	}
	req, fault := h.read(w, r)
	if fault != nil {
		h.refusedHandshake.Inc()
		fault.write(w, origin)
		return
	}
	req.origin = origin
	if h.cfg.Header != nil {
		req.hello = hub.Greet(req.hello, h.cfg.Header(r.Header))
	}
	if denial := h.gate.Begin(r); denial != nil {
		h.deny(w, r, origin, denial)
		return
	}
	place, denial := h.gate.Enter(r, h.cfg.App(r))
	if denial != nil {
		h.gate.Done()
		h.deny(w, r, origin, denial)
		return
	}
	if err := h.open(w, r, place, req); err != nil {
		h.gate.Done()
		place.Release()
		h.cfg.Log.Debug("stream failed", "remote", r.RemoteAddr, "error", err)
	}
}

// admit answers preflights and refuses what may not ask; origin is that of
// another site's page that may.
func admit(w http.ResponseWriter, r *http.Request, origins *transport.Origins, methods []string, refusedOrigin, refusedMethod *metrics.Counter) (origin string, ok bool) {
	origin, allowed := origins.Foreign(r)
	switch {
	case !allowed:
		refusedOrigin.Inc()
		(&refusal{http.StatusForbidden, codePermissionDenied, "this origin may not connect; the server's client.allowed_origins says which may"}).write(w, "")
		return "", false
	case r.Method == http.MethodOptions:
		h := w.Header()
		if origin != "" {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
			h.Set("Access-Control-Max-Age", "600")
		}
		h.Set("Vary", "Origin")
		w.WriteHeader(http.StatusNoContent)
		return "", false
	case !slices.Contains(methods, r.Method):
		refusedMethod.Inc()
		w.Header().Set("Allow", strings.Join(append(methods, http.MethodOptions), ", "))
		(&refusal{http.StatusMethodNotAllowed, codeMethod, "this endpoint takes " + strings.Join(methods, " and ")}).write(w, origin)
		return "", false
	}
	return origin, true
}

// refusal is an answer that opens no session.
type refusal struct {
	status  int
	code    uint32
	message string
}

func (f *refusal) write(w http.ResponseWriter, origin string) {
	for name, values := range header(jsonType, origin) {
		w.Header()[name] = values
	}
	tellWhen(w.Header(), f.status)
	w.WriteHeader(f.status)
	_, _ = w.Write(errorBody(f.code, f.message)) // a reader that has left is not our error
}

func (f *refusal) body() []byte { return errorBody(f.code, f.message) }

// deny asks for another try.
func (h *Handler) deny(w http.ResponseWriter, r *http.Request, origin string, denial *transport.Denial) {
	d := hub.Disconnect{Code: codeTooMany, Reason: denial.Err.Error()}
	if errors.Is(denial.Err, hub.ErrShutdown) {
		d = hub.DisconnectShutdown
	}
	if denial.Final() {
		d.Code = codeNotFound
	}
	if v := h.choose(r); v.returns(r) && !denial.Final() {
		for name, values := range header(v.ContentType, origin) {
			w.Header()[name] = values
		}
		_, _ = w.Write(v.Retry(nil, d)) // a reader that has left is not our error
		return
	}
	denial.SetHeader(w.Header())
	(&refusal{denial.Status, d.Code, d.Reason}).write(w, origin)
}

// returns reports whether the client comes back from anything but an error.
func (v *variant) returns(r *http.Request) bool {
	return v.Retry != nil && strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// read takes from a request what it says.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (request, *refusal) {
	var req request
	switch {
	case h.cfg.Hello != nil:
		hello, err := h.cfg.Hello(r)
		if err != nil {
			return req, &refusal{http.StatusBadRequest, codeBadRequest, err.Error()}
		}
		req.hello = hello
	case r.Method == http.MethodPost:
		body, fault := readBody(w, r, h.cfg.MaxBody, h.cfg.BodyTimeout)
		if fault != nil {
			return req, fault
		}
		req.first = body
	default:
		req.first = []byte(r.URL.Query().Get(h.cfg.Param))
	}
	return req, nil
}

// readBody bounds a body in size and time.
func readBody(w http.ResponseWriter, r *http.Request, limit int, timeout time.Duration) ([]byte, *refusal) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(timeout)) // where it cannot be set, the size is all that is bounded
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	var tooLarge *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &tooLarge):
		return nil, &refusal{http.StatusRequestEntityTooLarge, codeLimitExceeded, "the body is longer than " + strconv.Itoa(limit) + " bytes"}
	case errors.As(err, &slow) && slow.Timeout():
		return nil, &refusal{http.StatusRequestTimeout, codeBadRequest, "the body did not arrive in time"}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, codeBadRequest, "the body is not whole"}
	}
	_ = control.SetReadDeadline(time.Time{}) // not sooner: net/http reads what is left of a body before it goes on
	return body, nil
}

// choose takes the variant for the request's media type.
func (h *Handler) choose(r *http.Request) *variant {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	for i := range h.variants {
		if v := &h.variants[i]; v.MediaType != "" && v.MediaType == media {
			return v
		}
	}
	return &h.variants[0]
}

// open begins the response: on the shard's loop where the connection can be
// taken from net/http, otherwise, as with HTTP/2 and for short responses, here.
func (h *Handler) open(w http.ResponseWriter, r *http.Request, place hub.Place, req request) error {
	c := &conn{handler: h, variant: h.choose(r)}
	c.returns = c.variant.returns(r)
	if r.ProtoMajor == 1 && c.variant.Format != Whole {
		nc, buf, err := http.NewResponseController(w).Hijack()
		if err == nil {
			return h.adopt(nc, buf.Reader, r, place, c, req)
		}
		if !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	s := newWriter(w, r, place.Shard, header(c.variant.ContentType, req.origin), header(jsonType, req.origin))
	c.opening = s
	s.run(func(s transport.Stream) transport.Receiver { return c.open(s, place, c.variant.plain, req) })
	return nil
}

func (h *Handler) adopt(nc net.Conn, r peeker, hr *http.Request, place hub.Place, c *conn, req request) error {
	early, err := r.Peek(r.Buffered())
	if err != nil {
		return errors.Join(err, nc.Close())
	}
	if err := transport.LimitSilence(nc, h.cfg.Silence); err != nil {
		return errors.Join(err, nc.Close())
	}
	enc := c.variant.plain
	if c.chunked = hr.ProtoAtLeast(1, 1); c.chunked {
		enc = c.variant.chunked
	}
	c.opening = &wire{contentType: c.variant.ContentType, origin: req.origin, chunked: c.chunked}
	return h.cfg.Engine.Adopt(place.Shard, nc, early, func(s transport.Stream) transport.Receiver {
		return c.open(s, place, enc, req)
	})
}

// peeker is what net/http has read ahead.
type peeker interface {
	Buffered() int
	Peek(n int) ([]byte, error)
}

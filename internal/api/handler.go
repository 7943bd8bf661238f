package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Prefix is the path that the API is mounted at.
const Prefix = "/api/"

// Config is what a Handler is made of.
type Config struct {
	Keys Keys // required; without any in it every call is refused
	Apps Apps // that the API shows and changes; nil: none
	// Namespaces is required where there are Apps.
	Namespaces Namespaces
	Limits     Limits        // zero values: defaults
	Observer   Observer      // nil: none
	Allow      Allow         // nil: any number of requests
	Auditor    audit.Auditor // nil: none
	Node       Node          // that is called; nil: what asks it is refused

	// DeadLetters reads the newest events that a backend was not told of, as JSON
	// objects; nil: there are none.
	DeadLetters func(ctx context.Context, limit int) ([]json.RawMessage, error)

	Import Import // nil: no history can be imported
}

// Observer is told of every call. status is the HTTP status of its outcome, also
// when it was answered with 200 and an error in the body; method is "other" for
// paths that are none.
type Observer interface {
	APIRequest(method string, status int, took time.Duration)
}

type nobody struct{}

func (nobody) APIRequest(string, int, time.Duration) {}

// Handler serves the API.
type Handler struct {
	keys       Keys
	apps       Apps // nil: none
	namespaces Namespaces
	limits     Limits
	hub        hub.API
	log        *slog.Logger
	observer   Observer
	auditor    audit.Auditor // nil: none
	node       Node          // nil: none is asked
	dead       func(ctx context.Context, limit int) ([]json.RawMessage, error)
	importer   Import // nil: there is none
	allow      Allow
	methods    map[string]*method
	buffers    sync.Pool // of *buffers
}

// New makes the handler of everything below Prefix.
func New(cfg Config, h hub.API, log *slog.Logger) *Handler {
	cfg.Limits.setDefaults()
	a := &Handler{keys: cfg.Keys, apps: cfg.Apps, namespaces: cfg.Namespaces, limits: cfg.Limits, hub: h, log: log, observer: cfg.Observer, auditor: cfg.Auditor, node: cfg.Node, dead: cfg.DeadLetters, importer: cfg.Import, allow: cfg.Allow}
	if a.observer == nil {
		a.observer = nobody{}
	}
	a.methods = a.newMethods()
	return a
}

// buffers are one request's, and reused by others afterwards.
type buffers struct {
	in, out []byte
	call    call
}

func (h *Handler) release(b *buffers) {
	b.call = call{} // no key is kept
	if cap(b.in) <= maxPooledBuffer && cap(b.out) <= maxPooledBuffer {
		h.buffers.Put(b)
	}
}

// ServeHTTP answers POST /api/{method} and GET /api/openapi.json.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	name := strings.TrimPrefix(r.URL.Path, Prefix)
	if name == documentName {
		serveDocument(w, r)
		return
	}
	m := h.methods[name]
	if m == nil {
		writeFault(w, r, h.noPage(r, name))
		h.observer.APIRequest("other", http.StatusNotFound, time.Since(start))
		return
	}
	h.observer.APIRequest(name, h.serve(w, r, name, m), time.Since(start))
}

// serve answers a call and returns the HTTP status of its outcome.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, name string, m *method) int {
	b, ok := h.buffers.Get().(*buffers)
	if !ok {
		b = &buffers{}
	}
	defer h.release(b)
	c, cmd, err := h.accept(w, r, m, b)
	if err != nil {
		f := h.faultOf(r.Context(), name, err)
		writeFault(w, r, f)
		return f.status
	}
	ctx := r.Context()
	b.out, err = c.do(ctx, cmd, append(b.out[:0], `{"result":`...))
	if err != nil {
		f := h.faultOf(ctx, name, err)
		b.out = writeOutcome(w, r, f, b.out)
		return f.status
	}
	b.out = append(b.out, '}')
	writeJSON(w, http.StatusOK, b.out)
	return http.StatusOK
}

// accept is everything before a command runs: verb, key, content type, size,
// form. All its errors are told by HTTP status.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, m *method, b *buffers) (*call, command, error) {
	if r.Method != http.MethodPost {
		return nil, nil, final(codeBadRequest, http.StatusMethodNotAllowed, "use POST, not "+r.Method)
	}
	who, f := identify(h.keys, r.Header.Get(keyHeader), r.Header.Get("Authorization"))
	if f != nil {
		h.refusedKey(r, f)
		return nil, nil, f
	}
	if f := h.tooOften(who.secret); f != nil {
		return nil, nil, f
	}
	who.remote = r.RemoteAddr
	if f := who.may(m.scope); f != nil {
		h.refusedScope(&who, strings.TrimPrefix(r.URL.Path, Prefix), f)
		return nil, nil, f
	}
	if err := checkHeaders(r); err != nil {
		return nil, nil, err
	}
	if err := h.readBody(w, r, b); err != nil {
		return nil, nil, err
	}
	cmd, err := h.parse(m, b.in)
	b.call = call{h, who}
	return &b.call, cmd, err
}

// parse makes a command of a body.
func (h *Handler) parse(m *method, body []byte) (command, error) {
	body = trimLeft(body)
	if len(body) == 0 {
		if !m.optional {
			return nil, badRequest("the body is empty, it must be a JSON object")
		}
		body = []byte("{}")
	}
	if err := checkJSON(body, h.limits.MaxDepth); err != nil {
		return nil, err
	}
	return m.decode(body[:lastOf(body)+1])
}

// lastOf is the index of the last byte that is no white space; body has one.
func lastOf(body []byte) int {
	i := len(body) - 1
	for len(trimLeft(body[i:])) == 0 {
		i--
	}
	return i
}

// checkHeaders accepts JSON, no type at all, and what curl says when it is not
// told.
func checkHeaders(r *http.Request) error {
	unsupported := func(format string, args ...any) error {
		return final(codeBadRequest, http.StatusUnsupportedMediaType, fmt.Sprintf(format, args...))
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return unsupported("content encoding %.40q is not supported", enc)
	}
	switch ct := r.Header.Get("Content-Type"); ct {
	case "application/json", "":
		return nil
	default:
		media, _, err := mime.ParseMediaType(ct)
		if err == nil && (media == "application/json" || media == "application/x-www-form-urlencoded") {
			return nil
		}
		return unsupported("content type %.80q is not supported, send application/json", ct)
	}
}

// readBody reads the body into b.in, and no more of it than is allowed. A body
// that has not come with its header has bodyTimeout to arrive.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, b *buffers) error {
	if r.ContentLength > int64(h.limits.MaxBody) {
		return h.bodyTooLarge()
	}
	size := int(r.ContentLength)
	if size < 0 {
		size = firstUnknownSize
	}
	b.in = slices.Grow(b.in[:0], size+1) // one more, to see the end without growing
	var late *http.ResponseController
	for {
		n, err := r.Body.Read(b.in[len(b.in):cap(b.in)])
		b.in = b.in[:len(b.in)+n]
		switch {
		case len(b.in) > h.limits.MaxBody:
			return h.bodyTooLarge()
		case errors.Is(err, io.EOF):
			if late != nil { // or what follows would be cut off
				_ = late.SetReadDeadline(time.Time{})
			}
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return final(codeBadRequest, http.StatusRequestTimeout, fmt.Sprintf("the body did not arrive within %s", bodyTimeout))
		case err != nil:
			return badRequest("the body ended early")
		case len(b.in) == cap(b.in):
			b.in = slices.Grow(b.in, len(b.in))
		}
		if late == nil && len(b.in) < size {
			late = http.NewResponseController(w)
			_ = late.SetReadDeadline(time.Now().Add(bodyTimeout)) // fails where there is no connection, as in tests
		}
	}
}

func (h *Handler) bodyTooLarge() error {
	return limitExceeded("the body has more than %d bytes", h.limits.MaxBody)
}

func (h *Handler) noPage(r *http.Request, name string) *fault {
	if r.Method != http.MethodPost || name == "" || name == r.URL.Path {
		return final(codeNotFound, http.StatusNotFound,
			"the server API is called with POST "+Prefix+"{method}; "+Prefix+documentName+" describes it")
	}
	f := noMethod(name)
	f.message += "; there are: " + strings.Join(slices.Sorted(maps.Keys(h.methods)), ", ")
	return f
}

func noMethod(name string) *fault {
	return final(codeNotFound, http.StatusNotFound, fmt.Sprintf("there is no method %.40q", name))
}

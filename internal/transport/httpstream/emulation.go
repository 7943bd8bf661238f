package httpstream

import (
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// Emulator is what an Emulation asks of the hub, see hub.Hub.Emulate.
type Emulator interface {
	Emulate(ctx context.Context, secret, node string, data []byte) error
}

// Spoken is what a client says between its streams: to which session, on which
// node, and what.
type Spoken struct {
	Session, Node string
	Data          []byte
}

// EmulationConfig is what an Emulation is made of. Hub and Decode are required.
type EmulationConfig struct {
	Hub     Emulator
	Origins *transport.Origins // nil: only pages of the server's own address
	Log     *slog.Logger
	Metrics *metrics.Metrics
	// Decode reads a body, by the request's media type. Its error is shown to the
	// client.
	Decode map[string]func(body []byte) (Spoken, error)

	MaxBody     int           // bytes; 0: DefaultMaxBody
	BodyTimeout time.Duration // for it to arrive; 0: DefaultBodyTimeout
}

// Emulation takes what clients of emulated sessions say. It may be asked on any
// node. It is answered with 204 once the session has taken it; also when the
// session is gone, whose stream tells why. 404 says that the node is.
type Emulation struct {
	cfg                           EmulationConfig
	refusedOrigin, refusedRequest *metrics.Counter
}

// NewEmulation makes an Emulation.
func NewEmulation(cfg EmulationConfig) (*Emulation, error) {
	if cfg.Hub == nil || len(cfg.Decode) == 0 {
		return nil, errors.New("httpstream: Hub and Decode are required")
	}
	own := Config{Origins: cfg.Origins, Log: cfg.Log, Metrics: cfg.Metrics, MaxBody: cfg.MaxBody, BodyTimeout: cfg.BodyTimeout}
	own.setDefaults()
	cfg.Origins, cfg.Log, cfg.Metrics, cfg.MaxBody, cfg.BodyTimeout = own.Origins, own.Log, own.Metrics, own.MaxBody, own.BodyTimeout
	return &Emulation{
		cfg:            cfg,
		refusedOrigin:  cfg.Metrics.Refused.Of(metrics.RefuseOrigin),
		refusedRequest: cfg.Metrics.Refused.Of(metrics.RefuseHandshake),
	}, nil
}

// ServeHTTP implements http.Handler.
func (e *Emulation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin, ok := admit(w, r, e.cfg.Origins, []string{http.MethodPost}, e.refusedOrigin, e.refusedRequest)
	if !ok {
		return
	}
	if fault := e.serve(w, r); fault != nil {
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

func (e *Emulation) serve(w http.ResponseWriter, r *http.Request) *refusal {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	decode := e.cfg.Decode[media]
	if decode == nil { // a form's media type needs no preflight, and none of them is served
		e.refusedRequest.Inc()
		return &refusal{http.StatusUnsupportedMediaType, codeBadRequest, "Content-Type must be that of the connection's protocol"}
	}
	body, fault := readBody(w, r, e.cfg.MaxBody, e.cfg.BodyTimeout)
	if fault != nil {
		e.refusedRequest.Inc()
		return fault
	}
	said, err := decode(body)
	if err != nil {
		e.refusedRequest.Inc()
		return &refusal{http.StatusBadRequest, codeBadRequest, err.Error()}
	}
	switch err := e.cfg.Hub.Emulate(r.Context(), said.Session, said.Node, said.Data); {
	case err == nil, errors.Is(err, hub.ErrUnknownSession):
		return nil
	case errors.Is(err, engine.ErrUnknownNode):
		return &refusal{http.StatusNotFound, codeUnknownNode, "the session's node is gone"}
	case errors.Is(err, hub.ErrTooManyRequests):
		return &refusal{http.StatusTooManyRequests, codeTooMany, "too many requests of this session wait"}
	default:
		e.cfg.Log.Debug("emulation failed", "remote", r.RemoteAddr, "error", err)
		return &refusal{http.StatusServiceUnavailable, codeTooMany, "not taken; try again"}
	}
}

package pusherapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/protocol/pusher"
)

// Prefix begins every path of the API.
const Prefix = "/apps/"

// Limits of one request, those of Pusher where it has them.
const (
	MaxChannels = 100 // of one event
	MaxBatch    = 10  // events
	MaxListed   = 10_000
	bodyTimeout = 30 * time.Second // for a body to arrive
	// DefaultMaxBody is larger than any request that keeps to the other limits.
	DefaultMaxBody = 1 << 20
)

// Hub is what the API asks of a hub.
type Hub interface {
	PublishAll(ctx context.Context, all []hub.Publish) []hub.Published
	History(ctx context.Context, app, channel string, q hub.HistoryQuery) (engine.HistoryResult, error)
	Presence(ctx context.Context, app, channel string) (engine.Members, error)
	PresenceStats(ctx context.Context, app, channel string) (engine.PresenceStats, error)
	Disconnect(ctx context.Context, t hub.Target, d hub.Disconnect) error
	Channels(ctx context.Context, q hub.ChannelQuery) (rows []hub.ChannelInfo, more bool, err error)
	SubscribersOfAll(ctx context.Context, ch channel.ID) (int, error)
}

// Apps knows every App and its keys.
type Apps interface {
	pusher.Keys
	// ByID is the name of the App that has an id; false: no App has it.
	ByID(id string) (app string, known bool)
}

// Config is what a Handler is made of. Apps is required.
type Config struct {
	Apps    Apps
	Log     *slog.Logger
	MaxData int // bytes of one event's data; 0: pusher.DefaultMaxData
	MaxBody int // bytes of one request; 0: DefaultMaxBody
	// Count is told of every request; nil: nobody counts.
	Count func(method string, status int, took time.Duration)
	// Allow takes one request of what a key may ask for in a second; nil: any number.
	Allow func(key string) (wait time.Duration, ok bool)
	Now   func() time.Time
	// Auditor is told of what is changed; nil: nobody is.
	Auditor audit.Auditor
}

// Handler answers below Prefix.
type Handler struct {
	cfg Config
	hub Hub
	mux *http.ServeMux
}

// call is a request to one App.
type call struct {
	*Handler

	app string
}

// method answers one kind of request with what is encoded as JSON.
type method func(h *call, r *http.Request, body []byte) (any, error)

// methods are all there are, by what they are counted by.
var methods = []struct {
	name, pattern string
	do            method
}{
	{"pusher_events", "POST /apps/{id}/events", (*call).events},
	{"pusher_batch_events", "POST /apps/{id}/batch_events", (*call).batch},
	{"pusher_channels", "GET /apps/{id}/channels", (*call).channels},
	{"pusher_channel", "GET /apps/{id}/channels/{channel}", (*call).channel},
	{"pusher_users", "GET /apps/{id}/channels/{channel}/users", (*call).users},
	{"pusher_terminate", "POST /apps/{id}/users/{user}/terminate_connections", (*call).terminate},
}

// New makes a Handler.
func New(cfg Config, h Hub) *Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxData == 0 {
		cfg.MaxData = pusher.DefaultMaxData
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.Count == nil {
		cfg.Count = func(string, int, time.Duration) {}
	}
	if cfg.Allow == nil {
		cfg.Allow = func(string) (time.Duration, bool) { return 0, true }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	handler := &Handler{cfg: cfg, hub: h, mux: http.NewServeMux()}
	for _, m := range methods {
		handler.mux.Handle(m.pattern, handler.serve(m.name, m.do))
	}
	return handler
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) serve(name string, do method) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := h.cfg.Now()
		reply, err := h.answer(w, r, do)
		status := http.StatusOK
		if err != nil {
			status = h.fail(w, r, err)
		} else {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			_ = json.NewEncoder(w).Encode(reply) // a reader that has left is not our error
		}
		h.cfg.Count(name, status, h.cfg.Now().Sub(start))
	})
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, do method) (any, error) {
	app, known := h.cfg.Apps.ByID(r.PathValue("id"))
	if !known {
		return nil, refused(http.StatusNotFound, "no app has this id")
	}
	to := &call{h, app}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // fails where there is no connection, as in tests
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(h.cfg.MaxBody)))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, refused(http.StatusRequestEntityTooLarge, "the body is too large")
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, refused(http.StatusRequestTimeout, "the body did not arrive in time")
	} else if err != nil {
		return nil, refused(http.StatusBadRequest, "the body did not arrive")
	}
	_ = control.SetReadDeadline(time.Time{}) // or what follows would be cut off
	if err := to.authenticate(r, body); err != nil {
		to.unauthenticated(r, err)
		return nil, err
	}
	if wait, ok := h.cfg.Allow(r.URL.Query().Get("auth_key")); !ok {
		return nil, &refusal{http.StatusTooManyRequests, "too many requests; try again", wait}
	}
	return do(to, r, body)
}

// refusal is an answer with an error status; its text is for the backend.
type refusal struct {
	status int
	text   string
	after  time.Duration // with 429 and 503: when to try again; 0: soon
}

func (r *refusal) Error() string { return r.text }

func refused(status int, text string) error { return &refusal{status: status, text: text} }

// failures names the hub's errors.
var failures = []struct {
	err error
	refusal
}{
	{hub.ErrUnknownApp, refusal{status: http.StatusNotFound, text: "no app has this id"}},
	{hub.ErrUnknownChannel, refusal{status: http.StatusBadRequest, text: "the channel's namespace is not defined"}},
	{hub.ErrBadRequest, refusal{status: http.StatusBadRequest, text: "no channel can have this name"}},
	{hub.ErrLimitExceeded, refusal{status: http.StatusRequestEntityTooLarge, text: "the event's data is too large"}},
	{hub.ErrNotAvailable, refusal{status: http.StatusBadRequest, text: "an option of the channel's namespace is off"}},
	{hub.ErrBusy, refusal{status: http.StatusServiceUnavailable, text: "too busy: not everything was published; try again"}},
	{hub.ErrTooManyRequests, refusal{status: http.StatusTooManyRequests, text: "too many publications: not everything was published; try again"}},
	{hub.ErrReadOnly, refusal{status: http.StatusServiceUnavailable, text: "the disk is full: not everything was published"}},
	{hub.ErrQuota, refusal{status: http.StatusRequestEntityTooLarge, text: "the app has as much history as it may store: not everything was published"}},
	{hub.ErrShutdown, refusal{status: http.StatusServiceUnavailable, text: "the server is stopping"}},
}

// fail answers with an error, in a line of text as Pusher does.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) int {
	why := &refusal{status: http.StatusInternalServerError, text: "internal server error"}
	if !errors.As(err, &why) {
		known := false
		for i := range failures {
			if known = errors.Is(err, failures[i].err); known {
				why = &failures[i].refusal
				break
			}
		}
		if !known {
			h.cfg.Log.Error("request failed", "path", r.URL.Path, "error", err)
		}
	}
	if why.status == http.StatusServiceUnavailable || why.status == http.StatusTooManyRequests {
		after := (why.after + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(max(int(after), 1)))
	}
	http.Error(w, why.text, why.status)
	return why.status
}

// decode reads a body into v.
func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		var field *json.UnmarshalTypeError
		if errors.As(err, &field) && field.Field != "" {
			return refused(http.StatusBadRequest, field.Field+" must not be a JSON "+field.Value)
		}
		return refused(http.StatusBadRequest, "the body must be a JSON object")
	}
	return nil
}

// info is a list of what is asked for beside the answer itself.
type info string

func (i info) has(name string) bool {
	for part := range strings.SplitSeq(string(i), ",") {
		if strings.TrimSpace(part) == name {
			return true
		}
	}
	return false
}

package hub

import (
	"context"
	"path"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file is what the server API and the page may ask of the hub. Methods
// that take a ctx block until answered or it ends; all are safe for use by any
// goroutine, and return the errors of protocol.go.

// API is the shape of it, so that its consumers can be tested without a hub.
type API interface {
	Publish(ctx context.Context, p Publish) (engine.PublishResult, error)
	PublishThen(p Publish, done func(engine.PublishResult, error))
	PublishAll(ctx context.Context, all []Publish) []Published
	History(ctx context.Context, app, channel string, q HistoryQuery) (engine.HistoryResult, error)
	RemoveHistory(ctx context.Context, app, channel string) error
	Presence(ctx context.Context, app, channel string) (engine.Members, error)
	PresenceStats(ctx context.Context, app, channel string) (engine.PresenceStats, error)
	Subscribe(ctx context.Context, t Target, channel string, o engine.SubscribeOptions) error
	Unsubscribe(ctx context.Context, t Target, channel string) error
	Disconnect(ctx context.Context, t Target, d Disconnect) error
	Channels(ctx context.Context, q ChannelQuery) (rows []ChannelInfo, more bool, err error)
	Info() Info
	Nodes(ctx context.Context, app string) ([]Info, error)
	UseOfAll(ctx context.Context, app string) ([]AppUse, error)
}

// Publish is a publication from a backend; no permission is asked.
type Publish struct {
	App            string
	Channel        string
	Data           []byte
	Binary         bool // Data is not JSON
	Event          string
	Tags           map[string]string
	IdempotencyKey string
	SkipHistory    bool
	Except         string // the id of a session that is not sent it, see engine.Publication; "": none
}

// Published is the outcome of one publication.
type Published struct {
	engine.PublishResult

	Err error
}

// Target names sessions of one app.
type Target struct {
	App    string
	User   string
	Client string   // only this session; "": every session of the user
	Except []string // but not these sessions (disconnect only)
}

// ChannelInfo is one row of the list of live channels.
type ChannelInfo struct {
	Name    string
	Clients int
}

// ChannelQuery pages through the channels that have subscribers, by name.
type ChannelQuery struct {
	App     string
	Pattern string // glob of * and ?; "": all
	After   string // names after this one
	Limit   int
}

// Info is what a node knows of itself.
type Info struct {
	UID       string
	Name      string
	Version   string
	Clients   int
	Users     int
	Channels  int
	Subs      int
	Uptime    time.Duration
	Published uint64 // publications accepted since start
	Delivered uint64 // publications queued for sessions since start
}

var _ API = (*Hub)(nil)

// Publish publishes for a backend. When ctx ends first, whether the publication
// was stored is unknown: repeat it with the same idempotency key.
func (h *Hub) Publish(ctx context.Context, p Publish) (engine.PublishResult, error) {
	return engine.Await(ctx, func(done func(engine.PublishResult, error)) { h.PublishThen(p, done) })
}

// PublishAll publishes in the given order without waiting for one before handing
// in the next, so that they share commits to disk. Publications of one channel
// keep their order; across channels there is none. Outcomes come in the order of
// all, those of what is still under way when ctx ends as of Publish.
func (h *Hub) PublishAll(ctx context.Context, all []Publish) []Published {
	type answer struct {
		at int
		Published
	}
	answers := make(chan answer, len(all))
	for i := range all {
		h.PublishThen(all[i], func(res engine.PublishResult, err error) { answers <- answer{i, Published{res, err}} })
	}
	out := make([]Published, len(all))
	answered := make([]bool, len(all))
	for range all {
		select {
		case a := <-answers:
			out[a.at], answered[a.at] = a.Published, true
		case <-ctx.Done():
			for i := range out {
				if !answered[i] {
					out[i].Err = ctx.Err()
				}
			}
			return out
		}
	}
	return out
}

// PublishThen is Publish for those who must not wait: done is called once, by any
// goroutine, also before PublishThen returns, and must not block.
func (h *Hub) PublishThen(p Publish, done func(engine.PublishResult, error)) {
	t := h.tenant(p.App)
	if t == nil {
		h.count.publishedByAPI.count(engine.PublishResult{}, ErrUnknownApp)
		done(engine.PublishResult{}, ErrUnknownApp)
		return
	}
	opts, err := t.resolve(p.Channel)
	if err != nil {
		h.count.publishedByAPI.count(engine.PublishResult{}, err)
		done(engine.PublishResult{}, err)
		return
	}
	h.publish(t, engine.PublishRequest{
		Channel:        channel.ID{App: p.App, Name: p.Channel},
		Retention:      engine.RetentionOf(opts),
		SkipHistory:    p.SkipHistory,
		IdempotencyKey: p.IdempotencyKey,
		Publication:    engine.Publication{Data: p.Data, Binary: p.Binary, Event: p.Event, Tags: p.Tags, Except: p.Except},
	}, &h.count.publishedByAPI, done)
}

// MaxAPIHistoryBytes bounds the data of one page of history for a backend; its
// publications are bounded by the query.
const MaxAPIHistoryBytes = 16 << 20

// History reads one page of a channel's history. Errors: ErrUnknownChannel,
// ErrBadRequest, ErrNotAvailable (no history), ErrUnrecoverable, ErrBusy.
func (h *Hub) History(ctx context.Context, app, name string, q HistoryQuery) (engine.HistoryResult, error) {
	opts, err := h.resolve(app, name)
	if err == nil && !opts.HasHistory() {
		err = ErrNotAvailable
	}
	if err != nil {
		return engine.HistoryResult{}, err
	}
	req := q.request(channel.ID{App: app, Name: name}, opts, channel.MaxHistorySize, MaxAPIHistoryBytes)
	return engine.Await(ctx, func(done func(engine.HistoryResult, error)) { h.engine.History(req, done) })
}

// RemoveHistory forgets a channel's publications; its position stays. Errors as
// History.
func (h *Hub) RemoveHistory(ctx context.Context, app, name string) error {
	opts, err := h.resolve(app, name)
	if err == nil && !opts.HasHistory() {
		err = ErrNotAvailable
	}
	if err != nil {
		return err
	}
	_, err = engine.Await(ctx, func(done func(struct{}, error)) {
		h.engine.RemoveHistory(channel.ID{App: app, Name: name}, engine.RetentionOf(opts),
			func(err error) { done(struct{}{}, err) })
	})
	return err
}

func (h *Hub) presenceOf(app, name string) (channel.ID, error) {
	opts, err := h.resolve(app, name)
	if err == nil && !opts.Presence {
		err = ErrNotAvailable
	}
	return channel.ID{App: app, Name: name}, err
}

// Presence lists a channel's subscribers. Errors: ErrUnknownChannel,
// ErrBadRequest, ErrNotAvailable (no presence).
func (h *Hub) Presence(ctx context.Context, app, name string) (engine.Members, error) {
	id, err := h.presenceOf(app, name)
	if err != nil {
		return nil, err
	}
	return engine.Await(ctx, func(done func(engine.Members, error)) { h.engine.Members(id, done) })
}

// PresenceStats counts a channel's subscribers; errors as Presence.
func (h *Hub) PresenceStats(ctx context.Context, app, name string) (engine.PresenceStats, error) {
	id, err := h.presenceOf(app, name)
	if err != nil {
		return engine.PresenceStats{}, err
	}
	return engine.Await(ctx, func(done func(engine.PresenceStats, error)) { h.engine.Stats(id, done) })
}

// Subscribe subscribes the target's sessions to a channel. It is done when every
// node has been told, not when every session has been.
func (h *Hub) Subscribe(ctx context.Context, t Target, name string, o engine.SubscribeOptions) error {
	if _, err := h.resolve(t.App, name); err != nil {
		return err
	}
	return h.control(ctx, t, engine.Control{Op: engine.ControlSubscribe, Channel: name, Options: o})
}

// Unsubscribe ends the target's subscriptions to a channel, or to all ("").
func (h *Hub) Unsubscribe(ctx context.Context, t Target, name string) error {
	if name != "" {
		if _, err := h.resolve(t.App, name); err != nil {
			return err
		}
	}
	return h.control(ctx, t, engine.Control{Op: engine.ControlUnsubscribe, Channel: name})
}

// Disconnect ends the target's sessions.
func (h *Hub) Disconnect(ctx context.Context, t Target, d Disconnect) error {
	return h.control(ctx, t, engine.Control{Op: engine.ControlDisconnect, Code: d.Code, Reason: d.Reason})
}

func (h *Hub) control(ctx context.Context, t Target, c engine.Control) error {
	if t.User == "" && t.Client == "" {
		return ErrBadRequest
	}
	c.App, c.User, c.Client, c.Except = t.App, t.User, t.Client, t.Except
	_, err := engine.Await(ctx, func(done func(struct{}, error)) {
		h.engine.Control(c, func(err error) { done(struct{}{}, err) })
	})
	return err
}

// matchGlob knows * and ?; a slash is a character like any other.
func matchGlob(pattern, name string) bool {
	if pattern == "" || pattern == "*" {
		return true
	}
	ok, err := path.Match(globEscaper.Replace(pattern), strings.ReplaceAll(name, "/", "\x00"))
	return err == nil && ok
}

var globEscaper = strings.NewReplacer("/", "\x00", "[", `\[`, "]", `\]`, `\`, `\\`)

// Info counts what this node holds.
func (h *Hub) Info() Info {
	info := Info{
		UID: h.cfg.Node.UID, Name: h.cfg.Node.Name, Version: h.cfg.Node.Version,
		Clients: int(h.open.Load() - h.guests.Load()), Users: h.users.users(), Uptime: time.Since(h.started),
		Published: h.count.accepted(), Delivered: h.count.Deliveries.Value(),
	}
	all := h.topics.totals()
	info.Channels, info.Subs = all.channels, all.subscriptions
	return info
}

package hub

import (
	"errors"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// This file is what a client may do with a channel beside subscribing to it:
// resolve, ask for permission, hand to the engine, come back to the shard.

// permitted resolves a channel and asks for permission.
func (s *Session) permitted(op channel.Op, name string, v channel.Verdict) (*channel.Options, error) {
	opts, err := s.tenant.resolve(name)
	if err != nil {
		return nil, err
	}
	return opts, s.decide(op, name, opts, nil, v)
}

// Member is the user that the session is to others on a channel; "": none, or it
// is not subscribed.
func (s *Session) Member(name string) string {
	if sub := s.find(name); sub != nil {
		return sub.clientInfo().User
	}
	return ""
}

// ClientPublish is a publication from a client.
type ClientPublish struct {
	Channel string
	Data    []byte
	Binary  bool
	Event   string
	Tags    map[string]string
	// ToOthers leaves the session itself out, unless it keeps track of its position.
	ToOthers bool

	skipHistory    bool
	idempotencyKey string
}

// Publish publishes for the client. Errors: ErrUnknownChannel, ErrBadRequest,
// ErrPermissionDenied, ErrLimitExceeded (too large), ErrBusy, ErrReadOnly, ErrQuota,
// ErrTooManyRequests; of the publish hook *BackendError and ErrNoAnswer, with
// nothing stored.
func (s *Session) Publish(p ClientPublish, done func(engine.PublishResult, error)) {
	opts, err := s.permitted(channel.Publish, p.Channel, channel.Unasked)
	switch {
	case !s.spend(publishing, 1): // what is not permitted counts, too
		err = ErrTooManyRequests
	case errors.Is(err, errAsk) && len(p.Data) <= s.shard.hub.cfg.MaxData:
		s.askPublish(p, done)
		return
	case errors.Is(err, errAsk):
		err = ErrLimitExceeded
		s.shard.hub.count.size.Inc()
	}
	if err != nil {
		s.shard.hub.count.publishedByClient.count(engine.PublishResult{}, err)
		done(engine.PublishResult{}, err)
		return
	}
	s.hand(&p, opts, done)
}

// hand gives the engine a publication that is allowed.
func (s *Session) hand(p *ClientPublish, opts *channel.Options, done func(engine.PublishResult, error)) {
	info := s.clientInfo()
	if sub := s.find(p.Channel); sub != nil {
		info = sub.clientInfo()
	}
	req := engine.PublishRequest{
		Channel:     channel.ID{App: s.identity.App, Name: p.Channel},
		Retention:   engine.RetentionOf(opts),
		SkipHistory: p.skipHistory, IdempotencyKey: p.idempotencyKey,
		Publication: engine.Publication{
			Data: p.Data, Binary: p.Binary, Event: p.Event, Tags: p.Tags, Info: info,
		},
	}
	if p.ToOthers {
		req.Publication.Except = s.ID()
	}
	s.begin()
	s.shard.hub.publish(s.tenant, req, &s.shard.hub.count.publishedByClient, func(res engine.PublishResult, err error) {
		s.shard.Post(func() {
			s.finish()
			if !s.ended {
				done(res, err)
			}
		})
	})
}

// publish takes a publication through the gate to the engine.
func (h *Hub) publish(t *tenant, req engine.PublishRequest, count *published, done func(engine.PublishResult, error)) {
	answer := func(res engine.PublishResult, err error) {
		count.count(res, err)
		if err == nil && !res.Duplicate {
			t.published.Add(1)
		}
		done(res, err)
	}
	if len(req.Publication.Data) > h.cfg.MaxData {
		h.count.size.Inc()
		answer(engine.PublishResult{}, ErrLimitExceeded)
		return
	}
	start := time.Now()
	if !h.mayPublish(t, start) {
		answer(engine.PublishResult{}, ErrTooManyRequests)
		return
	}
	req.Quota = t.app.Load().HistoryBytes
	cost := int64(publicationCost + len(req.Publication.Data))
	h.gate.enter(cost, func(err error) {
		if err != nil {
			answer(engine.PublishResult{}, err)
			return
		}
		h.engine.Publish(req, func(res engine.PublishResult, err error) {
			h.gate.release(cost)
			if err == nil {
				h.tellPublished(&req, res)
				h.count.PublishTime.Took(time.Since(start))
			}
			if errors.Is(err, ErrQuota) {
				h.limits.reports[metrics.HistoryBytesPerApp].Refused(h.passed(start), t.name)
			}
			answer(res, err)
		})
	})
}

// HistoryQuery reads a channel's history.
type HistoryQuery struct {
	Limit   int              // 0: position only; negative: as many as one page may hold
	Since   *engine.Position // exclusive; nil: from the end that Reverse names
	Reverse bool             // newest first
}

// request bounds a query by what one page may hold.
func (q HistoryQuery) request(id channel.ID, opts *channel.Options, maxCount, maxBytes int) engine.HistoryRequest {
	limit := q.Limit
	if limit < 0 || limit > maxCount {
		limit = maxCount
	}
	return engine.HistoryRequest{
		Channel: id, Retention: engine.RetentionOf(opts),
		Since: q.Since, Limit: limit, MaxBytes: maxBytes, Reverse: q.Reverse,
	}
}

// History reads for the client. Errors: ErrUnknownChannel, ErrBadRequest,
// ErrPermissionDenied, ErrNotAvailable (no history), ErrUnrecoverable, ErrBusy.
func (s *Session) History(name string, q HistoryQuery, done func(engine.HistoryResult, error)) {
	opts, err := s.permitted(channel.History, name, channel.Unasked)
	if err == nil && !opts.HasHistory() {
		err = ErrNotAvailable
	}
	if err != nil {
		done(engine.HistoryResult{}, err)
		return
	}
	id := channel.ID{App: s.identity.App, Name: name}
	query(s, done, func(answer func(engine.HistoryResult, error)) {
		cfg := &s.shard.hub.cfg
		s.shard.hub.engine.History(q.request(id, opts, cfg.HistoryLimit, cfg.HistoryBytes), answer)
	})
}

// Presence lists who is subscribed. Errors: ErrUnknownChannel, ErrBadRequest,
// ErrPermissionDenied, ErrNotAvailable (no presence).
func (s *Session) Presence(name string, done func(engine.Members, error)) {
	id, err := s.mayAskPresence(name)
	if err != nil {
		done(nil, err)
		return
	}
	query(s, done, func(answer func(engine.Members, error)) { s.shard.hub.engine.Members(id, answer) })
}

// PresenceStats counts who is subscribed; errors as Presence.
func (s *Session) PresenceStats(name string, done func(engine.PresenceStats, error)) {
	id, err := s.mayAskPresence(name)
	if err != nil {
		done(engine.PresenceStats{}, err)
		return
	}
	query(s, done, func(answer func(engine.PresenceStats, error)) { s.shard.hub.engine.Stats(id, answer) })
}

func (s *Session) mayAskPresence(name string) (channel.ID, error) {
	opts, err := s.permitted(channel.Presence, name, channel.Unasked)
	if err == nil && !opts.Presence {
		err = ErrNotAvailable
	}
	return channel.ID{App: s.identity.App, Name: name}, err
}

// query counts a question to the engine as in flight and brings its answer back
// to the shard.
func query[T any](s *Session, done func(T, error), ask func(answer func(T, error))) {
	s.begin()
	ask(func(res T, err error) {
		s.shard.Post(func() {
			s.finish()
			if !s.ended {
				done(res, err)
			}
		})
	})
}

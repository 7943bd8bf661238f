package hub

import (
	"cmp"
	"errors"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// This file brings a returning subscriber what it missed. The subscribe reply
// says that it is recovered and holds the first page; further pages follow as
// ordinary publications, in order and before any live one, as fast as the client
// reads. A client that is cut in between comes back with the last it has seen.

func (sub *subscription) historyRequest(r *SubscribeRequest) engine.HistoryRequest {
	cfg := &sub.session.shard.hub.cfg
	req := engine.HistoryRequest{Channel: sub.topic.id, Retention: engine.RetentionOf(sub.options)}
	switch {
	case sub.latest(r):
		req.Limit, req.Reverse = 1, true
	case !r.Recover || sub.flags&flagRecoverable == 0:
	case sub.options.RecoveryMode() == channel.RecoverCache:
		req.Limit, req.Reverse = 1, true
	default:
		req.Since, req.Limit, req.MaxBytes = &r.Since, cfg.RecoveryLimit, cmp.Or(r.budget, cfg.RecoveryBytes)
	}
	return req
}

// historyRead is the second half of register: reply, then go live.
func (s *Session) historyRead(sub *subscription, r *SubscribeRequest, res engine.HistoryResult, err error, done func(SubscribeResult, error)) {
	if s.ended || s.find(sub.topic.id.Name) != sub {
		return // it left while history was read
	}
	if errors.Is(err, ErrUnrecoverable) {
		s.rereadTop(sub, r, done)
		return
	}
	if err != nil {
		s.removeSubscription(sub)
		done(SubscribeResult{}, err)
		return
	}
	result := sub.result(r)
	result.Position = res.Top
	sub.topic.local[s.shard.index].began(res.Top.Epoch)
	if sub.latest(r) {
		result.Publications = res.Publications
	}
	if r.Recover && result.Recoverable {
		how := sub.recover(&result, r.Since, res)
		s.shard.hub.count.Recoveries.Of(how).Inc()
	}
	s.conclude(sub, r, result, done)
}

// recover decides whether res is exactly what was missed since a position, or the
// first page of it.
func (sub *subscription) recover(result *SubscribeResult, since engine.Position, res engine.HistoryResult) metrics.Recovery {
	if sub.options.RecoveryMode() == channel.RecoverCache {
		return result.recoverCache(since, res)
	}
	pages := res.Publications
	switch missed := res.Top.Offset - since.Offset; {
	case since.Epoch != res.Top.Epoch:
		return metrics.NotRecoveredEra
	case since.Offset > res.Top.Offset:
		return metrics.NotRecoveredNew
	case since.Offset+1 < res.Oldest:
		return metrics.NotRecoveredOld
	case missed > uint64(sub.session.shard.hub.cfg.RecoveryMax), missed > 0 && !follows(pages, since.Offset):
		return metrics.NotRecoveredMany
	}
	result.Recovered = true
	result.Publications = pages
	result.Since = since.Offset
	result.more = len(pages) > 0 && pages[len(pages)-1].Offset < res.Top.Offset
	return metrics.Recovered
}

// follows reports whether a page begins after an offset.
func follows(page []*engine.Publication, offset uint64) bool {
	return len(page) > 0 && page[0].Offset == offset+1
}

// recoverCache brings the latest publication, unless the client has it.
func (result *SubscribeResult) recoverCache(since engine.Position, res engine.HistoryResult) metrics.Recovery {
	if len(res.Publications) == 0 || res.Publications[0].Offset != res.Top.Offset {
		return metrics.NotRecoveredOld
	}
	latest := res.Publications[0]
	result.Recovered = true
	result.Since = since.Offset
	if since.Offset != latest.Offset || since.Epoch != res.Top.Epoch {
		result.Publications = res.Publications[:1]
	}
	return metrics.Recovered
}

// rereadTop asks once more, without the position that nothing can be recovered
// from, to tell the client where the channel stands now.
func (s *Session) rereadTop(sub *subscription, r *SubscribeRequest, done func(SubscribeResult, error)) {
	req := sub.historyRequest(r)
	req.Since, req.Limit = nil, 0
	s.begin()
	s.shard.hub.engine.History(req, func(res engine.HistoryResult, err error) {
		s.shard.Post(func() {
			s.finish()
			s.historyRead(sub, r, res, err, done)
		})
	})
}

// nextPage reads on after a position. What is live up to now will be in the read
// or in a later one: the engine makes a publication readable before it hands it
// over.
func (s *Session) nextPage(sub *subscription, after engine.Position) {
	sub.reading.restart()
	cfg := &s.shard.hub.cfg
	req := engine.HistoryRequest{
		Channel: sub.topic.id, Retention: engine.RetentionOf(sub.options),
		Since: &after, Limit: cfg.RecoveryLimit, MaxBytes: cfg.RecoveryBytes,
	}
	s.begin()
	s.shard.hub.engine.History(req, func(res engine.HistoryResult, err error) {
		s.shard.Post(func() {
			s.finish()
			s.pageRead(sub, after, res, err)
		})
	})
}

// pageRead sends a page. When the channel forgot a part meanwhile, the client is
// asked to subscribe again with what it has: that will not be recovered.
func (s *Session) pageRead(sub *subscription, after engine.Position, res engine.HistoryResult, err error) {
	if s.ended || s.find(sub.topic.id.Name) != sub {
		return
	}
	if err != nil || res.Top.Epoch != after.Epoch || !follows(res.Publications, after.Offset) {
		if err != nil && !errors.Is(err, ErrUnrecoverable) {
			s.shard.hub.log.Debug("recovery was cut", "channel", sub.topic.id.Name, "error", err)
		}
		s.dropSubscription(sub, UnsubscribeInsufficientState)
		return
	}
	for _, pub := range res.Publications {
		sub.send(s.shard.hub.newBroadcast(sub.topic, Event{
			Kind: EventPublication, Channel: sub.topic.id.Name, Epoch: res.Top.Epoch, Publication: pub,
		}))
	}
	if s.ended {
		return
	}
	after.Offset = res.Publications[len(res.Publications)-1].Offset
	if after.Offset == res.Top.Offset {
		sub.live(after.Offset)
		return
	}
	s.goOn(sub, after)
}

// goOn reads the next page once the client has taken the last.
func (s *Session) goOn(sub *subscription, after engine.Position) {
	sub.reading.skip = true
	s.whenSent(func() {
		if s.find(sub.topic.id.Name) == sub {
			s.nextPage(sub, after)
		}
	})
}

// restart forgets what arrived live and will be read. Publications without an
// offset are in no history and stay.
func (r *readBuffer) restart() {
	kept := r.live[:0]
	r.size = 0
	for _, b := range r.live {
		if b.event.Publication.Offset == 0 {
			kept = append(kept, b)
			r.size += b.size()
		}
	}
	clear(r.live[len(kept):])
	r.live, r.skip, r.gap = kept, false, 0
}

// whenSent runs fn once everything in line for the session is with its
// connection, or never when the session ends before.
func (s *Session) whenSent(fn func()) {
	s.flush()
	switch {
	case s.ended:
	case s.out == nil:
		fn()
	default:
		s.shard.unsent[s] = append(s.shard.unsent[s], fn)
	}
}

// sentAll runs what waited for the outbox to be empty.
func (s *Session) sentAll() {
	fns := s.shard.unsent[s]
	delete(s.shard.unsent, s)
	for _, fn := range fns {
		if !s.ended {
			fn()
		}
	}
}

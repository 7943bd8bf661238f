package hub

import (
	"errors"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// counters are the metrics the hub counts in, looked up once.
type counters struct {
	*metrics.Metrics
	publishedByClient, publishedByAPI published

	outboxFull, dropOldest, conflated *metrics.Counter
	publishWait, publishQueueFull     *metrics.Counter
	token, permission, subscriptions  *metrics.Counter
	members                           *metrics.Counter
	shutdown, size, emulationFull     *metrics.Counter
	searchFull                        *metrics.Counter
	hook                              *metrics.Counter
}

// published counts the publishes of one source by how they ended.
type published struct {
	ok, duplicate, refused, tooLarge, busy, readOnly, failed *metrics.Counter
}

func newCounters(m *metrics.Metrics) counters {
	return counters{
		Metrics:           m,
		publishedByClient: newPublished(m, metrics.FromClient),
		publishedByAPI:    newPublished(m, metrics.FromAPI),
		outboxFull:        m.Drops.Of(metrics.DropOutboxFull),
		dropOldest:        m.Drops.Of(metrics.DropOldest),
		conflated:         m.Drops.Of(metrics.DropConflated),
		publishWait:       m.Drops.Of(metrics.DropPublishWait),
		publishQueueFull:  m.Drops.Of(metrics.DropPublishQueueFull),
		token:             m.Refused.Of(metrics.RefuseToken),
		permission:        m.Refused.Of(metrics.RefusePermission),
		subscriptions:     m.Refused.Of(metrics.RefuseSubscriptionLimit),
		members:           m.Refused.Of(metrics.RefuseMemberLimit),
		shutdown:          m.Refused.Of(metrics.RefuseShutdown),
		hook:              m.Refused.Of(metrics.RefuseHook),
		size:              m.Refused.Of(metrics.RefusePublicationSize),
		emulationFull:     m.Drops.Of(metrics.DropEmulationFull),
		searchFull:        m.Drops.Of(metrics.DropSearchFull),
	}
}

func newPublished(m *metrics.Metrics, from metrics.Source) published {
	of := func(r metrics.PublishResult) *metrics.Counter {
		return m.Publications.Of(metrics.Publication{Source: from, Result: r})
	}
	return published{
		ok: of(metrics.PublishOK), duplicate: of(metrics.PublishDuplicate), refused: of(metrics.PublishRefused),
		tooLarge: of(metrics.PublishTooLarge), busy: of(metrics.PublishBusy), readOnly: of(metrics.PublishReadOnly),
		failed: of(metrics.PublishFailed),
	}
}

func (p *published) count(res engine.PublishResult, err error) {
	var said *BackendError
	switch {
	case err == nil && res.Duplicate:
		p.duplicate.Inc()
	case err == nil:
		p.ok.Inc()
	case errors.Is(err, ErrLimitExceeded):
		p.tooLarge.Inc()
	case errors.Is(err, ErrBusy), errors.Is(err, ErrTooManyRequests):
		p.busy.Inc()
	case errors.Is(err, ErrReadOnly):
		p.readOnly.Inc()
	case errors.As(err, &said), errors.Is(err, ErrQuota), errors.Is(err, ErrUnknownChannel), errors.Is(err, ErrBadRequest), errors.Is(err, ErrPermissionDenied):
		p.refused.Inc()
	default:
		p.failed.Inc()
	}
}

// accepted is the number of publications since start.
func (c *counters) accepted() uint64 {
	return c.publishedByClient.ok.Value() + c.publishedByAPI.ok.Value()
}

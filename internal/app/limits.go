package app

import (
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/limit"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// rate is a setting below limits as a rate.
func (a *App) rate(perSecond, least int64) limit.Rate {
	return limit.NewRate(perSecond, a.cfg.Limits.Burst, least)
}

// hubLimits are those that the hub enforces.
func (a *App) hubLimits() hub.Limits {
	c := &a.cfg.Limits
	message := int64(a.cfg.Client.MaxMessageSize)
	return hub.Limits{
		ConnectionsPerApp: c.ConnectionsPerApp, ConnectionsPerUser: c.ConnectionsPerUser, ConnectionsPerIP: c.ConnectionsPerIP,
		ConnectsPerIP:   a.rate(int64(c.ConnectsPerIP), 1),
		ConnectsPerUser: a.rate(int64(c.ConnectsPerUser), 1),
		ConnectsPerApp:  a.rate(int64(c.ConnectsPerApp), 1),
		PublishesPerApp: a.rate(int64(c.PublishesPerApp), 1),
		HistoryPerApp:   int64(c.HistoryBytesPerApp),
		Connection: hub.Activity{
			Subscribes: a.rate(int64(c.SubscribesPerConnection), 1),
			Publishes:  a.rate(int64(c.PublishesPerConnection), 1),
			RPCs:       a.rate(int64(c.RPCsPerConnection), 1),
			Bytes:      a.rate(int64(c.BytesPerConnection), message),
		},
		User: hub.Activity{
			Subscribes: a.rate(int64(c.SubscribesPerUser), 1),
			Publishes:  a.rate(int64(c.PublishesPerUser), 1),
			RPCs:       a.rate(int64(c.RPCsPerUser), 1),
			Bytes:      a.rate(int64(c.BytesPerUser), message),
		},
		IP: hub.Activity{
			Subscribes: a.rate(int64(c.SubscribesPerIP), 1),
			Publishes:  a.rate(int64(c.PublishesPerIP), 1),
			RPCs:       a.rate(int64(c.RPCsPerIP), 1),
			Bytes:      a.rate(int64(c.BytesPerIP), message),
		},
		App: hub.Activity{
			Subscribes: a.rate(int64(c.SubscribesPerApp), 1),
			RPCs:       a.rate(int64(c.RPCsPerApp), 1),
			Bytes:      a.rate(int64(c.BytesPerApp), message),
		},
	}
}

// requestLimit is what the server API and Pusher's HTTP API take their requests
// from, each by its own key; nil: no limit.
func (a *App) requestLimit() func(key string) (time.Duration, bool) {
	keys := limit.NewSet[string](a.rate(int64(a.cfg.Limits.APIRequestsPerKey), 1), 0)
	if keys == nil {
		return nil
	}
	start := time.Now()
	report := limit.NewReport(string(metrics.APIRequestsPerKey), a.metrics.Limited.Of(metrics.APIRequestsPerKey).Inc, a.log)
	return func(key string) (time.Duration, bool) {
		now := time.Since(start)
		wait, ok := keys.Take(now, key, 1)
		if !ok {
			report.Refused(now, "a key of the server API")
		}
		return wait, ok
	}
}

package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/egress"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/protocol/pusher"
	"github.com/fanfare-push/fanfare/internal/webhook"
)

// webhooks makes what tells a backend of events; nil: there is nobody to tell.
func (a *App) webhooks() (*webhook.Dispatcher, error) {
	c := a.cfg.Webhook
	authorities, err := trusting(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("webhook.ca_file: %w", err)
	}
	if len(c.URLs) == 0 {
		return nil, nil
	}
	var cluster webhook.Cluster
	if a.cfg.Cluster.On() {
		cluster = a.engine
	}
	return webhook.New(webhook.Config{
		Node: a.uid, Cluster: cluster,
		App: channel.DefaultApp, Key: a.cfg.App.Key, Secret: string(a.cfg.App.Secret),
		URLs: c.URLs, Events: c.Events, Log: a.engine, Logger: a.log, Metrics: a.metrics,
		Subscribers: func(ch channel.ID) int { return a.hub.Audience(ch) },
		IsMember:    func(m hub.Member) bool { return a.hub.IsMember(m) },
		Everyone:    func(ch func(channel.ID), m func(hub.Member)) { a.hub.Everyone(ch, m) },
		Debounce:    c.Debounce, Timeout: c.Timeout, RetryFor: c.RetryFor, MaxQueue: c.MaxQueue,
		Transport: egress.New(egress.Config{Trusted: c.TrustedHosts, TLS: authorities}).Transport,
	}), nil
}

func (a *App) startWebhooks() {
	if a.webhook != nil {
		a.webhook.Start()
		a.telling = true
	}
}

func (a *App) stopWebhooks(ctx context.Context) {
	if a.telling {
		a.webhook.Close(ctx)
	}
}

// observer and teller are nil, and not a nil *Dispatcher, where nobody is told.
func (a *App) observer() hub.Observer {
	if a.webhook == nil {
		return nil
	}
	return a.webhook
}

func (a *App) teller() pusher.Teller {
	if a.webhook == nil {
		return nil
	}
	return a.webhook
}

// deadLetters is what the server API shows of them; nil: nobody is told.
func (a *App) deadLetters() func(context.Context, int) ([]json.RawMessage, error) {
	if a.webhook == nil {
		return nil
	}
	return func(ctx context.Context, limit int) ([]json.RawMessage, error) {
		letters, err := a.webhook.DeadLetters(ctx, limit)
		if err != nil {
			return nil, err
		}
		rows := make([]json.RawMessage, len(letters))
		for i := range letters {
			if rows[i], err = json.Marshal(letters[i]); err != nil {
				return nil, err
			}
		}
		return rows, nil
	}
}

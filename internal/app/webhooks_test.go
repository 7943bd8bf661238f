package app

import (
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/webhook"
)

// Without settings an hour of a dead backend loses nothing, see TestAnHourOnDisk of
// internal/webhook.
func TestWebhooksOutlastAnHour(t *testing.T) {
	if d := config.Default().Webhook.RetryFor; d < 2*time.Hour {
		t.Errorf("webhook.retry_for is %s", d)
	}
}

// What the settings allow is what there is.
func TestWebhookEventsAreSettings(t *testing.T) {
	load := func(events string) error {
		_, err := config.Load(config.Sources{Env: []string{
			"FANFARE_APP_KEY=k", "FANFARE_APP_SECRET=s", "FANFARE_WEBHOOK_URLS=https://backend.example/", "FANFARE_WEBHOOK_EVENTS=" + events,
		}})
		return err
	}
	if err := load(strings.Join(webhook.Names(), ",")); err != nil {
		t.Error(err)
	}
	if err := load("other"); err == nil || !strings.Contains(err.Error(), strings.Join(webhook.Names(), ", ")) {
		t.Errorf("refused with %v", err)
	}
}

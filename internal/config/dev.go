package config

import (
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// devKey is the key and the secret of dev mode.
const devKey = "dev"

// devDefault is what --dev puts in the place of Default.
func devDefault() Config {
	c := Default()
	c.Dev = true
	c.API.Key, c.App.ID, c.App.Key, c.App.Secret = devKey, devKey, devKey, devKey
	c.Pusher.ClientEvents, c.Pusher.SubscriptionCount = true, true
	c.Client.AllowAnonymous = true
	c.Hooks.TrustedHosts, c.Webhook.TrustedHosts = devHosts(), devHosts()
	c.Limits = Limits{Burst: c.Limits.Burst}
	c.Channel.WithoutNamespace = devOptions()
	return c
}

// devHosts are where a backend that is being written is found.
func devHosts() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// devOptions are where the options of every namespace start in dev mode.
func devOptions() channel.Options {
	return channel.Options{
		HistorySize: 100, HistoryTTL: time.Hour, ForceRecovery: true,
		Presence: true, JoinLeave: true,
		AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true, AllowUserLimitedChannels: true,
		AllowTagsFilter: true, AllowedDeltaTypes: []string{channel.DeltaFossil},
		AllowPublishForClient: true, AllowPublishForAnonymous: true,
		AllowPresenceForClient: true, AllowPresenceForAnonymous: true,
		AllowHistoryForClient: true, AllowHistoryForAnonymous: true,
	}
}

// finishDev opens every namespace that is not in the list, and lets one that asks
// for no history be without.
func (c *Config) finishDev() {
	c.Channel.Namespaces = openDev(&c.Channel.WithoutNamespace, c.Channel.Namespaces)
	for i := range c.Apps {
		t := &c.Apps[i]
		t.AllowAnonymous = true
		t.Namespaces = openDev(&t.WithoutNamespace, t.Namespaces)
	}
}

func openDev(without *channel.Options, list []channel.Namespace) []channel.Namespace {
	dropHistory(without)
	list = slices.Clone(list)
	for i := range list {
		dropHistory(&list[i].Options)
	}
	if !slices.ContainsFunc(list, func(n channel.Namespace) bool { return n.Name == channel.AnyNamespace }) {
		list = append(list, DevNamespace())
	}
	return list
}

// DevNamespace stands in dev mode for every one that is not defined.
func DevNamespace() channel.Namespace {
	return channel.Namespace{Name: channel.AnyNamespace, Options: devOptions()}
}

// DevOptions are those of channels without a namespace in dev mode.
func DevOptions() channel.Options { return devOptions() }

// dropHistory takes away what devOptions gave and makes no sense without history.
func dropHistory(o *channel.Options) {
	if o.HistorySize == 0 || o.HistoryTTL == 0 {
		o.HistorySize, o.HistoryTTL, o.ForceRecovery = 0, 0, false
	}
}

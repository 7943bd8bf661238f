package doctor

import (
	"fmt"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/config"
)

// usual are the largest values that are not unusual.
var usual = []struct {
	setting string
	most    int64
	isSize  bool
	of      func(c *config.Config) int64
	cost    string // of more
}{
	{"client.outbox_max_bytes", 16 << 20, true, func(c *config.Config) int64 { return int64(c.Client.OutboxMaxBytes) }, "each slow client may hold that much memory"},
	{"client.max_message_size", 4 << 20, true, func(c *config.Config) int64 { return int64(c.Client.MaxMessageSize) }, "each client may have the server hold that much"},
	{"client.send_buffer_size", 4 << 20, true, func(c *config.Config) int64 { return int64(c.Client.SendBufferSize) }, "the kernel may hold that much for each client"},
	{"client.max_channels", 10_000, false, func(c *config.Config) int64 { return int64(c.Client.MaxChannels) }, "one client may fill the tables"},
	{"client.max_pending", 1024, false, func(c *config.Config) int64 { return int64(c.Client.MaxPending) }, "one client may keep the engine busy"},
	{"client.max_handshakes", 100_000, false, func(c *config.Config) int64 { return int64(c.Client.MaxHandshakes) }, "connections that come at once take memory and time from those that are there"},
	{"publish_max_data_size", 4 << 20, true, func(c *config.Config) int64 { return int64(c.PublishMaxDataSize) }, "it is sent to every subscriber"},
	{"publish_queue_bytes", 1 << 30, true, func(c *config.Config) int64 { return int64(c.PublishQueueBytes) }, "it is memory"},
	{"api.max_body_size", 64 << 20, true, func(c *config.Config) int64 { return int64(c.API.MaxBodySize) }, "each request may hold that much memory"},
	{"pusher.client_event_rate", 1000, false, func(c *config.Config) int64 { return int64(c.Pusher.ClientEventRate) }, "one client may keep all others busy"},
}

// usualHistory is the longest history that is not unusual, in publications.
const usualHistory = 100_000

func largeLimits(c *config.Config, add report) {
	const do = "see that it is meant, and that the machine bears it"
	for _, u := range usual {
		if n := u.of(c); n > u.most {
			value, most := fmt.Sprint(n), fmt.Sprint(u.most)
			if u.isSize {
				value, most = config.Size(n).String(), config.Size(u.most).String()
			}
			add(Warning, u.setting, fmt.Sprintf("is %s, more than the %s that is usual at most: %s", value, most, u.cost), do)
		}
	}
	eachNamespace(c, func(setting, _ string, o *channel.Options) {
		if o.HistorySize > usualHistory {
			add(Warning, setting+".history_size", fmt.Sprintf("is %d for each channel, more than the %d that is usual at most", o.HistorySize, usualHistory), do)
		}
	})
}

func missingLimits(c *config.Config, add report) {
	if c.Store.ReserveSize == 0 {
		add(Warning, "store.reserve_size", "is 0: history fills the disk, and then the server ends", "leave it at its default")
	}
	if c.Client.SendBufferSize == 0 {
		add(Note, "client.send_buffer_size", "is 0: the kernel may hold megabytes for each slow client before the server notices", "leave it at its default")
	}
	if c.ShutdownTimeout == 0 {
		add(Note, "shutdown_timeout", "is 0: a stop does not wait for what clients still have to be sent", "leave it at its default")
	}
}

// addressLimits looks for limits by address that are not there, and for those that
// all clients share because a proxy is the only address there is.
func addressLimits(c *config.Config, add report) {
	limited := c.Limits.ConnectionsPerIP > 0 || c.Limits.ConnectsPerIP > 0
	proxied := len(c.Client.TrustedProxies) > 0
	switch at := reachOf(c.Listen); {
	case limited && !proxied && at == fromHere:
		add(Warning, "client.trusted_proxies", "is empty, and clients of this address come through a proxy: the limits by address (limits.…_per_ip) count all of them as one",
			"name the proxy, and have it pass the clients' addresses on")
	case !limited && !proxied && at == fromInternet:
		add(Warning, "limits.connections_per_ip", "is off, as limits.connects_per_ip is: one address can take every place, and come again as fast as it likes", perAddress)
	case !limited && !proxied && at == fromAnywhere:
		add(Note, "limits.connections_per_ip", "is off, as limits.connects_per_ip is: one address can take every place, and come again as fast as it likes", perAddress)
	}
}

// perAddress is what to do where there is no limit by address.
const perAddress = "behind a proxy name it in client.trusted_proxies; then set both, such as to 1000 and 20 (docs/limits.md)"

// usualBurst is the longest limits.burst that is not unusual.
const usualBurst = time.Minute

func longBurst(c *config.Config, add report) {
	if c.Limits.Burst > usualBurst {
		add(Warning, "limits.burst", fmt.Sprintf("is %s: who was quiet for so long may do all of it at once, at every rate", c.Limits.Burst), "5s to 30s lets clients catch up, and not more")
	}
}

// patience is how long clients are waited for that say nothing.
const patience = 30 * time.Second

func longConnectTimeout(c *config.Config, add report) {
	if c.Client.ConnectTimeout > patience {
		add(Warning, "client.connect_timeout", fmt.Sprintf("is %s: a connection that says nothing takes a place for so long", c.Client.ConnectTimeout), "10s is enough on every network")
	}
}

func debugLog(c *config.Config, add report) {
	if c.Log.Level == "debug" {
		add(Note, "log.level", "is debug: lines for every client cost time and hold names", "use info, once what was looked for is found")
	}
}

func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

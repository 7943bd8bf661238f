package hub

import (
	"context"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file is what the server API, the page and the CLI's server side may ask
// of the hub. Methods block until answered or ctx ends, are safe for use by any
// goroutine, and return the errors of protocol.go.

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
}

// HistoryQuery reads a channel's history.
type HistoryQuery struct {
	Limit   int // 0: position only; negative: as many as one page may hold
	Since   *engine.Position
	Reverse bool
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

// ChannelQuery pages through the channels that have subscribers here, by name.
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
	Delivered uint64 // messages written to sessions since start
}

// API is the shape of the above, so that its consumers can be built and tested
// without a hub.
type API interface {
	Publish(ctx context.Context, p Publish) (engine.PublishResult, error)
	History(ctx context.Context, app, channel string, q HistoryQuery) (engine.HistoryResult, error)
	RemoveHistory(ctx context.Context, app, channel string) error
	Presence(ctx context.Context, app, channel string) (engine.Members, error)
	PresenceStats(ctx context.Context, app, channel string) (engine.PresenceStats, error)
	Subscribe(ctx context.Context, t Target, channel string, o engine.SubscribeOptions) error
	Unsubscribe(ctx context.Context, t Target, channel string) error
	Disconnect(ctx context.Context, t Target, d Disconnect) error
	Channels(q ChannelQuery) (rows []ChannelInfo, more bool)
	Info() Info
}

package client

import (
	"context"
	"encoding/json"
	"time"
)

// SessionInfo tells who published or is present.
type SessionInfo struct {
	User     string          `json:"user"`
	Client   string          `json:"client"` // session id
	ConnInfo json.RawMessage `json:"conn_info"`
	ChanInfo json.RawMessage `json:"chan_info"`
}

// Publication is one published message as it is read.
type Publication struct {
	Offset uint64            `json:"offset"`  // 0: without history
	Data   json.RawMessage   `json:"data"`    // JSON; to subscribers, binary data is a JSON string in base64
	Binary []byte            `json:"b64data"` // in place of Data; in a History only
	Event  string            `json:"event"`   // in a History only: subscribers get it as the tag "event"
	Tags   map[string]string `json:"tags"`
	Info   *SessionInfo      `json:"info"` // publisher; nil: a backend
	Time   int64             `json:"time"` // when it was ordered, in Unix milliseconds
}

// HistoryQuery asks for a page of a channel's history.
type HistoryQuery struct {
	Limit   int       // at most so many; 0: the position only; negative: as many as a page may hold
	Since   *Position // what follows it (precedes it with Reverse); nil: from the oldest (newest) on
	Reverse bool      // newest first
}

// History is a page of a channel's history, and where the channel stands.
type History struct {
	Publications []Publication `json:"publications"`
	Position                   // of the channel, not of the page
	More         bool          `json:"has_more"` // others follow after the last
}

// History reads a page. Error codes: CodeUnrecoverable when Since is not of the
// channel's epoch or above its offset, CodeNotAvailable without history.
func (a *API) History(ctx context.Context, channel string, q HistoryQuery) (History, error) {
	var h History
	err := a.call(ctx, "history", struct {
		Channel string    `json:"channel"`
		Limit   int       `json:"limit"`
		Since   *Position `json:"since,omitempty"`
		Reverse bool      `json:"reverse,omitempty"`
	}{channel, q.Limit, q.Since, q.Reverse}, &h)
	return h, err
}

type channelRequest struct {
	Channel string `json:"channel"`
}

// RemoveHistory forgets a channel's publications; its position stays.
func (a *API) RemoveHistory(ctx context.Context, channel string) error {
	return a.call(ctx, "history_remove", channelRequest{channel}, nil)
}

// Presence lists who is subscribed to a channel, by session id.
func (a *API) Presence(ctx context.Context, channel string) (map[string]SessionInfo, error) {
	all := make(map[string]SessionInfo)
	for cursor := ""; ; {
		var page struct {
			Presence map[string]SessionInfo `json:"presence"`
			Next     string                 `json:"next_cursor"`
		}
		err := a.call(ctx, "presence", struct {
			channelRequest
			Cursor string `json:"cursor,omitempty"`
		}{channelRequest{channel}, cursor}, &page)
		if err != nil {
			return nil, err
		}
		for id, info := range page.Presence {
			all[id] = info
		}
		if page.Next == "" {
			return all, nil
		}
		cursor = page.Next
	}
}

// PresenceStats counts a channel's subscribers.
type PresenceStats struct {
	Clients int `json:"num_clients"` // sessions
	Users   int `json:"num_users"`   // distinct users
}

// PresenceStats counts who is subscribed to a channel.
func (a *API) PresenceStats(ctx context.Context, channel string) (PresenceStats, error) {
	var s PresenceStats
	err := a.call(ctx, "presence_stats", channelRequest{channel}, &s)
	return s, err
}

// Channels lists channels with subscribers and how many each has. pattern is a
// glob of * and ?; "" means all.
func (a *API) Channels(ctx context.Context, pattern string) (map[string]int, error) {
	all := make(map[string]int)
	for cursor := ""; ; {
		var page struct {
			Channels map[string]struct {
				Clients int `json:"num_clients"`
			} `json:"channels"`
			Next string `json:"next_cursor"`
		}
		err := a.call(ctx, "channels", struct {
			Pattern string `json:"pattern,omitempty"`
			Cursor  string `json:"cursor,omitempty"`
		}{pattern, cursor}, &page)
		if err != nil {
			return nil, err
		}
		for name, c := range page.Channels {
			all[name] = c.Clients
		}
		if page.Next == "" {
			return all, nil
		}
		cursor = page.Next
	}
}

// Node is what a node knows of itself.
type Node struct {
	UID           string `json:"uid"`
	Name          string `json:"name"`
	Version       string `json:"version"`
	Clients       int    `json:"num_clients"`
	Users         int    `json:"num_users"`
	Channels      int    `json:"num_channels"`
	Subscriptions int    `json:"num_subs"`
	UptimeSeconds int64  `json:"uptime"`
	Published     uint64 `json:"num_published"` // since start
	Delivered     uint64 `json:"num_delivered"` // since start
}

// Uptime is how long the node has been running.
func (n *Node) Uptime() time.Duration { return time.Duration(n.UptimeSeconds) * time.Second }

// Info asks the nodes about themselves.
func (a *API) Info(ctx context.Context) ([]Node, error) {
	var res struct {
		Nodes []Node `json:"nodes"`
	}
	err := a.call(ctx, "info", struct{}{}, &res)
	return res.Nodes, err
}

// Target names sessions: all of a user, or one.
type Target struct {
	User   string `json:"user,omitempty"`
	Client string `json:"client,omitempty"` // only this session; "": all of the user
}

// Subscribe subscribes the target's sessions to a channel.
func (a *API) Subscribe(ctx context.Context, t Target, channel string) error {
	return a.call(ctx, "subscribe", struct {
		Target
		channelRequest
	}{t, channelRequest{channel}}, nil)
}

// Unsubscribe ends the target's subscriptions to a channel; "" means to all.
func (a *API) Unsubscribe(ctx context.Context, t Target, channel string) error {
	return a.call(ctx, "unsubscribe", struct {
		Target
		channelRequest
	}{t, channelRequest{channel}}, nil)
}

// Disconnect is what disconnected sessions are told: with a code of 3000–3499 or
// 4000–4499 they come back, with others of 3000–4999 they stay away.
type Disconnect struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"` // at most 123 bytes
}

// Disconnect ends the target's sessions; nil means that they stay away.
func (a *API) Disconnect(ctx context.Context, t Target, d *Disconnect) error {
	return a.call(ctx, "disconnect", struct {
		Target
		Disconnect *Disconnect `json:"disconnect,omitempty"`
	}{t, d}, nil)
}

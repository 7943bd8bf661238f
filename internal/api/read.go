package api

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// channelRequest is a request that names a channel and nothing else.
type channelRequest struct{ channel string }

func channelFields[T any](of func(*T) *channelRequest) []field[T] {
	return []field[T]{{"channel", text(func(r *T) *string { return &of(r).channel })}}
}

// page asks for a part of a list that is ordered by name.
type page struct {
	limit  int64
	cursor string // the last name of the page before
}

func pageFields[T any](of func(*T) *page) []field[T] {
	return []field[T]{
		{"limit", number(func(r *T) *int64 { return &of(r).limit })},
		{"cursor", text(func(r *T) *string { return &of(r).cursor })},
	}
}

func (p *page) rows(l *Limits) (int, error) {
	switch {
	case p.limit < 0:
		return 0, badRequest("limit must not be negative")
	case p.limit == 0:
		return l.MaxPage, nil
	}
	return int(min(p.limit, int64(l.MaxPage))), nil
}

type presenceRequest struct {
	channelRequest
	page
}

func presenceFields() []field[presenceRequest] {
	return append(channelFields(func(r *presenceRequest) *channelRequest { return &r.channelRequest }),
		pageFields(func(r *presenceRequest) *page { return &r.page })...)
}

func (r *presenceRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if err := checkChannel(r.channel); err != nil {
		return out, err
	}
	rows, err := r.rows(&h.limits)
	if err != nil {
		return out, err
	}
	members, err := h.hub.Presence(ctx, h.app, r.channel)
	if err != nil {
		return out, about(r.channel, "presence", err)
	}
	out = append(out, `{"presence":{`...)
	last, n := "", 0
	for _, id := range slices.Sorted(maps.Keys(members)) {
		if id <= r.cursor {
			continue
		}
		if n == rows {
			return append(appendText(append(out, '}'), "next_cursor", last), '}'), nil
		}
		if n > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, id), ':')
		out = appendInfo(out, members[id])
		last, n = id, n+1
	}
	return append(out, "}}"...), nil
}

func appendInfo(out []byte, info *engine.ClientInfo) []byte {
	out = append(out, '{')
	out = appendText(out, "user", info.User)
	out = appendText(out, "client", info.Client)
	if len(info.ConnInfo) > 0 {
		out = appendRaw(out, "conn_info", info.ConnInfo)
	}
	if len(info.ChanInfo) > 0 {
		out = appendRaw(out, "chan_info", info.ChanInfo)
	}
	return append(out, '}')
}

type presenceStatsRequest struct{ channelRequest }

func presenceStatsFields() []field[presenceStatsRequest] {
	return channelFields(func(r *presenceStatsRequest) *channelRequest { return &r.channelRequest })
}

func (r *presenceStatsRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if err := checkChannel(r.channel); err != nil {
		return out, err
	}
	stats, err := h.hub.PresenceStats(ctx, h.app, r.channel)
	if err != nil {
		return out, about(r.channel, "presence", err)
	}
	out = appendNumber(append(out, '{'), "num_clients", uint64(stats.Clients))
	return append(appendNumber(out, "num_users", uint64(stats.Users)), '}'), nil
}

type historyRequest struct {
	channelRequest
	limit   int64
	since   *position
	reverse bool
}

func historyFields() []field[historyRequest] {
	type R = historyRequest
	return append(channelFields(func(r *R) *channelRequest { return &r.channelRequest }), []field[R]{
		{"limit", number(func(r *R) *int64 { return &r.limit })},
		{"since", object(func(r *R) **position { return &r.since }, positionFields())},
		{"reverse", flag(func(r *R) *bool { return &r.reverse })},
	}...)
}

// run reads one page: limit 0 asks for the position only, a negative one for as
// many as a page may hold (Centrifugo: for all).
func (r *historyRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if err := checkChannel(r.channel); err != nil {
		return out, err
	}
	q := hub.HistoryQuery{Limit: h.limits.MaxPage, Since: r.since.engine(), Reverse: r.reverse}
	if r.limit >= 0 {
		q.Limit = int(min(r.limit, int64(h.limits.MaxPage)))
	}
	res, err := h.hub.History(ctx, h.app, r.channel, q)
	if err != nil {
		return out, about(r.channel, "history", err)
	}
	out = append(out, `{"publications":[`...)
	for i, p := range res.Publications {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendPublication(out, p)
	}
	out = append(out, ']')
	out = appendNumber(out, "offset", res.Top.Offset)
	out = appendText(out, "epoch", res.Top.Epoch)
	if r.limit != 0 && hasMore(&res, r.reverse) {
		out = appendRaw(out, "has_more", []byte("true"))
	}
	return append(out, '}'), nil
}

// hasMore reports that other publications follow after the page's last.
func hasMore(res *engine.HistoryResult, reverse bool) bool {
	if len(res.Publications) == 0 {
		return false
	}
	last := res.Publications[len(res.Publications)-1].Offset
	if reverse {
		return last > res.Oldest
	}
	return last < res.Top.Offset
}

// appendPublication gives binary data as b64data.
func appendPublication(out []byte, p *engine.Publication) []byte {
	out = append(out, '{')
	if p.Binary {
		out = append(appendField(out, "b64data"), '"')
		out = append(base64.StdEncoding.AppendEncode(out, p.Data), '"')
	} else {
		out = appendRaw(out, "data", p.Data)
	}
	if p.Info != nil {
		out = appendInfo(appendField(out, "info"), p.Info)
	}
	out = appendNumber(out, "offset", p.Offset)
	if len(p.Tags) > 0 {
		out = append(appendField(out, "tags"), '{')
		for _, k := range slices.Sorted(maps.Keys(p.Tags)) {
			if out[len(out)-1] != '{' {
				out = append(out, ',')
			}
			out = append(appendString(out, k), ':')
			out = appendString(out, p.Tags[k])
		}
		out = append(out, '}')
	}
	if p.Event != "" {
		out = appendText(out, "event", p.Event)
	}
	return append(appendNumber(out, "time", uint64(max(p.Time, 0))), '}')
}

type historyRemoveRequest struct{ channelRequest }

func historyRemoveFields() []field[historyRemoveRequest] {
	return channelFields(func(r *historyRemoveRequest) *channelRequest { return &r.channelRequest })
}

func (r *historyRemoveRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if err := checkChannel(r.channel); err != nil {
		return out, err
	}
	if err := h.hub.RemoveHistory(ctx, h.app, r.channel); err != nil {
		return out, about(r.channel, "history", err)
	}
	return append(out, "{}"...), nil
}

type channelsRequest struct {
	pattern string
	page
}

func channelsFields() []field[channelsRequest] {
	return append([]field[channelsRequest]{
		{"pattern", text(func(r *channelsRequest) *string { return &r.pattern })},
	}, pageFields(func(r *channelsRequest) *page { return &r.page })...)
}

func (r *channelsRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if len(r.pattern) > MaxPattern {
		return out, limitExceeded("pattern has %d bytes, at most %d are allowed", len(r.pattern), MaxPattern)
	}
	limit, err := r.rows(&h.limits)
	if err != nil {
		return out, err
	}
	rows, more, err := h.hub.Channels(ctx, hub.ChannelQuery{App: h.app, Pattern: r.pattern, After: r.cursor, Limit: limit})
	if err != nil {
		return out, err
	}
	out = append(out, `{"channels":{`...)
	for i, row := range rows {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, row.Name), ':', '{')
		out = append(appendNumber(out, "num_clients", uint64(row.Clients)), '}')
	}
	out = append(out, '}')
	if more && len(rows) > 0 {
		out = appendText(out, "next_cursor", rows[len(rows)-1].Name)
	}
	return append(out, '}'), nil
}

type infoRequest struct{}

var _ command = (*infoRequest)(nil)

// run tells what every node holds: of the key's App, unless it is the operator's.
func (r *infoRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	app := h.app
	if h.scope == tenant.Operator {
		app = ""
	}
	nodes, err := h.hub.Nodes(ctx, app)
	if err != nil {
		return out, err
	}
	out = append(out, `{"nodes":[`...)
	for i := range nodes {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendNode(out, &nodes[i])
	}
	return append(out, `]}`...), nil
}

func appendNode(out []byte, info *hub.Info) []byte {
	out = appendText(append(out, '{'), "uid", info.UID)
	out = appendText(out, "name", info.Name)
	out = appendText(out, "version", info.Version)
	out = appendNumber(out, "num_clients", uint64(info.Clients))
	out = appendNumber(out, "num_users", uint64(info.Users))
	out = appendNumber(out, "num_channels", uint64(info.Channels))
	out = appendNumber(out, "num_subs", uint64(info.Subs))
	out = appendNumber(out, "uptime", uint64(info.Uptime.Seconds()))
	out = appendNumber(out, "num_published", info.Published)
	return append(appendNumber(out, "num_delivered", info.Delivered), '}')
}

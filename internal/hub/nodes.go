package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// This file asks the hubs of all nodes what each knows of itself, and answers them.

// question is what a hub asks others.
type question struct {
	Kind  questionKind `json:"kind"`
	App   string       `json:"app,omitempty"`
	Query ChannelQuery `json:"query,omitzero"`
	Name  string       `json:"name,omitempty"`  // of a channel
	Names []string     `json:"names,omitempty"` // of sessions
}

type questionKind string

// The kinds of questions. A kind is never given another meaning: nodes of several
// versions may be one cluster.
const (
	askChannels    questionKind = "channels"    // channelPage
	askInfo        questionKind = "info"        // Info
	askUse         questionKind = "use"         // []AppUse: of one App, or of all
	askSubscribers questionKind = "subscribers" // int
	askSessions    questionKind = "sessions"    // []string: of Names those that are here
)

// Answer implements engine.Respondent.
func (h *Hub) Answer(data []byte) []byte {
	var q question
	if err := json.Unmarshal(data, &q); err != nil {
		h.log.Error("a question of another node cannot be read", "error", err)
		return nil
	}
	var what any
	switch q.Kind {
	case askChannels:
		what = h.channelPage(&q.Query, maxPageBytes)
	case askInfo:
		what = h.infoOf(q.App)
	case askUse:
		what = h.useOf(q.App)
	case askSubscribers:
		what = h.Subscribers(channel.ID{App: q.App, Name: q.Name})
	case askSessions:
		what = h.sessionsHere(q.Names)
	default: // of a later version
		return nil
	}
	answer, err := json.Marshal(what)
	if err != nil {
		h.log.Error("an answer to another node cannot be encoded", "kind", q.Kind, "error", err)
		return nil
	}
	return answer
}

// gather asks all other nodes. It fails with ErrBusy when one that is alive does not
// answer: what it would have said is not left out in silence.
func gather[T any](ctx context.Context, h *Hub, q *question) ([]T, error) {
	if h.Alone() {
		return nil, nil
	}
	data, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	answers, err := engine.Await(ctx, func(done func([]engine.Answer, error)) { h.engine.Ask(data, done) })
	if err != nil {
		return nil, err
	}
	all := make([]T, len(answers))
	for i, a := range answers {
		if err := json.Unmarshal(a.Data, &all[i]); err != nil {
			return nil, fmt.Errorf("answer of node %s: %w", a.Node, err)
		}
	}
	return all, nil
}

// Alone reports whether no other node is alive.
func (h *Hub) Alone() bool { return len(h.engine.Alive()) == 0 }

// Nodes is what every node that is alive knows of itself, this one first. With an
// App it is what that App uses of each; Delivered, which is counted for all Apps
// together, is then 0. Error: ErrBusy.
func (h *Hub) Nodes(ctx context.Context, app string) ([]Info, error) {
	others, err := gather[Info](ctx, h, &question{Kind: askInfo, App: app})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(others, func(a, b Info) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID)) })
	return append([]Info{h.infoOf(app)}, others...), nil
}

func (h *Hub) infoOf(app string) Info {
	info := h.Info()
	if app == "" {
		return info
	}
	info.Clients, info.Users, info.Channels, info.Subs, info.Published, info.Delivered = 0, 0, 0, 0, 0, 0
	for _, u := range h.useOf(app) {
		info.Clients, info.Users, info.Channels, info.Subs, info.Published = u.Sessions, u.Users, u.Channels, u.Subscriptions, u.Published
	}
	return info
}

// UseOfAll adds up what one App uses of each node, or every App, by name, where app is
// "". A user or channel that is on several nodes counts on each of them, history once.
// Error: ErrBusy.
func (h *Hub) UseOfAll(ctx context.Context, app string) ([]AppUse, error) {
	others, err := gather[[]AppUse](ctx, h, &question{Kind: askUse, App: app})
	if err != nil {
		return nil, err
	}
	sum := h.useOf(app)
	place := make(map[string]int, len(sum))
	for i := range sum {
		place[sum[i].App] = i
	}
	for _, use := range others {
		for _, u := range use {
			if i, known := place[u.App]; known {
				sum[i].add(&u)
			}
		}
	}
	return sum, nil
}

func (u *AppUse) add(o *AppUse) {
	u.Sessions += o.Sessions
	u.Users += o.Users
	u.Channels += o.Channels
	u.Subscriptions += o.Subscriptions
	u.Published += o.Published
	u.HistoryBytes = max(u.HistoryBytes, o.HistoryBytes) // every node has all of it, or nothing
}

// SubscribersOfAll counts a channel's subscribers on all nodes. Error: ErrBusy.
func (h *Hub) SubscribersOfAll(ctx context.Context, ch channel.ID) (int, error) {
	sum := h.Subscribers(ch)
	others, err := gather[int](ctx, h, &question{Kind: askSubscribers, App: ch.App, Name: ch.Name})
	for _, n := range others {
		sum += n
	}
	return sum, err
}

// maxPageBytes bounds the channels of one answer, as JSON; what surrounds them is
// small.
const maxPageBytes = engine.MaxAnswer - 1024

// channelPage is a part of the live channels of one node, by name.
type channelPage struct {
	Rows []ChannelInfo `json:"rows"`
	More bool          `json:"more"` // others follow after the last row
}

// Channels lists live channels of all nodes by name, at most q.Limit (0: all); more
// says that others follow after the last. Error: ErrBusy.
func (h *Hub) Channels(ctx context.Context, q ChannelQuery) (rows []ChannelInfo, more bool, err error) {
	if h.Alone() {
		p := h.channelPage(&q, 0)
		return p.Rows, p.More, nil
	}
	for rest := q; ; {
		pages, err := gather[channelPage](ctx, h, &question{Kind: askChannels, Query: rest})
		if err != nil {
			return nil, false, err
		}
		merged := mergePages(append(pages, h.channelPage(&rest, maxPageBytes)))
		rows = append(rows, merged.Rows...)
		switch {
		case q.Limit > 0 && len(rows) >= q.Limit:
			return rows[:q.Limit], merged.More || len(rows) > q.Limit, nil
		case !merged.More || len(merged.Rows) == 0:
			return rows, false, nil
		}
		rest.After = rows[len(rows)-1].Name
		if q.Limit > 0 {
			rest.Limit = q.Limit - len(rows)
		}
	}
}

// mergePages adds up what pages say of each channel. Where a page ends and others of
// its node follow, nothing beyond is known of that node: the merged page ends there.
func mergePages(pages []channelPage) channelPage {
	var merged channelPage
	end := ""
	for i := range pages {
		p := &pages[i]
		merged.Rows = append(merged.Rows, p.Rows...)
		if p.More && len(p.Rows) > 0 {
			if last := p.Rows[len(p.Rows)-1].Name; !merged.More || last < end {
				end = last
			}
			merged.More = true
		}
	}
	slices.SortFunc(merged.Rows, byName)
	n := 0
	for _, row := range merged.Rows {
		switch {
		case merged.More && row.Name > end:
		case n > 0 && merged.Rows[n-1].Name == row.Name:
			merged.Rows[n-1].Clients += row.Clients
		default:
			merged.Rows[n] = row
			n++
		}
	}
	merged.Rows = merged.Rows[:n]
	return merged
}

func byName(a, b ChannelInfo) int { return cmp.Compare(a.Name, b.Name) }

// channelPage lists this node's channels, in at most so many bytes of JSON; 0: any
// number. It looks at every channel, and keeps no more than it gives.
func (h *Hub) channelPage(q *ChannelQuery, maxBytes int) channelPage {
	var p channelPage
	keep := q.Limit + 1 // one more says that there are more
	h.topics.each(func(id channel.ID, subs int) {
		if id.App != q.App || id.Name <= q.After || !matchGlob(q.Pattern, id.Name) {
			return
		}
		p.Rows = append(p.Rows, ChannelInfo{id.Name, subs})
		if q.Limit > 0 && len(p.Rows) >= 2*keep {
			slices.SortFunc(p.Rows, byName)
			p.Rows = p.Rows[:keep]
		}
	})
	slices.SortFunc(p.Rows, byName)
	if q.Limit > 0 && len(p.Rows) > q.Limit {
		p.Rows, p.More = p.Rows[:q.Limit], true
	}
	if maxBytes > 0 {
		if n := fits(p.Rows, maxBytes); n < len(p.Rows) {
			p.Rows, p.More = p.Rows[:n], true
		}
	}
	return p
}

// fits is how many rows take at most so many bytes as JSON.
func fits(rows []ChannelInfo, maxBytes int) int {
	size := 0
	for i := range rows {
		row, err := json.Marshal(&rows[i])
		if size += len(row) + 1; err != nil || size > maxBytes {
			return i
		}
	}
	return len(rows)
}

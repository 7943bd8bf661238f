package pusherapi

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/protocol/pusher"
)

// channelInfo is what can be asked of a channel; what was not asked for is left
// out.
type channelInfo struct {
	Occupied          *bool  `json:"occupied,omitempty"`
	UserCount         *int   `json:"user_count,omitempty"`
	SubscriptionCount *int   `json:"subscription_count,omitempty"`
	Cache             *cache `json:"cache,omitempty"`
}

// cache is what a cache channel keeps.
type cache struct {
	Data string `json:"data"`
	TTL  int    `json:"ttl"` // seconds
}

// unknown stands for a number of subscribers that has to be asked for.
const unknown = -1

// about gathers what is asked of a channel with so many subscribers, or unknown.
// strict refuses what a channel of its kind does not have, and is otherwise left out.
func (h *call) about(r *http.Request, name string, subscribers int, ask info, strict bool) (about channelInfo, err error) {
	kind := channel.KindOf(name)
	if ask.has("user_count") {
		switch {
		case kind.Has(channel.KindPresence):
			stats, err := h.hub.PresenceStats(r.Context(), h.app, name)
			if err != nil {
				return about, err
			}
			about.UserCount = &stats.Users
		case strict:
			return about, refused(http.StatusBadRequest, "user_count is for presence channels")
		}
	}
	if ask.has("subscription_count") {
		if subscribers == unknown {
			if subscribers, err = h.hub.SubscribersOfAll(r.Context(), channel.ID{App: h.app, Name: name}); err != nil {
				return about, err
			}
		}
		about.SubscriptionCount = &subscribers
	}
	if ask.has("cache") {
		switch {
		case kind.Has(channel.KindCache):
			about.Cache, err = h.cached(r, name)
		case strict:
			return about, refused(http.StatusBadRequest, "cache is for cache channels")
		}
	}
	return about, err
}

func (h *call) cached(r *http.Request, name string) (*cache, error) {
	res, err := h.hub.History(r.Context(), h.app, name, hub.HistoryQuery{Limit: 1, Reverse: true})
	if err != nil || len(res.Publications) == 0 {
		return nil, err
	}
	latest := res.Publications[0]
	left := time.UnixMilli(latest.Time).Add(channel.CacheTTL).Sub(h.cfg.Now())
	return &cache{Data: pusher.Text(latest), TTL: int(max(left, time.Second) / time.Second)}, nil
}

// channels lists the channels that have subscribers.
func (h *call) channels(r *http.Request, _ []byte) (any, error) {
	q := r.URL.Query()
	prefix, ask := q.Get("filter_by_prefix"), info(q.Get("info"))
	switch {
	case prefix != "" && pusher.CheckChannel(prefix) != nil:
		return nil, refused(http.StatusBadRequest, "filter_by_prefix: "+pusher.ErrBadChannel.Error())
	case ask.has("user_count") && !channel.KindOf(prefix).Has(channel.KindPresence):
		return nil, refused(http.StatusBadRequest, "user_count needs filter_by_prefix=presence-")
	}
	rows, more, err := h.hub.Channels(r.Context(), hub.ChannelQuery{App: h.app, Pattern: prefix + "*", Limit: MaxListed})
	if err != nil {
		return nil, err
	}
	if more {
		return nil, refused(http.StatusBadRequest, "too many channels: narrow them by filter_by_prefix")
	}
	infos := make(map[string]channelInfo, len(rows))
	for _, row := range rows {
		if strings.HasPrefix(row.Name, "#") || pusher.CheckChannel(row.Name) != nil {
			continue // no channel of this protocol
		}
		about, err := h.about(r, row.Name, row.Clients, ask, false)
		if err != nil {
			return nil, err
		}
		infos[row.Name] = about
	}
	return map[string]any{"channels": infos}, nil
}

// channel tells about one channel.
func (h *call) channel(r *http.Request, _ []byte) (any, error) {
	name := r.PathValue("channel")
	if err := pusher.CheckChannel(name); err != nil {
		return nil, refused(http.StatusBadRequest, err.Error())
	}
	n, err := h.hub.SubscribersOfAll(r.Context(), channel.ID{App: h.app, Name: name})
	if err != nil {
		return nil, err
	}
	about, err := h.about(r, name, n, info(r.URL.Query().Get("info")), true)
	if err != nil {
		return nil, err
	}
	occupied := n > 0
	about.Occupied = &occupied
	return about, nil
}

// users lists the members of a presence channel.
func (h *call) users(r *http.Request, _ []byte) (any, error) {
	type user struct {
		ID string `json:"id"`
	}
	name := r.PathValue("channel")
	switch {
	case pusher.CheckChannel(name) != nil:
		return nil, refused(http.StatusBadRequest, pusher.ErrBadChannel.Error())
	case !channel.KindOf(name).Has(channel.KindPresence):
		return nil, refused(http.StatusBadRequest, "users are those of presence channels")
	}
	members, err := h.hub.Presence(r.Context(), h.app, name)
	if err != nil {
		return nil, err
	}
	list := make([]user, 0, len(members))
	for _, member := range members {
		list = append(list, user{pusher.MemberID(member)})
	}
	slices.SortFunc(list, func(a, b user) int { return strings.Compare(a.ID, b.ID) })
	return map[string]any{"users": slices.Compact(list)}, nil
}

package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Limits of the list of channels.
const (
	firstChannels  = 100  // rows in a snapshot
	maxChannelRows = 1000 // rows in one page of the list
)

// rows are one page of the list of live channels, by name.
type rows struct {
	Channels []row `json:"channels"`
	More     bool  `json:"more"` // others follow: ask with after = the last name
}

type row struct {
	Channel     string `json:"channel"`
	Subscribers int    `json:"subscribers"`
}

func (a *Handler) list(ctx context.Context, q hub.ChannelQuery) (rows, error) {
	q.App = a.cfg.App
	infos, more, err := a.hub.Channels(ctx, q)
	if err != nil {
		return rows{}, err
	}
	list := rows{Channels: make([]row, 0, len(infos)), More: more}
	for _, c := range infos {
		list.Channels = append(list.Channels, row{c.Name, c.Clients})
	}
	return list, nil
}

// channels answers /admin/channels?pattern=GLOB&after=NAME&limit=N with rows.
// Listing visits every channel, so requests do it one after the other.
func (a *Handler) channels(w http.ResponseWriter, r *http.Request) {
	q, err := channelQuery(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	select {
	case a.listing <- struct{}{}:
		defer func() { <-a.listing }()
		list, err := a.list(r.Context(), q)
		if err != nil {
			w.Header().Set("Retry-After", "1")
			writeError(w, http.StatusServiceUnavailable, "a node does not answer; try again")
			return
		}
		writeJSON(w, http.StatusOK, list)
	case <-r.Context().Done(): // nobody is left to answer
	}
}

func channelQuery(r *http.Request) (hub.ChannelQuery, error) {
	form := r.URL.Query()
	q := hub.ChannelQuery{Pattern: form.Get("pattern"), After: form.Get("after"), Limit: firstChannels}
	if len(q.Pattern) > channel.MaxNameLength || len(q.After) > channel.MaxNameLength {
		return q, fmt.Errorf("pattern and after hold at most %d bytes", channel.MaxNameLength)
	}
	if limit := form.Get("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 || n > maxChannelRows {
			return q, fmt.Errorf("limit must be 1 to %d", maxChannelRows)
		}
		q.Limit = n
	}
	return q, nil
}

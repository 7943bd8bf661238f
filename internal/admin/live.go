package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// Limits of the stream of numbers.
const (
	// MaxWatchers is how many pages may read the stream at once; more get 503.
	MaxWatchers = 64
	// interval is the time between two snapshots.
	interval = time.Second
	// writeWait is how long a watcher may take for one snapshot before it is
	// given up.
	writeWait = 10 * time.Second
)

// status is one line of the stream: counts are of all nodes and of now, Published and
// Delivered since each of them started. A user or channel that is on several nodes
// counts on each of them in Users and Channels.
type status struct {
	Time          int64   `json:"time"` // Unix milliseconds
	UID           string  `json:"uid"`
	Name          string  `json:"name"`
	Version       string  `json:"version"`
	Cluster       string  `json:"cluster,omitempty"` // it is one of several nodes, see /admin/cluster
	Uptime        float64 `json:"uptime"`            // seconds
	Connections   int     `json:"connections"`
	Users         int     `json:"users"`
	Channels      int     `json:"channels"`
	Subscriptions int     `json:"subscriptions"`
	Published     uint64  `json:"published"`
	Delivered     uint64  `json:"delivered"`
	Nodes         int     `json:"nodes"` // that are alive; 0: one of them does not answer, counts are of this one alone
	List          rows    `json:"list"`  // the first channels by name, as of when all nodes answered
}

// live streams a snapshot per interval, a JSON object per line, until the
// watcher leaves or the server stops.
func (a *Handler) live(w http.ResponseWriter, r *http.Request) {
	select {
	case a.watchers <- struct{}{}:
		defer func() { <-a.watchers }()
	default:
		a.cfg.Refused(r, RefusedWatchers)
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("%d pages are watching already", MaxWatchers))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("X-Accel-Buffering", "no") // a proxy in between must not hold lines back
	if r.Method == http.MethodHead {
		return
	}
	if err := a.stream(r.Context(), w); err != nil {
		a.log.Debug("watcher left", "error", err)
	}
}

// stream writes until ctx ends, which is no error, or a write fails.
func (a *Handler) stream(ctx context.Context, w http.ResponseWriter) error {
	out := http.NewResponseController(w)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		line := a.snapshot.line(ctx, a)
		if err := out.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
			return fmt.Errorf("set a write deadline: %w", err)
		}
		if _, err := w.Write(line); err != nil {
			return fmt.Errorf("write a snapshot: %w", err)
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("flush a snapshot: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// status adds up what nodes say, this one first.
func (a *Handler) status(nodes []hub.Info, list rows) status {
	version := a.cfg.Version
	if version == "" {
		version = nodes[0].Version
	}
	s := status{
		Time: time.Now().UnixMilli(), UID: nodes[0].UID, Name: nodes[0].Name, Version: version,
		Uptime: nodes[0].Uptime.Seconds(), Nodes: len(nodes), Cluster: a.cfg.Cluster, List: list,
	}
	for i := range nodes {
		n := &nodes[i]
		s.Connections += n.Clients
		s.Users += n.Users
		s.Channels += n.Channels
		s.Subscriptions += n.Subs
		s.Published += n.Published
		s.Delivered += n.Delivered
	}
	return s
}

// snapshot is shared by all watchers, so that a second one costs the hub nothing.
type snapshot struct {
	mu       sync.Mutex
	taken    time.Time
	bytes    []byte // never changed once handed out
	list     rows
	listed   time.Time
	listTook time.Duration
}

// listShare bounds what listing costs: at most one part in listShare of the time.
// With very many channels the list is therefore renewed less often than the
// numbers.
const listShare = 20

// line is the newest snapshot as a line of JSON; it is taken anew when it is
// older than half an interval.
func (s *snapshot) line(ctx context.Context, a *Handler) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.bytes != nil && now.Sub(s.taken) < interval/2 {
		return s.bytes
	}
	if s.bytes == nil || now.Sub(s.listed) >= max(interval/2, listShare*s.listTook) {
		if list, err := a.list(ctx, hub.ChannelQuery{Limit: firstChannels}); err == nil {
			s.list = list
		}
		s.listed, s.listTook = now, time.Since(now)
	}
	nodes, err := a.hub.Nodes(ctx, "")
	if err != nil { // of this node: it is better than nothing, and said to be that
		nodes = []hub.Info{a.hub.Info()}
	}
	status := a.status(nodes, s.list)
	if err != nil {
		status.Nodes = 0
	}
	line, err := json.Marshal(status)
	if err != nil { // no field of status can fail
		a.log.Error("encode a snapshot", "error", err)
	}
	line = append(line, '\n')
	s.taken, s.bytes = now, line
	return line
}

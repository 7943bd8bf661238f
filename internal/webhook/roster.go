package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// roster is who is here, as far as the receivers have been told: what the events
// of the queue add up to. A process that is killed leaves one that is not empty,
// and the next one tells of those who went with it.
type roster struct {
	sessions map[string]*guest              // by client
	of       map[string]int                 // how many a node has
	occupied map[string]struct{}            // channels
	members  map[string]map[string]struct{} // users by channel
	size     int                            // events that it is made of
}

// guest is a session.
type guest struct {
	node     string // the process that it is a session of
	user     string
	channels map[string]struct{}
}

func newRoster() *roster {
	return &roster{
		sessions: make(map[string]*guest), of: make(map[string]int), occupied: make(map[string]struct{}), members: make(map[string]map[string]struct{}),
	}
}

// entry is an event of the queue, and the node that put it there.
type entry struct {
	Event

	Node string `json:"node,omitempty"`
}

// apply takes in an event; those that nobody comes or goes by are ignored.
func (r *roster) apply(e *entry) {
	switch e.Name {
	case Connected:
		r.guest(e)
	case Disconnected:
		if g := r.sessions[e.Client]; g != nil {
			r.size -= 1 + len(g.channels)
			delete(r.sessions, e.Client)
			if r.of[g.node]--; r.of[g.node] == 0 {
				delete(r.of, g.node)
			}
		}
	case Subscribed:
		g := r.guest(e)
		r.add(g.channels, e.Channel)
	case Unsubscribed:
		if g := r.sessions[e.Client]; g != nil {
			r.remove(g.channels, e.Channel)
		}
	case ChannelOccupied:
		r.add(r.occupied, e.Channel)
	case ChannelVacated:
		r.remove(r.occupied, e.Channel)
	case MemberAdded:
		if r.members[e.Channel] == nil {
			r.members[e.Channel] = make(map[string]struct{})
		}
		r.add(r.members[e.Channel], e.UserID)
	case MemberRemoved:
		r.remove(r.members[e.Channel], e.UserID)
		if len(r.members[e.Channel]) == 0 {
			delete(r.members, e.Channel)
		}
	}
}

func (r *roster) guest(e *entry) *guest {
	g := r.sessions[e.Client]
	if g == nil {
		g = &guest{node: e.Node, user: e.User, channels: make(map[string]struct{})}
		r.sessions[e.Client] = g
		r.of[g.node]++
		r.size++
	}
	return g
}

func (r *roster) add(set map[string]struct{}, name string) {
	if _, is := set[name]; !is {
		set[name] = struct{}{}
		r.size++
	}
}

func (r *roster) remove(set map[string]struct{}, name string) {
	if _, is := set[name]; is {
		delete(set, name)
		r.size--
	}
}

// events make the roster anew.
func (r *roster) events() []entry {
	list := make([]entry, 0, r.size)
	for _, client := range sorted(r.sessions) {
		g := r.sessions[client]
		list = append(list, entry{Event{Name: Connected, Client: client, User: g.user}, g.node})
		for _, name := range sorted(g.channels) {
			list = append(list, entry{Event{Name: Subscribed, Channel: name, Client: client, User: g.user}, g.node})
		}
	}
	for _, name := range sorted(r.occupied) {
		list = append(list, entry{Event: Event{Name: ChannelOccupied, Channel: name}})
	}
	for _, name := range sorted(r.members) {
		for _, user := range sorted(r.members[name]) {
			list = append(list, entry{Event: Event{Name: MemberAdded, Channel: name, UserID: user}})
		}
	}
	return list
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Killed is the code of sessions whose process did not live to tell of their end.
const Killed = 3000

// farewells tell of the end of all sessions of a node.
func (r *roster) farewells(node string) (list []Event) {
	for _, client := range sorted(r.sessions) {
		g := r.sessions[client]
		if g.node != node {
			continue
		}
		for _, name := range sorted(g.channels) {
			list = append(list, Event{Name: Unsubscribed, Channel: name, Client: client, User: g.user})
		}
		list = append(list, Event{Name: Disconnected, Client: client, User: g.user, Code: Killed, Reason: "connection closed"})
	}
	return list
}

// A snapshot keeps the queue from having to be read from its beginning. It is the
// newest publications of a channel, a part each.
const (
	snapshotPart  = 500  // events in one
	snapshotEvery = 1000 // events of the queue between two, and as many as the roster has
)

// part is one publication of a snapshot.
type part struct {
	At     engine.Position `json:"at"` // of the queue
	Of     int             `json:"of"` // how many parts there are
	Events []entry         `json:"events"`
}

// keep writes a snapshot down, and leaves the one before in place until this one
// is whole.
func (d *Dispatcher) keep(t *term) {
	parts := slices.Collect(slices.Chunk(t.roster.events(), snapshotPart))
	if len(parts) == 0 {
		parts = [][]entry{nil}
	}
	ret := d.retention()
	ret.Size = len(parts) + t.parts
	t.parts = len(parts)
	for _, p := range parts {
		data, err := json.Marshal(part{At: t.at, Of: len(parts), Events: p})
		if err != nil {
			d.log.Error("webhook roster cannot be encoded", "error", err)
			return
		}
		d.cfg.Log.Publish(engine.PublishRequest{
			Channel: d.rosterChannel(), Retention: ret, Publication: engine.Publication{Data: data},
		}, func(_ engine.PublishResult, err error) {
			if err != nil {
				d.log.Warn("webhook roster is not kept; the next start reads more of the queue", "error", err)
			}
		})
	}
}

// read takes in who is here as far as was told: the newest whole snapshot, and what
// the queue has had since.
func (d *Dispatcher) read(ctx context.Context, t *term) error {
	if err := d.snapshot(ctx, t); err != nil {
		return err
	}
	_, err := d.follow(ctx, t)
	return err
}

// follow takes in what the queue has had since it was read last, by whichever node.
func (d *Dispatcher) follow(ctx context.Context, t *term) (events int, err error) {
	for {
		res, err := d.waiting(ctx, t.at)
		if err != nil {
			return events, fmt.Errorf("read what was told: %w", err)
		}
		for _, pub := range res.Publications {
			e := entry{Node: pub.Tags[nodeTag]}
			if err := json.Unmarshal(pub.Data, &e.Event); err != nil {
				return events, fmt.Errorf("event %d of the queue: %w", pub.Offset, err)
			}
			t.roster.apply(&e)
			t.at = engine.Position{Epoch: res.Top.Epoch, Offset: pub.Offset}
		}
		events += len(res.Publications)
		if len(res.Publications) == 0 || t.at.Offset >= res.Top.Offset {
			return events, nil
		}
	}
}

func (d *Dispatcher) snapshot(ctx context.Context, t *term) error {
	var parts []part
	ret := d.retention()
	ret.Size = maxParts
	var since *engine.Position
	for {
		res, err := d.history(ctx, engine.HistoryRequest{Channel: d.rosterChannel(), Retention: ret, Limit: maxEvents, MaxBytes: maxBody, Since: since})
		if err != nil {
			return fmt.Errorf("read the roster: %w", err)
		}
		for _, pub := range res.Publications {
			var p part
			if err := json.Unmarshal(pub.Data, &p); err != nil {
				return fmt.Errorf("part %d of the roster: %w", pub.Offset, err)
			}
			parts = append(parts, p)
			since = &engine.Position{Epoch: res.Top.Epoch, Offset: pub.Offset}
		}
		if len(res.Publications) == 0 || since.Offset >= res.Top.Offset {
			break
		}
	}
	for end := len(parts); end > 0; end-- {
		first := end - parts[end-1].Of
		if first < 0 || parts[first].At != parts[end-1].At {
			continue // it is not whole
		}
		for i := first; i < end; i++ {
			for j := range parts[i].Events {
				t.roster.apply(&parts[i].Events[j])
			}
		}
		t.parts, t.at = parts[end-1].Of, parts[end-1].At
		return nil
	}
	return nil
}

// maxParts is more than any two snapshots have.
const maxParts = 1 << 20

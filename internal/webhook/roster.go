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
	occupied map[string]struct{}            // channels
	members  map[string]map[string]struct{} // users by channel
	size     int                            // events that it is made of
}

// guest is a session.
type guest struct {
	user     string
	channels map[string]struct{}
}

func newRoster() *roster {
	return &roster{
		sessions: make(map[string]*guest), occupied: make(map[string]struct{}), members: make(map[string]map[string]struct{}),
	}
}

// apply takes in an event; those that nobody comes or goes by are ignored.
func (r *roster) apply(e *Event) {
	switch e.Name {
	case Connected:
		r.guest(e)
	case Disconnected:
		if g := r.sessions[e.Client]; g != nil {
			r.size -= 1 + len(g.channels)
			delete(r.sessions, e.Client)
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

func (r *roster) guest(e *Event) *guest {
	g := r.sessions[e.Client]
	if g == nil {
		g = &guest{user: e.User, channels: make(map[string]struct{})}
		r.sessions[e.Client] = g
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
func (r *roster) events() []Event {
	list := make([]Event, 0, r.size)
	for _, client := range sorted(r.sessions) {
		g := r.sessions[client]
		list = append(list, Event{Name: Connected, Client: client, User: g.user})
		for _, name := range sorted(g.channels) {
			list = append(list, Event{Name: Subscribed, Channel: name, Client: client, User: g.user})
		}
	}
	for _, name := range sorted(r.occupied) {
		list = append(list, Event{Name: ChannelOccupied, Channel: name})
	}
	for _, name := range sorted(r.members) {
		for _, user := range sorted(r.members[name]) {
			list = append(list, Event{Name: MemberAdded, Channel: name, UserID: user})
		}
	}
	return list
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Killed is the code of sessions whose process did not live to tell of their end.
const Killed = 3000

// farewells tell of the end of all sessions.
func (r *roster) farewells() (list []Event) {
	for _, client := range sorted(r.sessions) {
		g := r.sessions[client]
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
	Events []Event         `json:"events"`
}

// snapshotDue counts an event of the queue, and reports whether a snapshot should
// follow it.
func (d *Dispatcher) snapshotDue() bool {
	d.since++
	if d.since < min(max(snapshotEvery, d.roster.size), max(d.cfg.MaxQueue/2, 1)) {
		return false
	}
	d.since = 0
	return true
}

// keep writes a snapshot down, and leaves the one before in place until this one
// is whole.
func (d *Dispatcher) keep(events []Event, at engine.Position) {
	parts := slices.Collect(slices.Chunk(events, snapshotPart))
	if len(parts) == 0 {
		parts = [][]Event{nil}
	}
	ret := d.retention()
	ret.Size = len(parts) + d.parts
	d.parts = len(parts)
	for _, p := range parts {
		data, err := json.Marshal(part{At: at, Of: len(parts), Events: p})
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

// orphans reads who was here when the process before this one ended: the newest
// whole snapshot, and what the queue has had since.
func (d *Dispatcher) orphans(ctx context.Context) (*roster, error) {
	r := newRoster()
	at, err := d.snapshot(ctx, r)
	if err != nil {
		return nil, err
	}
	for {
		res, err := d.waiting(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("read what was told: %w", err)
		}
		for _, pub := range res.Publications {
			var e Event
			if err := json.Unmarshal(pub.Data, &e); err != nil {
				return nil, fmt.Errorf("event %d of the queue: %w", pub.Offset, err)
			}
			r.apply(&e)
			at = engine.Position{Epoch: res.Top.Epoch, Offset: pub.Offset}
		}
		if len(res.Publications) == 0 || at.Offset >= res.Top.Offset {
			return r, nil
		}
	}
}

func (d *Dispatcher) snapshot(ctx context.Context, r *roster) (at engine.Position, err error) {
	var parts []part
	ret := d.retention()
	ret.Size = maxParts
	var since *engine.Position
	for {
		res, err := d.history(ctx, engine.HistoryRequest{Channel: d.rosterChannel(), Retention: ret, Limit: maxEvents, MaxBytes: maxBody, Since: since})
		if err != nil {
			return at, fmt.Errorf("read the roster: %w", err)
		}
		for _, pub := range res.Publications {
			var p part
			if err := json.Unmarshal(pub.Data, &p); err != nil {
				return at, fmt.Errorf("part %d of the roster: %w", pub.Offset, err)
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
				r.apply(&parts[i].Events[j])
			}
		}
		d.parts = parts[end-1].Of
		return parts[end-1].At, nil
	}
	return at, nil
}

// maxParts is more than any two snapshots have.
const maxParts = 1 << 20

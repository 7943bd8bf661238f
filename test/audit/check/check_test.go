package check

import (
	"slices"
	"strings"
	"testing"
)

// good is a record without faults: two publishers share a channel, a subscriber is
// cut once, another comes later, and a page is read in between.
func good() *Record {
	entry := func(offset uint64, id string) Entry { return Entry{Offset: offset, ID: id, Sum: Sum([]byte(id))} }
	ack := func(offset uint64, id string) Ack {
		return Ack{Entry: entry(offset, id), Channel: "c", Epoch: "e"}
	}
	event := func(offset uint64, id string) Event { e := entry(offset, id); return Event{Entry: &e} }
	all := []Entry{entry(1, "a1"), entry(2, "b1"), entry(3, "a2"), entry(4, "b2")}
	repeat := ack(1, "a1")
	repeat.Repeat = true
	return &Record{
		Channels: []Channel{{Name: "c", Epoch: "e", Top: 4, Entries: all}},
		Publishers: []Publisher{
			{Name: "a", Acks: []Ack{ack(1, "a1"), ack(3, "a2"), repeat}},
			{Name: "b", Acks: []Ack{ack(2, "b1"), ack(4, "b2")}},
		},
		Subscribers: []Subscriber{
			{Name: "s1", Channel: "c", Events: []Event{
				{Subscribed: &Subscribed{Epoch: "e"}},
				event(1, "a1"), event(2, "b1"),
				{Subscribed: &Subscribed{Epoch: "e", Offset: 2, Recovering: true, Recovered: true}},
				event(3, "a2"), event(4, "b2"),
			}},
			{Name: "s2", Channel: "c", Events: []Event{
				{Subscribed: &Subscribed{Epoch: "e", Offset: 3}},
				event(4, "b2"),
			}},
		},
		Reads:  []Read{{Channel: "c", Epoch: "e", Entries: slices.Clone(all[1:3])}},
		Copies: []Copy{{Name: "n2", Channels: []Channel{{Name: "c", Epoch: "e", Top: 4, Entries: slices.Clone(all)}}}},
	}
}

func TestGoodRecordHasNoFault(t *testing.T) {
	if faults := Check(good()); len(faults) > 0 {
		t.Errorf("%v", faults)
	}
}

// Each row spoils the good record in one way; the checker must say what is wrong.
func TestEveryFaultIsFound(t *testing.T) {
	s1 := func(r *Record) *[]Event { return &r.Subscribers[0].Events }
	history := func(r *Record) *[]Entry { return &r.Channels[0].Entries }
	tests := []struct {
		name  string
		spoil func(*Record)
		want  Kind
		text  string
	}{
		{"the last is lost", func(r *Record) { h := history(r); *h = (*h)[:3]; r.Channels[0].Top = 3 }, Loss, "b2 at 4"},
		{"one in the middle is lost", func(r *Record) { h := history(r); *h = slices.Delete(*h, 1, 2) }, Loss, "b1 at 2"},
		{"the middle of the history is missing", func(r *Record) { h := history(r); *h = slices.Delete(*h, 1, 2) }, Gap, "offset 3 after 1"},
		{"the history does not begin at 1", func(r *Record) { h := history(r); *h = (*h)[1:] }, Gap, "offset 2 after 0"},
		{"the history ends below its top", func(r *Record) { r.Channels[0].Top = 5 }, Gap, "ends at 4, its top is 5"},
		{"the whole channel is lost", func(r *Record) { r.Channels = nil }, Loss, "the channel c has none"},
		{"stored twice", func(r *Record) {
			h := history(r)
			*h = append(*h, Entry{Offset: 5, ID: "a1", Sum: (*h)[0].Sum})
			r.Channels[0].Top = 5
		}, Duplicate, "a1 at 1 and at 5"},
		{"an offset twice in the history", func(r *Record) { h := history(r); *h = slices.Insert(*h, 2, (*h)[1]) }, Duplicate, "offset 2 twice"},
		{"a repeat was told another offset", func(r *Record) { r.Publishers[0].Acks[2].Offset = 4 }, Content, "a1 at 4 of c, where the history has b2"},
		{"the history is out of order", func(r *Record) { h := *history(r); h[1], h[2] = h[2], h[1] }, Reorder, "offset 2 after 3"},
		{"a publisher's order is lost", func(r *Record) { a := r.Publishers[0].Acks; a[0], a[1] = a[1], a[0] }, Reorder, "a published a1 after"},
		{"the history's epoch has changed", func(r *Record) { r.Channels[0].Epoch = "f" }, Epoch, "in epoch e of c, which is f"},
		{"an ack of another epoch", func(r *Record) { r.Publishers[1].Acks[0].Epoch = "f" }, Epoch, "acknowledged to b: b1"},
		{"stored content differs", func(r *Record) { (*history(r))[2].Sum++ }, Content, "a2 at 3 of c has changed"},
		{"another publication at an acked offset", func(r *Record) { (*history(r))[2].ID = "a3" }, Content, "where the history has a3"},
		{"nobody published it", func(r *Record) { r.Publishers[1].Acks = r.Publishers[1].Acks[:1] }, Foreign, "offset 4 holds b2"},

		{"a subscriber misses one", func(r *Record) { e := s1(r); *e = slices.Delete(*e, 4, 5) }, Gap, "s1 has offset 4 after 2"},
		{"a subscriber misses one at the cut", func(r *Record) { e := s1(r); *e = slices.Delete(*e, 2, 3) }, Gap, "s1 has offset 3 after 1"},
		{"a subscriber misses the end", func(r *Record) { e := s1(r); *e = (*e)[:5] }, Behind, "s1 was shown c up to 3"},
		{"a subscriber never began", func(r *Record) { *s1(r) = nil }, Behind, "s1"},
		{"shown twice in a row", func(r *Record) { e := s1(r); *e = slices.Insert(*e, 2, (*e)[1]) }, Duplicate, "s1 has offset 1 twice"},
		{"shown again after the cut", func(r *Record) { e := s1(r); *e = slices.Insert(*e, 4, (*e)[2]) }, Duplicate, "s1 has offset 2 twice"},
		{"shown again later", func(r *Record) { e := s1(r); *e = append(*e, (*e)[1]) }, Reorder, "s1 has offset 1 after 4"},
		{"shown out of order", func(r *Record) { e := *s1(r); e[4], e[5] = e[5], e[4] }, Reorder, "s1 has offset 3 after 4"},
		{"shown what is not stored", func(r *Record) {
			e := s1(r)
			*e = append(*e, Event{Entry: &Entry{Offset: 5, ID: "x"}})
		}, Loss, "shown to s1: x at 5"},
		{"shown other content", func(r *Record) { (*s1(r))[1].Entry.Sum++ }, Content, "shown to s1: a1 at 1 of c has changed"},
		{"shown another publication", func(r *Record) { (*s1(r))[1].Entry.ID = "b9" }, Content, "shown to s1: b9"},
		{"not recovered", func(r *Record) { (*s1(r))[3].Subscribed.Recovered = false }, Unrecovered, "s1 returned"},
		{"returned without its position", func(r *Record) { (*s1(r))[3].Subscribed.Recovering = false }, Unrecovered, "s1 returned"},
		{"another epoch on return", func(r *Record) { (*s1(r))[3].Subscribed.Epoch = "f" }, Epoch, "s1 was in epoch e"},
		{"shown before it subscribed", func(r *Record) { e := s1(r); *e = (*e)[1:] }, Foreign, "before it was subscribed"},

		{"read, then gone", func(r *Record) { r.Reads[0].Entries[1].Offset = 3; r.Reads[0].Entries[1].ID = "gone" }, Content, "read: gone"},
		{"read above the end", func(r *Record) {
			r.Reads[0].Entries = append(r.Reads[0].Entries, (*history(r))[3], Entry{Offset: 5, ID: "x"})
		}, Loss, "read: x at 5"},
		{"read with a gap", func(r *Record) { r.Reads[0].Entries = slices.Delete(slices.Clone(*history(r)), 1, 2) }, Gap, "a page of c"},
		{"a copy has another channel", func(r *Record) { r.Copies[0].Channels[0].Name = "d" }, Divergent, "the channel d"},
		{"a copy has nothing", func(r *Record) { r.Copies[0].Channels = nil }, Divergent, "n2 has nothing of c"},
		{"a copy is of another epoch", func(r *Record) { r.Copies[0].Channels[0].Epoch = "f" }, Divergent, "in epoch f"},
		{"a copy ends early", func(r *Record) { r.Copies[0].Channels[0].Top = 3 }, Divergent, "up to 3"},
		{"a copy holds something else", func(r *Record) { r.Copies[0].Channels[0].Entries[2].ID = "x" }, Divergent, "x at 3"},
		{"a copy lacks the last", func(r *Record) { c := &r.Copies[0].Channels[0]; c.Entries = c.Entries[:3] }, Divergent, "after 3"},
		{"read in another epoch", func(r *Record) { r.Reads[0].Epoch = "f" }, Epoch, "read: b1"},
	}
	found := map[Kind]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.spoil(r)
			faults := Check(r)
			if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Kind == tt.want && strings.Contains(f.Text, tt.text) }) {
				t.Errorf("want %s %q among %v", tt.want, tt.text, faults)
			}
		})
		found[tt.want] = true
	}
	for _, kind := range []Kind{Loss, Duplicate, Gap, Reorder, Epoch, Content, Foreign, Unrecovered, Behind, Divergent} {
		if !found[kind] {
			t.Errorf("no row asks for %s", kind)
		}
	}
}

// live is the good record with a publisher that is not told positions, and a
// subscriber that cannot resume: its first connection sees 1 and 2, 3 passes
// between the two, and the second sees the end.
func live() *Record {
	r := good()
	last := &r.Publishers[1].Acks[1]
	last.Offset, last.Epoch, last.Somewhere = 0, "", true
	shown := func(id string) Event { return Event{Entry: &Entry{ID: id, Sum: Sum([]byte(id))}} }
	at := func(offset uint64) Event { return Event{Subscribed: &Subscribed{Epoch: "e", Offset: offset}} }
	r.Subscribers = append(r.Subscribers, Subscriber{Name: "s3", Channel: "c", Live: true, Events: []Event{
		at(1), shown("a1"), shown("b1"), at(3), shown("b2"),
	}})
	return r
}

func TestGoodRecordWithoutPositionsHasNoFault(t *testing.T) {
	if faults := Check(live()); len(faults) > 0 {
		t.Errorf("%v", faults)
	}
	idle := live() // subscribed when everything had been published
	idle.Subscribers[2].Events = append(idle.Subscribers[2].Events[:3:3], Event{Subscribed: &Subscribed{Epoch: "e", Offset: 4}})
	if faults := Check(idle); len(faults) > 0 {
		t.Errorf("%v", faults)
	}
}

// Who moves may be shown again what another server showed it, once on each connection.
func TestMovingWithoutPositions(t *testing.T) {
	r := live()
	s := &r.Subscribers[2]
	s.Moves = true
	s.Events = slices.Insert(s.Events, 4, s.Events[2])
	s.Events[3].Subscribed.Offset = 1 // of a server that is behind
	s.Events = slices.Insert(s.Events, 5, Event{Entry: &Entry{ID: "a2", Sum: Sum([]byte("a2"))}})
	if faults := Check(r); len(faults) > 0 {
		t.Errorf("%v", faults)
	}
	s.Events = slices.Delete(s.Events, 4, 5)
	if faults := Check(r); len(faults) != 1 || faults[0].Kind != Gap {
		t.Errorf("a gap on its second server: %v", faults)
	}
	s.Events = s.Events[:3]
	if faults := Check(r); len(faults) != 1 || faults[0].Kind != Behind {
		t.Errorf("the end is missing: %v", faults)
	}
}

func TestEveryFaultWithoutPositionsIsFound(t *testing.T) {
	s3 := func(r *Record) *[]Event { return &r.Subscribers[2].Events }
	tests := []struct {
		name  string
		spoil func(*Record)
		want  Kind
		text  string
	}{
		{"acknowledged and nowhere", func(r *Record) { h := &r.Channels[0]; h.Entries, h.Top = h.Entries[:3], 3 }, Loss, "acknowledged to b: b2"},
		{"acknowledged and changed", func(r *Record) { r.Publishers[1].Acks[1].Sum++ }, Content, "b2 at 4 of c has changed"},
		{"a publisher's order is lost", func(r *Record) { a := r.Publishers[1].Acks; a[0], a[1] = a[1], a[0] }, Reorder, "b published b1 after"},
		{"misses one within a connection", func(r *Record) { e := s3(r); *e = slices.Delete(*e, 3, 4) }, Gap, "s3 has offset 4 after 2"},
		{"misses the first after it was subscribed", func(r *Record) { (*s3(r))[3].Subscribed.Offset = 2 }, Gap, "s3 was subscribed when c stood at 2, and was shown offset 4"},
		{"shown twice in a row", func(r *Record) { e := s3(r); *e = slices.Insert(*e, 2, (*e)[1]) }, Duplicate, "s3 has offset 1 twice"},
		{"shown again by the next connection", func(r *Record) { e := s3(r); *e = slices.Insert(*e, 4, (*e)[2]) }, Duplicate, "s3 has offset 2 twice"},
		{"shown out of order", func(r *Record) { e := *s3(r); e[1], e[2] = e[2], e[1] }, Reorder, "s3 has offset 1 after 2"},
		{"misses the end", func(r *Record) { e := s3(r); *e = (*e)[:4] }, Behind, "s3 was shown c up to 3"},
		{"never began", func(r *Record) { *s3(r) = nil }, Behind, "s3"},
		{"shown other content", func(r *Record) { (*s3(r))[1].Entry.Sum++ }, Content, "shown to s3: a1 at 1 of c has changed"},
		{"shown what is not stored", func(r *Record) { (*s3(r))[2].Entry.ID = "x" }, Loss, "shown to s3: x"},
		{"shown before it subscribed", func(r *Record) { e := s3(r); *e = (*e)[1:] }, Foreign, "before it was subscribed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := live()
			tt.spoil(r)
			faults := Check(r)
			if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Kind == tt.want && strings.Contains(f.Text, tt.text) }) {
				t.Errorf("want %s %q among %v", tt.want, tt.text, faults)
			}
		})
	}
}

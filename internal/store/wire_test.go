package store

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

func wireEntries() []Entry {
	keep := engine.Retention{Size: 10, TTL: time.Minute, MetaTTL: time.Hour, Durability: channel.Disk}
	return []Entry{
		{Version: 1, Kind: Tick, Time: 7, Retention: engine.Retention{Durability: channel.Disk}},
		{Version: 1, Kind: Create, Time: 1, Channel: testChannel, Retention: keep},
		{Version: 1, Kind: Remove, Time: 1, Channel: testChannel, Retention: engine.Retention{Size: 1, Durability: channel.Memory}},
		{
			Version: 1, Kind: Publish, Time: 2, Channel: testChannel, Retention: keep, Key: "k\x00é",
			Pub: &engine.Publication{
				Data: []byte("data"), Binary: true, Event: "e", Tags: map[string]string{"a": "b"}, Except: "session",
				Info: &engine.ClientInfo{User: "u", Client: "c", ConnInfo: []byte("1"), ChanInfo: []byte("2")},
			},
		},
		{Version: 1, Kind: Publish, Channel: testChannel, Retention: keep, Pub: &engine.Publication{Data: []byte{}}},
		{Version: 2, Kind: Adopt, Time: 3, Channel: testChannel, Retention: keep, Adoption: &Adoption{Epoch: "e-1", Top: 3, Last: 9, First: 4}},
		{Version: 2, Kind: Adopt, Time: 3, Channel: testChannel, Retention: keep, Adoption: &Adoption{
			Epoch: "e-1", Top: 9, Last: 9, First: 7, Pubs: []*engine.Publication{
				{Offset: 7, Time: 1, Data: []byte("a"), Event: "e"}, {Offset: 8, Time: 2, Data: []byte("b"), Tags: map[string]string{"k": "v"}},
			},
		}},
	}
}

func TestEntriesTravel(t *testing.T) {
	for _, want := range wireEntries() {
		b := AppendEntry(nil, &want)
		got, err := DecodeEntry(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v %v, want %+v", got, err, want)
		}
		clear(b)
		if !reflect.DeepEqual(got, want) {
			t.Error("the entry changes with the bytes it came in")
		}
	}
}

func TestNewerEntryIsRefused(t *testing.T) {
	b := AppendEntry(nil, &wireEntries()[1])
	b[0] = EntryVersion + 1
	var newer *VersionError
	if _, err := DecodeEntry(b); !errors.As(err, &newer) || newer.Version != EntryVersion+1 {
		t.Errorf("%v", err)
	}
}

func FuzzEntry(f *testing.F) {
	for _, e := range wireEntries() {
		f.Add(AppendEntry(nil, &e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil || e.Version != e.Kind.version() {
			return
		}
		if again, err := DecodeEntry(AppendEntry(nil, &e)); err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%+v, then %+v, %v", e, again, err)
		}
	})
}

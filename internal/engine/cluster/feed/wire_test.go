package feed

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/pack"
)

func messages() []message {
	ch := channel.ID{App: "app", Name: "news:1"}
	return []message{
		{kind: kindBeat, flags: beatReady},
		{kind: kindListen, id: 7, shards: []int{0, 255}},
		{kind: kindListening, id: 7, tops: []top{{0, 1}, {255, 1 << 40}}},
		{kind: kindItem, shard: 3, number: 9, memory: true, ch: ch, epoch: "E", pub: &engine.Publication{
			Offset: 5, Time: 6, Data: []byte(`{"a":1}`), Event: "e", Except: "s", Tags: map[string]string{"k": "v"}, Info: &engine.ClientInfo{User: "u", Client: "c"},
		}},
		{kind: kindCall, id: 8, op: opTops, number: 2, base: 1, body: []byte("body")},
		{kind: kindAnswer, id: 8, status: statusBusy, part: 1, last: true, body: []byte("text")},
	}
}

func TestMessages(t *testing.T) {
	for _, m := range messages() {
		m.from = "node"
		got, err := decode(m.append())
		if err != nil || !reflect.DeepEqual(*got, m) {
			t.Errorf("%+v became %+v, %v", m, got, err)
		}
	}
	newer := (&message{kind: kindBeat, from: "node"}).append()
	newer[0] = version + 1
	if _, err := decode(newer); err == nil {
		t.Error("a newer version is read")
	}
}

func TestRequests(t *testing.T) {
	r := engine.Retention{Size: 10, TTL: 5, MetaTTL: 6, Durability: channel.Memory}
	for _, want := range []engine.HistoryRequest{
		{Channel: channel.ID{App: "a", Name: "n"}, Retention: r, Limit: -1},
		{Retention: r, Limit: 0, MaxBytes: 100, Reverse: true},
		{Retention: r, Limit: 5, Since: &engine.Position{Epoch: "E", Offset: 4}},
	} {
		if got, err := decodeRequest(appendRequest(nil, &want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
}

// A page that is larger than a message goes into several, none of them without a
// publication.
func TestPages(t *testing.T) {
	want := engine.HistoryResult{Top: engine.Position{Epoch: "E", Offset: 9}, Oldest: 2}
	for i := range 8 {
		want.Publications = append(want.Publications, &engine.Publication{Offset: uint64(i + 2), Data: bytes.Repeat([]byte("x"), maxPart/3*(i%4+1))})
	}
	var got engine.HistoryResult
	parts := 0
	for rest := want.Publications; len(rest) > 0 || parts == 0; parts++ {
		var body []byte
		body, rest = appendPage(nil, &want, rest, maxPart)
		if err := decodePage(body, &got); err != nil {
			t.Fatal(err)
		}
	}
	if parts < 4 || !reflect.DeepEqual(got, want) {
		t.Errorf("in %d parts it became %d publications to %+v", parts, len(got.Publications), got.Top)
	}
}

// What goes with the data counts, too.
func TestPagesOfTags(t *testing.T) {
	const most = 8 << 10
	res := engine.HistoryResult{Top: engine.Position{Epoch: "E", Offset: 100}}
	for i := range 100 {
		res.Publications = append(res.Publications, &engine.Publication{
			Offset: uint64(i + 1), Data: []byte("1"), Tags: map[string]string{"tag": strings.Repeat("x", 1000)},
		})
	}
	for rest := res.Publications; len(rest) > 0; {
		var body []byte
		if body, rest = appendPage(nil, &res, rest, most); len(body) > most {
			t.Fatalf("%d bytes", len(body))
		}
	}
}

func TestBadMessages(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":      {},
		"no kind":      {version, 0, 1, 'n'},
		"unknown kind": {version, byte(kindUnknown), 1, 'n'},
		"nobody":       {version, byte(kindBeat), 0, 0},
		"a subject":    {version, byte(kindBeat), 3, 'a', '.', '>', 0},
		"no shard":     {version, byte(kindListen), 1, 'n', 1, 1, 0x80, 2},
		"endless list": {version, byte(kindListen), 1, 'n', 1, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"a byte more":  append((&message{kind: kindBeat, from: "n"}).append(), 0),
	} {
		if m, err := decode(b); !errors.Is(err, pack.ErrMalformed) {
			t.Errorf("%s is %+v, %v", name, m, err)
		}
	}
}

// What can be read is the same when it is written again.
func FuzzDecode(f *testing.F) {
	for _, m := range messages() {
		m.from = "node"
		f.Add(m.append())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		if again, err := decode(m.append()); err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
		if m.kind == kindCall || m.kind == kindAnswer {
			_, _ = decodeRequest(m.body)
			_ = decodePage(m.body, &engine.HistoryResult{})
		}
	})
}

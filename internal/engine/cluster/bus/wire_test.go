package bus

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/pack"
)

// messages hold every kind, and every field of it.
func messages() []*message {
	here := present{room, both, &engine.ClientInfo{User: "u", Client: "c", ConnInfo: []byte(`{}`), ChanInfo: []byte(`[]`)}}
	list := []*message{
		{kind: kindPublication, number: math.MaxUint64, ch: room, pub: &engine.Publication{Data: []byte("x")}},
		{kind: kindPublication, number: 1, ch: room, pub: &engine.Publication{
			Time: 9, Data: []byte{0}, Binary: true, Event: "e", Tags: map[string]string{"k": "v"}, Except: "s", Info: here.info,
		}},
		{kind: kindJoin, number: 300, present: here},
		{kind: kindLeave, number: 301, present: present{notice: engine.Announce, info: &engine.ClientInfo{}}},
		{kind: kindState, stream: Shards - 1, number: 7, part: 2, last: true, state: []present{here, here}},
		{kind: kindState},
		{kind: kindBeat, name: "n1", flags: beatGreets, tops: []top{{0, 1}, {everyone, 1 << 40}}},
		{kind: kindBeat, flags: beatLeaves},
		{kind: kindAsk, streams: []int{0, everyone}},
		{kind: kindQuery, number: 5, ch: room},
		{kind: kindQuery, number: 6, ch: room, brief: true},
		{kind: kindAnswer, number: 5, part: 1, last: true, sessions: []*engine.ClientInfo{here.info, {}}},
		{kind: kindControl, number: 3, control: &engine.Control{
			Op: engine.ControlSubscribe, App: "a", User: "u", Client: "c", Except: []string{"x", ""}, Channel: "ch", Code: math.MaxUint32, Reason: "r",
			Options: engine.SubscribeOptions{Info: []byte("1"), Data: []byte("2"), ExpireAt: -1, Recover: &engine.Position{Epoch: "E", Offset: 1}},
			Node:    "n", Data: []byte("d"),
		}},
		{kind: kindControl, control: &engine.Control{}},
		{kind: kindCounts, number: 4, counts: []count{{"app:a", 3}, {"", 0}}},
		{kind: kindShares, number: 4, part: 1, counts: []count{{"app:a", 3}}},
	}
	for _, m := range list {
		m.from = "boot-1_A"
	}
	return list
}

func TestMessagesRoundTrip(t *testing.T) {
	seen := make(map[kind]bool)
	for _, m := range messages() {
		b := m.append(nil)
		got, err := decode(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("kind %d: %+v, %v, want %+v", m.kind, got, err, m)
		}
		if m.kind != kindPublication { // whose data go to the end
			for n := range b {
				if _, err := decode(b[:n]); !errors.Is(err, pack.ErrMalformed) {
					t.Errorf("kind %d cut to %d of %d bytes: %v", m.kind, n, len(b), err)
				}
			}
			if _, err := decode(append(bytes.Clone(b), 0)); !errors.Is(err, pack.ErrMalformed) {
				t.Errorf("kind %d with a byte more: %v", m.kind, err)
			}
		}
		seen[m.kind] = true
	}
	if len(seen) != int(kindUnknown)-1 {
		t.Errorf("%d kinds of %d", len(seen), kindUnknown-1)
	}
}

func TestBadMessages(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":       {},
		"no version":    {0, byte(kindBeat), 1, 'n', 0, 0, 0},
		"no kind":       {version, 0, 1, 'n'},
		"unknown kind":  {version, byte(kindUnknown), 1, 'n'},
		"nobody":        {version, byte(kindBeat), 0, 0, 0, 0},
		"a subject":     {version, byte(kindBeat), 3, 'a', '.', '>', 0, 0, 0},
		"a long name":   append([]byte{version, byte(kindAsk), MaxNode + 1}, append([]byte(strings.Repeat("n", MaxNode+1)), 0)...),
		"no stream":     {version, byte(kindAsk), 1, 'n', 1, 0x82, 2},
		"endless list":  {version, byte(kindAsk), 1, 'n', 0xff, 0xff, 0xff, 0xff, 0x0f},
		"a third truth": {version, byte(kindAnswer), 1, 'n', 1, 0, 2, 0},
	} {
		if m, err := decode(b); !errors.Is(err, pack.ErrMalformed) {
			t.Errorf("%s is %+v, %v", name, m, err)
		}
	}
	newer := messages()[0].append(nil)
	newer[0] = version + 1
	if _, err := decode(newer); err == nil || errors.Is(err, pack.ErrMalformed) {
		t.Errorf("a newer version: %v", err)
	}
}

// What can be read can be written, and is then read the same.
func FuzzMessage(f *testing.F) {
	for _, m := range messages() {
		f.Add(m.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		written := m.append(nil)
		again, err := decode(written)
		if err != nil || !bytes.Equal(again.append(nil), written) {
			t.Errorf("%+v is read as %+v, %v", m, again, err)
		}
	})
}

// Channels whose names differ in a number are spread over the streams.
func TestShards(t *testing.T) {
	const each = 40
	for _, format := range []string{"room:%d", "%d", "user#%d", "a:%08d"} {
		in := make([]int, Shards)
		for i := range each * Shards {
			in[shardOf(channel.ID{App: channel.DefaultApp, Name: fmt.Sprintf(format, i)})]++
		}
		for s, n := range in {
			if n == 0 || n > 3*each {
				t.Errorf("%s: stream %d has %d channels of %d", format, s, n, each*Shards)
			}
		}
	}
	if one, other := shardOf(channel.ID{App: "a", Name: "bc"}), shardOf(channel.ID{App: "ab", Name: "c"}); one == other {
		t.Error("an App's channel is another's")
	}
}

// The parts of a list are the list.
func TestParts(t *testing.T) {
	for _, n := range []int{0, 1, 5, 1000} {
		var got []int
		parts, ends := 0, 0
		list := make([]int, n)
		for i := range list {
			list[i] = i
		}
		inParts(maxPart, list, func(int) int { return maxPart/3 + 1 }, func(part int, l []int, last bool) {
			if part != parts || len(l) > 3 {
				t.Errorf("part %d has %d", part, len(l))
			}
			parts++
			got = append(got, l...)
			if last {
				ends++
			}
		})
		if ends != 1 || len(got) != n || !reflect.DeepEqual(got, append([]int(nil), list...)) && n > 0 {
			t.Errorf("%d in %d parts with %d ends are %d", n, parts, ends, len(got))
		}
	}
}

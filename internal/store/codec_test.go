package store

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

var codecPublications = map[string]*engine.Publication{
	"empty":  {Offset: 1},
	"plain":  {Offset: math.MaxUint64, Time: math.MaxInt64, Data: []byte(`{"a":1}`)},
	"binary": {Offset: 2, Time: 1, Data: []byte{0, 0xff}, Binary: true, Event: "ping"},
	"all": {
		Offset: 3, Time: 2, Data: []byte("x"), Event: "ñ", Tags: map[string]string{"b": "", "a": "1", "": "z"},
		Info: &engine.ClientInfo{User: "u", Client: "c", ConnInfo: []byte(`{}`), ChanInfo: []byte(`[]`)},
	},
	"anonymous": {Offset: 4, Data: []byte(strings.Repeat("x", 70_000)), Info: &engine.ClientInfo{}},
}

func TestPublicationsRoundTrip(t *testing.T) {
	for name, p := range codecPublications {
		b := AppendPublication(nil, p)
		got, err := DecodePublication(b, p.Offset)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got.Data) == 0 {
			got.Data = p.Data
		}
		if !reflect.DeepEqual(got, p) {
			t.Errorf("%s: %+v, want %+v", name, got, p)
		}
		if at, err := publicationTime(b); err != nil || at != p.Time {
			t.Errorf("%s: time %d %v", name, at, err)
		}
		if again := AppendPublication(nil, p); !bytes.Equal(again, b) {
			t.Errorf("%s is not the same bytes again", name)
		}
		if _, known, err := publicationSum(b); known || err != nil {
			t.Errorf("%s has a sum: %v", name, err)
		}
		stored := appendStored(nil, p, math.MaxUint64)
		if sum, known, err := publicationSum(stored); !known || err != nil || sum != math.MaxUint64 {
			t.Errorf("%s, stored: sum %d %t %v", name, sum, known, err)
		}
		if again, err := DecodePublication(stored, p.Offset); err != nil || !reflect.DeepEqual(normal(again), normal(got)) {
			t.Errorf("%s, stored: %+v %v", name, again, err)
		}
	}
}

// A publication cut short is not taken for another one, unless only data are
// missing: how long they are is Pebble's to know.
func TestPublicationCutShort(t *testing.T) {
	p := codecPublications["all"]
	b := AppendPublication(nil, p)
	for n := range len(b) - len(p.Data) {
		if got, err := DecodePublication(b[:n], 1); err == nil {
			t.Errorf("%d bytes are %+v", n, got)
		}
	}
}

var codecRecords = []Record{
	{ID: 1, Low: 1, Deleted: 1},
	{ID: 7, Top: 9, Low: 10, Deleted: 10, Size: 5, TTL: time.Hour, MetaTTL: time.Hour, Last: 1, Oldest: 2, KeysUntil: 3, Due: 4},
	{ID: 8, Top: 9, Low: 4, Deleted: 4, Size: 5, Last: 1, Oldest: 2, Adopted: 4},
	{ID: 8, Top: 9, Low: 4, Deleted: 4, Size: 5, Last: 1, Oldest: 2, Sum: 1 << 41, Freed: math.MaxUint64, Adopted: 4},
	{ID: math.MaxUint64, Top: math.MaxUint64 - 1, Low: math.MaxUint64, Deleted: 3, Size: math.MaxInt, Last: math.MaxInt64},
}

func TestRecordsRoundTrip(t *testing.T) {
	for _, want := range codecRecords {
		want.Epoch = epoch(5, want.ID)
		got, err := decodeRecord(want.append(nil, 5), 5)
		if err != nil || got != want {
			t.Errorf("%+v %v, want %+v", got, err, want)
		}
	}
	for name, bad := range map[string]Record{
		"no id":                    {Low: 1, Deleted: 1},
		"mark above the top":       {ID: 1, Top: 3, Low: 5, Deleted: 1},
		"deleted above the mark":   {ID: 1, Top: 3, Low: 2, Deleted: 3},
		"nothing was ever at zero": {ID: 1, Top: 3, Low: 1},
		"negative time":            {ID: 1, Low: 1, Deleted: 1, Last: -1},
	} {
		if _, err := decodeRecord(bad.append(nil, 5), 5); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Records of the versions before are read, and count as empty.
func TestRecordsOfOlderVersions(t *testing.T) {
	own := []byte{7, 9, 4, 4, 5, 0, 0, 1, 2, 0, 0} // id, top, low … due
	want := Record{ID: 7, Epoch: epoch(5, 7), Top: 9, Low: 4, Deleted: 4, Size: 5, Last: 1, Oldest: 2}
	if got, err := decodeRecord(append([]byte{1}, own...), 5); err != nil || got != want {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
	adopted := append(append([]byte{2}, own...), 4, 5, 1, 'e')
	want.Adopted, want.Epoch = 4, "e"
	if got, err := decodeRecord(adopted, 5); err != nil || got != want {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
}

func TestLogRoundTrip(t *testing.T) {
	for _, want := range []Log{
		{},
		{Incarnation: 1, Number: 2, Time: 3, KeyPeriod: 4},
		{Incarnation: 1, Number: 2, Time: 3, KeyPeriod: 4, Mark: Mark{5, "w", 6}},
		{math.MaxUint64, math.MaxUint64, math.MaxInt64, math.MaxUint32, Mark{Seq: math.MaxUint64}},
	} {
		if got, err := decodeLog(want.append(nil)); err != nil || got != want {
			t.Errorf("%+v %v, want %+v", got, err, want)
		}
	}
}

// A value of a version to come is refused, and so is what never was one.
func TestVersions(t *testing.T) {
	values := map[string]func([]byte) error{
		"log":         func(b []byte) error { _, err := decodeLog(b); return err },
		"record":      func(b []byte) error { _, err := decodeRecord(b, 1); return err },
		"publication": func(b []byte) error { _, err := DecodePublication(b, 1); return err },
		"time":        func(b []byte) error { _, err := publicationTime(b); return err },
	}
	for name, decode := range values {
		newest := byte(valueVersion)
		if name == "record" {
			newest = recordVersion
		}
		for _, v := range []byte{0, newest + 1, 0xff} {
			err := decode([]byte{v, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
			if err == nil {
				t.Errorf("%s of version %d is taken", name, v)
			}
			if v > newest && (err == nil || !strings.Contains(err.Error(), fmt.Sprint("up to ", newest))) {
				t.Errorf("%s of version %d: %v", name, v, err)
			}
		}
	}
}

// Keys sort by what they hold, and those of one channel lie together.
func TestKeysSort(t *testing.T) {
	keys := [][]byte{
		appendChannelKey(nil, channel.ID{App: "a", Name: "b"}),
		appendChannelKey(nil, channel.ID{App: "a", Name: "bc"}),
		appendChannelKey(nil, channel.ID{App: "ab", Name: "c"}), // not that of a, bc
		appendDueKey(nil, 1, 9), appendDueKey(nil, 256, 1), appendDueKey(nil, 256, 2),
		appendKeyPeriod(nil, 1), appendIdempotencyKey(nil, 1, 1, ""), appendIdempotencyKey(nil, 1, 1, "k"), appendKeyPeriod(nil, 2),
		logKey,
		appendPubKey(nil, 1, 2), appendPubKey(nil, 1, 256), appendPubKey(nil, 2, 1),
	}
	for i := 1; i < len(keys); i++ {
		if bytes.Compare(keys[i-1], keys[i]) >= 0 {
			t.Errorf("%x is not before %x", keys[i-1], keys[i])
		}
	}
}

func FuzzPublication(f *testing.F) {
	for _, p := range codecPublications {
		f.Add(AppendPublication(nil, p))
		f.Add(appendStored(nil, p, 1<<40))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePublication(b, 1)
		if err != nil {
			return
		}
		again, err := DecodePublication(AppendPublication(nil, p), 1)
		if err != nil || !reflect.DeepEqual(normal(again), normal(p)) {
			t.Errorf("%+v %v, then %+v", p, err, again)
		}
		if at, err := publicationTime(b); err != nil || at != p.Time {
			t.Errorf("time %d %v, want %d", at, err, p.Time)
		}
	})
}

// normal forgets the difference between no data and empty data.
func normal(p *engine.Publication) *engine.Publication {
	if len(p.Data) == 0 {
		p.Data = nil
	}
	return p
}

func FuzzRecord(f *testing.F) {
	for _, r := range codecRecords {
		f.Add(r.append(nil, 1))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b, 1)
		if err != nil {
			return
		}
		if again, err := decodeRecord(r.append(nil, 1), 1); err != nil || again != r {
			t.Errorf("%+v %v, then %+v", r, err, again)
		}
	})
}

func FuzzLog(f *testing.F) {
	f.Add((&Log{Incarnation: 1, Number: 2, Time: 3, KeyPeriod: 4}).append(nil))
	f.Add((&Log{1, 2, 3, 4, Mark{5, "w", 6}}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodeLog(b)
		if err != nil {
			return
		}
		if again, err := decodeLog(l.append(nil)); err != nil || again != l {
			t.Errorf("%+v %v, then %+v", l, err, again)
		}
	})
}

// FuzzKeys takes bytes for each kind of key, and for what an idempotency key holds.
func FuzzKeys(f *testing.F) {
	f.Add(appendPubKey(nil, 1, 2))
	f.Add(appendDueKey(nil, 3, 4))
	f.Add(appendChannel(nil, testChannel))
	f.Add(remembered{5, 6}.append(nil))
	f.Add(appendTaken(nil, -7))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, offset, err := decodePubKey(b); err == nil && !bytes.Equal(appendPubKey(nil, id, offset), b) {
			t.Errorf("publication %d/%d", id, offset)
		}
		if due, id, err := decodeDueKey(b); err == nil && !bytes.Equal(appendDueKey(nil, due, id), b) {
			t.Errorf("due %d of %d", due, id)
		}
		if k, err := decodeRemembered(b); err == nil && !bytes.Equal(k.append(nil), b) {
			t.Errorf("%+v", k)
		}
		if n, err := decodeTaken(b); err == nil {
			if again, err := decodeTaken(appendTaken(nil, n)); err != nil || again != n {
				t.Errorf("%d taken, then %d %v", n, again, err)
			}
		}
		ch, err := decodeChannel(b)
		if err != nil {
			return
		}
		if again, err := decodeChannel(appendChannel(nil, ch)); err != nil || again != ch {
			t.Errorf("%+v, then %+v %v", ch, again, err)
		}
	})
}

// FuzzFormat takes bytes for the file that says what a directory is.
func FuzzFormat(f *testing.F) {
	f.Add([]byte(formatPrefix + "1\n"))
	f.Add([]byte(formatPrefix + "2\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, b []byte) {
		format, ok := parseFormat(b)
		if ok && (format < 1 || !bytes.HasPrefix(b, []byte(formatPrefix))) {
			t.Errorf("%q is format %d", b, format)
		}
	})
}

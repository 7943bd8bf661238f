package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	oldDir = "old"
	began  = int64(1_700_000_000_000) // Unix milliseconds
)

var keep = engine.Retention{Size: 10_000, MetaTTL: 24 * time.Hour, Durability: channel.Disk}

// side is a store that entries are applied to, one by one: the old directory, or what
// a node of the cluster makes of its log.
type side struct {
	t    *testing.T
	s    *store.Store
	recs map[channel.ID]*store.Record
}

func newSide(t *testing.T, fs store.FS, dir string) *side {
	t.Helper()
	s, err := store.Open(store.Config{Dir: dir, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return &side{t: t, s: s, recs: make(map[channel.ID]*store.Record)}
}

func (d *side) close() {
	d.t.Helper()
	if err := d.s.Close(); err != nil {
		d.t.Error(err)
	}
}

func (d *side) apply(e *store.Entry) (store.Outcome, error) {
	d.t.Helper()
	rec := d.recs[e.Channel]
	if rec == nil {
		rec = new(store.Record)
		d.recs[e.Channel] = rec
	}
	b := d.s.NewBatch()
	out, err := b.Apply(e, rec)
	if cerr := errors.Join(b.Commit(), b.Wait()); cerr != nil {
		d.t.Fatal(cerr)
	}
	return out, err
}

func (d *side) publish(name string, r engine.Retention, at int64, pub engine.Publication) {
	d.t.Helper()
	e := store.Entry{Version: store.EntryVersion, Kind: store.Publish, Time: at, Channel: channel.ID{App: "default", Name: name}, Retention: r, Pub: &pub}
	if _, err := d.apply(&e); err != nil {
		d.t.Fatal(err)
	}
}

// contents are all channels, as text that can be compared: positions, retention and
// publications.
func (d *side) contents() map[string]string {
	d.t.Helper()
	all := map[string]string{}
	err := d.s.Channels(func(ch channel.ID, rec store.Record) error {
		pubs, err := d.s.Read(store.Range{ID: rec.ID, From: rec.Low, To: rec.Top, Limit: -1})
		text, jerr := json.Marshal(pubs)
		all[ch.App+" "+ch.Name] = fmt.Sprintf("%+v from %d, size %d ttl %s meta %s: %s", rec.Position(), rec.Low, rec.Size, rec.TTL, rec.MetaTTL, text)
		return errors.Join(err, jerr)
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// receiver is a cluster that fails as it is told.
type receiver struct {
	*side

	requests int
	fail     func(request int) error // nil: never
	refuse   func(piece int) error   // of a request; nil: none
}

var errAway, errRefused = errors.New("away"), errors.New("refused")

func (r *receiver) send(_ context.Context, pieces [][]byte) ([]Answer, error) {
	r.requests++
	if r.fail != nil {
		if err := r.fail(r.requests); err != nil {
			return nil, err
		}
	}
	answers := make([]Answer, len(pieces))
	seen := map[channel.ID]bool{}
	for i, p := range pieces {
		e, err := store.DecodeEntry(p)
		if err == nil && r.refuse != nil {
			err = r.refuse(i)
		}
		if err != nil {
			answers[i].Err = err
			continue
		}
		if seen[e.Channel] {
			r.t.Errorf("two pieces of %s in one request", e.Channel)
		}
		seen[e.Channel] = true
		e.Time = began
		out, err := r.apply(&e)
		answers[i] = Answer{There: out.Duplicate, Err: err}
	}
	return answers, nil
}

func (r *receiver) config(fs store.FS) Config {
	return Config{
		Dir: oldDir, FS: fs, Send: r.send, Now: func() time.Time { return time.UnixMilli(began) },
		Temporary: func(err error) bool { return errors.Is(err, errAway) },
	}
}

// oldNode is a directory with channels of all sizes, and how many publications they
// hold.
func oldNode(t *testing.T) (fs store.FS, contents map[string]string, pubs int) {
	t.Helper()
	fs = store.NewRAM()
	old := newSide(t, fs, oldDir)
	for i := range 30 {
		for n := range i {
			old.publish(fmt.Sprint("small", i), keep, began-1000+int64(n), engine.Publication{Data: fmt.Append(nil, i, n), Event: "e", Tags: map[string]string{"n": fmt.Sprint(n)}})
			pubs++
		}
	}
	for n := range 2500 { // more than one piece holds in number,
		old.publish("many", keep, began, engine.Publication{Data: fmt.Append(nil, n)})
		pubs++
	}
	large := strings.Repeat("x", pieceBytes/3)
	for n := range 10 { // in data,
		old.publish("large", keep, began, engine.Publication{Data: []byte(large), Info: &engine.ClientInfo{User: fmt.Sprint(n)}})
		pubs++
	}
	for range 10 { // and beside it
		old.publish("tagged", keep, began, engine.Publication{Tags: map[string]string{"k": large}})
		pubs++
	}
	old.publish("huge", keep, began, engine.Publication{Data: []byte(strings.Repeat("x", 2*batchBytes))})
	contents = old.contents()
	old.close()
	return fs, contents, pubs + 1
}

func TestEverythingComesOver(t *testing.T) {
	fs, want, pubs := oldNode(t)
	r := &receiver{side: newSide(t, store.NewRAM(), "new")}
	defer r.close()
	report, err := Run(t.Context(), r.config(fs))
	if err != nil || !reflect.DeepEqual(report, Report{Channels: len(want), Publications: pubs}) {
		t.Fatalf("%+v %v, want %d channels and %d publications", report, err, len(want), pubs)
	}
	if got := r.contents(); !maps.Equal(got, want) {
		t.Errorf("%d channels are not the %d of the old node", len(got), len(want))
	}
	if _, err := store.Open(store.Config{Dir: oldDir, FS: fs}); !errors.Is(err, store.ErrMoved) {
		t.Errorf("a node starts on what was moved: %v", err)
	}
}

// A move that breaks off anywhere goes on when it is repeated.
func TestMoveIsRepeated(t *testing.T) {
	fs, want, pubs := oldNode(t)
	for last := 2; ; last++ {
		r := &receiver{side: newSide(t, store.NewRAM(), "new")}
		r.fail = func(request int) error {
			if request > last {
				return errRefused
			}
			return nil
		}
		_, err := Run(t.Context(), r.config(fs))
		whole := err == nil
		if !whole && !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		r.fail = nil
		report, err := Run(t.Context(), r.config(fs))
		if err != nil || report.Channels != len(want) || report.Publications != pubs || report.Before == 0 || len(report.Left) > 0 {
			t.Errorf("after %d requests: %+v %v", last, report, err)
		}
		if got := r.contents(); !maps.Equal(got, want) {
			t.Errorf("after %d requests: not what the old node has", last)
		}
		r.close()
		if whole {
			return
		}
	}
}

// What fails for a while is tried again, and only that.
func TestWhatFailsForAWhileIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, want, pubs := oldNode(t)
		r := &receiver{side: newSide(t, store.NewRAM(), "new")}
		defer r.close()
		r.fail = func(request int) error {
			if request > 1 && request%3 == 0 {
				return errAway
			}
			return nil
		}
		r.refuse = func(piece int) error {
			if r.requests%3 == 1 && piece%2 == 0 {
				return errAway
			}
			return nil
		}
		report, err := Run(t.Context(), r.config(fs))
		if err != nil || !reflect.DeepEqual(report, Report{Channels: len(want), Publications: pubs}) {
			t.Errorf("%+v %v", report, err)
		}
		if got := r.contents(); !maps.Equal(got, want) {
			t.Error("not what the old node has")
		}
	})
}

func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, _, _ := oldNode(t)
		r := &receiver{side: newSide(t, store.NewRAM(), "new")}
		defer r.close()
		r.fail = func(request int) error {
			if request > 1 {
				return errAway
			}
			return nil
		}
		begin := time.Now()
		_, err := Run(t.Context(), r.config(fs))
		if took := time.Since(begin); !errors.Is(err, errAway) || took < DefaultPatience || took > DefaultPatience+longWait {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// A server that is not there, or takes no history, leaves the directory as it was.
func TestNothingIsMarkedBeforeTheServerAnswers(t *testing.T) {
	fs, _, _ := oldNode(t)
	r := &receiver{side: newSide(t, store.NewRAM(), "new"), fail: func(int) error { return errRefused }}
	defer r.close()
	if _, err := Run(t.Context(), r.config(fs)); !errors.Is(err, errRefused) {
		t.Errorf("%v", err)
	}
	newSide(t, fs, oldDir).close()
}

// What has expired stays behind, what the cluster has otherwise, too; both are said.
func TestWhatStaysBehind(t *testing.T) {
	fs := store.NewRAM()
	old := newSide(t, fs, oldDir)
	hour := engine.Retention{Size: 10, TTL: time.Hour, Durability: channel.Disk}
	const ago = 2 * 60 * 60 * 1000
	old.publish("aged", hour, began-ago, engine.Publication{Data: []byte("1")})
	old.publish("idle", engine.Retention{Size: 10, MetaTTL: time.Hour, Durability: channel.Disk}, began-ago, engine.Publication{Data: []byte("1")})
	for _, data := range []string{"2", "3"} {
		old.publish("aged", hour, began, engine.Publication{Data: []byte(data)})
	}
	for range 2 * piecePubs {
		old.publish("taken", keep, began, engine.Publication{Data: []byte("1")})
	}
	old.close()
	r := &receiver{side: newSide(t, store.NewRAM(), "new")}
	defer r.close()
	r.publish("taken", keep, began, engine.Publication{Data: []byte("another")})
	report, err := Run(t.Context(), r.config(fs))
	want := Report{
		Channels: 1, Publications: 2, Expired: 1, ExpiredPublications: 1,
		Left: []Left{{Channel: channel.ID{App: "default", Name: "taken"}, Reason: "apply: a channel of this name has another history"}},
	}
	if err != nil || !reflect.DeepEqual(report, want) {
		t.Errorf("%+v %v, want %+v", report, err, want)
	}
	if got := slices.Sorted(maps.Keys(r.contents())); !slices.Equal(got, []string{"default aged", "default taken"}) {
		t.Errorf("%v", got)
	}
	if got := r.contents()["default aged"]; !strings.Contains(got, "Offset:3} from 2") {
		t.Error(got)
	}
}

package enginetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

func offsetsAreDense(s *stage) {
	t := s.t
	const publishers, each = 8, 40
	chs := []channel.ID{s.channelOf("a"), s.channelOf("b"), s.channelOf("c")}
	keep := s.keep(publishers * each)
	results := make([][]engine.PublishResult, publishers)
	together(publishers, func(i int) {
		for n := range each {
			for _, ch := range chs {
				res, err := s.try(t, text(ch, keep, fmt.Sprintf("%d-%d", i, n)))
				if err != nil {
					t.Errorf("publish: %v", err)
				}
				results[i] = append(results[i], res)
			}
		}
	})
	for c, ch := range chs {
		var replied []uint64
		epoch := results[0][c].Epoch
		for _, list := range results {
			for n := c; n < len(list); n += len(chs) {
				replied = append(replied, list[n].Offset)
				if list[n].Epoch != epoch {
					t.Errorf("%s: epochs %q and %q", ch, epoch, list[n].Epoch)
				}
			}
		}
		slices.Sort(replied)
		if want := span(1, publishers*each); !slices.Equal(replied, want) {
			t.Errorf("%s: replies have offsets %v", ch, replied)
		}
		for _, r := range s.recorders {
			r.until(t, "everything is handed over", func() bool { return len(r.pubs[ch]) == publishers*each })
		}
		s.agree(t, ch, keep)
	}
}

// agree faults a difference between what was handed over and what is read.
func (s *stage) agree(t *testing.T, ch channel.ID, r engine.Retention) {
	t.Helper()
	res := s.history(t, ch, r)
	for _, rec := range s.recorders {
		handed := rec.of(ch)
		if len(handed) != len(res.Publications) {
			t.Fatalf("%s: %d handed over, %d read", ch, len(handed), len(res.Publications))
		}
		for i, p := range res.Publications {
			if h := handed[i]; h.epoch != res.Top.Epoch || !reflect.DeepEqual(h.pub, p) {
				t.Fatalf("%s: handed over %+v of %q, read %+v of %q", ch, h.pub, h.epoch, p, res.Top.Epoch)
			}
		}
	}
}

// What one caller publishes without waiting is ordered as it was called.
func orderOfCalls(s *stage) {
	t := s.t
	const n = 200
	ch := s.channelOf("c")
	keep := s.keep(n)
	done := make(chan error, n)
	for i := range n {
		s.writer().Publish(text(ch, keep, fmt.Sprint(i+1)), func(res engine.PublishResult, err error) {
			if err == nil && res.Offset != uint64(i+1) {
				err = fmt.Errorf("call %d has offset %d", i+1, res.Offset)
			}
			done <- err
		})
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func handedOverBeforeReply(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	const n = 100
	late := make(chan uint64, n)
	for range n {
		s.writer().Publish(text(ch, s.keep(10), "x"), func(res engine.PublishResult, err error) {
			handed := s.writerSeen().of(ch)
			if err != nil || len(handed) == 0 || handed[len(handed)-1].pub.Offset < res.Offset {
				t.Errorf("reply %v, %v came before its hand-over", res, err)
			}
			late <- res.Offset
		})
	}
	for range n {
		<-late
	}
}

func readableBeforeHandedOver(s *stage) {
	t := s.t
	const n = 100
	ch := s.channelOf("c")
	keep := s.keep(n)
	type handed struct {
		epoch  string
		offset uint64
	}
	feed := make(chan handed, n)
	s.recorders[len(s.recorders)-1].onTold = func(_ channel.ID, epoch string, pub *engine.Publication) {
		feed <- handed{epoch, pub.Offset}
	}
	for range n {
		s.writer().Publish(text(ch, keep, "x"), func(_ engine.PublishResult, err error) {
			if err != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	for range n {
		h := <-feed
		res, err := s.ask(t, engine.HistoryRequest{
			Channel: ch, Retention: keep, Limit: 1, Since: &engine.Position{Epoch: h.epoch, Offset: h.offset - 1},
		})
		if err != nil || len(res.Publications) != 1 || res.Publications[0].Offset != h.offset || res.Top.Offset < h.offset {
			t.Fatalf("offset %d was handed over, but history says %+v, %v", h.offset, res, err)
		}
	}
}

// wholePublications hold every field, alone and together.
func wholePublications() []engine.Publication {
	return []engine.Publication{
		{Data: []byte(`{"a":[1,2,"é"]}`)},
		{Data: []byte{0, 255, 10}, Binary: true},
		{Data: []byte("1"), Event: "price", Tags: map[string]string{"k": "v", "": "empty", "é": "\x00"}},
		{Data: []byte("2"), Info: &engine.ClientInfo{User: "u", Client: "s", ConnInfo: []byte(`{"n":1}`), ChanInfo: []byte(`[]`)}},
		{Data: []byte("3"), Info: &engine.ClientInfo{Client: "anonymous"}},
		{Data: make([]byte, 100_000), Binary: true},
	}
}

func contentStaysWhole(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(100)
	for _, pub := range wholePublications() {
		s.publish(t, engine.PublishRequest{Channel: ch, Retention: keep, Publication: pub})
	}
	s.whole(t, ch, keep)
	s.agree(t, ch, keep)
	if s.disk() {
		s.reopen(t)
		s.whole(t, ch, keep)
	}
}

func (s *stage) whole(t *testing.T, ch channel.ID, r engine.Retention) {
	t.Helper()
	res := s.history(t, ch, r)
	for i, want := range wholePublications() {
		if i >= len(res.Publications) {
			t.Fatalf("publication %d is missing", i+1)
		}
		got := *res.Publications[i]
		if got.Time <= 0 {
			t.Errorf("publication %d has no time", i+1)
		}
		want.Offset, want.Time = uint64(i+1), got.Time
		if !reflect.DeepEqual(got, want) {
			t.Errorf("publication %d is %+v, want %+v", i+1, got, want)
		}
	}
}

func skipHistory(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(10)
	first := s.publish(t, text(ch, keep, "kept"))
	skipped := text(ch, keep, "skipped")
	skipped.SkipHistory = true
	if res := s.publish(t, skipped); res != (engine.PublishResult{}) {
		t.Errorf("a publication without history has position %v", res)
	}
	second := s.publish(t, text(ch, keep, "kept too"))
	if second.Offset != first.Offset+1 || second.Epoch != first.Epoch {
		t.Errorf("kept at %v and %v", first, second)
	}
	if got := offsets(s.history(t, ch, keep)); !slices.Equal(got, span(1, 2)) {
		t.Errorf("history holds %v", got)
	}
	var handed []string
	for _, h := range s.writerSeen().of(ch) {
		handed = append(handed, fmt.Sprintf("%d %s", h.pub.Offset, h.pub.Data))
		if h.pub.Time <= 0 {
			t.Errorf("%s has no time", h.pub.Data)
		}
	}
	if want := []string{"1 kept", "0 skipped", "2 kept too"}; !slices.Equal(handed, want) {
		t.Errorf("handed over %q", handed)
	}
}

func appsAreApart(s *stage) {
	t := s.t
	one, two := channel.ID{App: "one", Name: "c"}, channel.ID{App: "two", Name: "c"}
	s.follow(one, two)
	keep := s.keep(10)
	s.fill(t, one, keep, 3)
	if res := s.publish(t, text(two, keep, "x")); res.Offset != 1 {
		t.Errorf("the other app's channel starts at %d", res.Offset)
	}
	s.remove(t, two, keep)
	if got := offsets(s.history(t, one, keep)); !slices.Equal(got, span(1, 3)) {
		t.Errorf("history holds %v", got)
	}
	if n := len(s.writerSeen().of(two)); n != 1 {
		t.Errorf("%d handed over to the other app", n)
	}
}

// appHasQuota: an App that has as much on disk as it may is refused more, until something
// is removed. What is in RAM is bounded otherwise.
func appHasQuota(s *stage) {
	t := s.t
	full, other := s.channelOf("full"), channel.ID{App: "another", Name: "full"}
	s.follow(other)
	keep, data := s.keep(1000), strings.Repeat("x", 1000)
	limited := func(ch channel.ID) engine.PublishRequest {
		req := text(ch, keep, data)
		req.Quota = 20_000
		return req
	}
	keyed := func(ch channel.ID, n int) engine.PublishRequest {
		req := limited(ch)
		req.IdempotencyKey = fmt.Sprint("key ", n)
		return req
	}
	stored, last, err := 0, engine.PublishResult{}, error(nil)
	for ; err == nil && stored < 30; stored++ {
		var res engine.PublishResult
		if res, err = s.try(t, keyed(full, stored)); err == nil {
			last = res
		}
	}
	if !s.disk() {
		if err != nil {
			t.Errorf("after %d: %v", stored, err)
		}
		return
	}
	if stored--; !errors.Is(err, engine.ErrQuota) || stored < 10 || stored > 20 {
		t.Fatalf("after %d of a thousand bytes: %v", stored, err)
	}
	soon(t, "what was stored is everywhere", func() bool { return len(s.history(t, full, keep).Publications) == stored })
	if _, err := s.try(t, limited(s.channelOf("new"))); !errors.Is(err, engine.ErrQuota) {
		t.Errorf("another channel of the App: %v", err)
	}
	last.Duplicate = true
	if res := s.repeat(t, keyed(full, stored-1)); res != last {
		t.Errorf("the repeat of what is stored is %+v, want %+v", res, last)
	}
	for _, ch := range []channel.ID{full, s.channelOf("new")} {
		if res, err := s.try(t, keyed(ch, stored)); !errors.Is(err, engine.ErrQuota) {
			t.Errorf("what was not stored is repeated: %+v, %v", res, err)
		}
	}
	skipped := limited(full)
	skipped.SkipHistory = true
	if _, err := s.try(t, skipped); err != nil {
		t.Errorf("what is not stored: %v", err)
	}
	s.publish(t, limited(other))
	s.remove(t, full, keep)
	if res := s.publish(t, limited(full)); res.Offset != uint64(stored+1) {
		t.Errorf("once there is room, at %d", res.Offset)
	}
}

func noHistory(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	if res := s.publish(t, text(ch, engine.Retention{}, "x")); res != (engine.PublishResult{}) {
		t.Errorf("position %v", res)
	}
	for _, r := range s.recorders {
		r.until(t, "it is handed over", func() bool { return len(r.pubs[ch]) == 1 })
		if h := r.of(ch)[0]; h.epoch != "" || h.pub.Offset != 0 || h.pub.Time <= 0 || string(h.pub.Data) != "x" {
			t.Errorf("handed over %+v of %q", h.pub, h.epoch)
		}
	}
	if res := s.history(t, ch, engine.Retention{}); len(res.Publications) > 0 || res.Top.Offset > 0 {
		t.Errorf("history %+v", res)
	}
	s.remove(t, ch, engine.Retention{})
}

func noHistoryOrder(s *stage) {
	t := s.t
	const n = 200
	ch := s.channelOf("c")
	for i := range n {
		s.writer().Publish(text(ch, engine.Retention{}, fmt.Sprint(i)), func(_ engine.PublishResult, err error) {
			if err != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	for _, r := range s.recorders {
		r.until(t, "everything is handed over", func() bool { return len(r.pubs[ch]) == n })
		for i, h := range r.of(ch) {
			if string(h.pub.Data) != fmt.Sprint(i) {
				t.Fatalf("%s was handed over as number %d", h.pub.Data, i)
			}
		}
	}
}

func status(s *stage) {
	t := s.t
	for _, n := range s.nodes {
		if st := n.Status(); !st.Ready || st.Reason != "" {
			t.Errorf("%+v", st)
		}
	}
}

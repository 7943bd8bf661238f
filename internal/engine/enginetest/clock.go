package enginetest

import (
	"errors"
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
)

func ttl(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(10)
	keep.TTL = time.Minute
	since := engine.Position{Offset: 1}
	check := func(when string, want []uint64, oldest uint64, top uint64) {
		t.Helper()
		res := s.history(t, ch, keep)
		if !slices.Equal(offsets(res), want) || res.Oldest != oldest || res.Top.Offset != top {
			t.Errorf("%s: %v of %d to %d, want %v of %d to %d", when, offsets(res), res.Oldest, res.Top.Offset, want, oldest, top)
		}
		since.Epoch = res.Top.Epoch
		for _, reverse := range []bool{false, true} {
			_, err := s.ask(t, engine.HistoryRequest{Channel: ch, Retention: keep, Limit: -1, Since: &since, Reverse: reverse})
			if err != nil {
				t.Errorf("%s: since %v: %v", when, since, err)
			}
		}
	}
	s.fill(t, ch, keep, 2)
	s.d.Advance(40 * time.Second)
	s.fill(t, ch, keep, 1)
	check("before anything expires", span(1, 3), 1, 3)
	s.d.Advance(30 * time.Second)
	check("the first two are too old", span(3, 3), 3, 3)
	s.d.Advance(time.Minute)
	check("all are", nil, 4, 3)
	s.fill(t, ch, keep, 1)
	check("a new one", span(4, 4), 4, 4)
	if s.disk() {
		s.reopen(t)
		s.follow(ch)
		check("reopened", span(4, 4), 4, 4)
		s.d.Advance(2 * time.Minute)
		check("too old after reopening", nil, 5, 4)
	}
}

func metaTTL(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(10)
	keep.TTL, keep.MetaTTL = time.Minute, time.Hour
	first := s.fill(t, ch, keep, 2)
	for range 3 {
		s.d.Advance(45 * time.Minute)
		if next := s.fill(t, ch, keep, 1); next.Epoch != first.Epoch {
			t.Fatalf("a channel in use went from %v to %v", first, next)
		}
	}
	s.d.Advance(59 * time.Minute)
	if top := s.history(t, ch, keep).Top; top != (engine.Position{Epoch: first.Epoch, Offset: 5}) {
		t.Errorf("within the meta ttl it stands at %v", top)
	}
	s.d.Advance(2 * time.Hour)
	_, err := s.ask(t, engine.HistoryRequest{Channel: ch, Retention: keep, Limit: -1, Since: &first.Position})
	if !errors.Is(err, engine.ErrUnrecoverable) {
		t.Errorf("the position of the forgotten channel: %v", err)
	}
	top := s.history(t, ch, keep).Top
	if top.Epoch == first.Epoch || top.Offset != 0 {
		t.Errorf("a forgotten channel stands at %v, was at %v", top, first)
	}
	if next := s.fill(t, ch, keep, 1); next.Epoch != top.Epoch || next.Offset != 1 {
		t.Errorf("after %v comes %v", top, next)
	}
	s.d.Advance(2 * time.Hour)
	if again := s.fill(t, ch, keep, 1); again.Epoch == top.Epoch || again.Offset != 1 {
		t.Errorf("a publication to a forgotten channel of %v is at %v", top, again)
	}
}

// timeNeverFalls though the node's clock is set back: log time orders what ttl
// and keys go by.
func timeNeverFalls(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(10)
	s.fill(t, ch, keep, 1)
	s.d.Advance(-time.Minute)
	s.fill(t, ch, keep, 1)
	s.d.Advance(10 * time.Second)
	s.fill(t, ch, keep, 1)
	last := int64(0)
	res := s.history(t, ch, keep)
	for _, p := range res.Publications {
		if p.Time < last {
			t.Errorf("offset %d is of %d, after %d", p.Offset, p.Time, last)
		}
		last = p.Time
	}
	if len(res.Publications) != 3 {
		t.Errorf("%d are left", len(res.Publications))
	}
}

package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
)

func newChannelHasPosition(s *stage) {
	t := s.t
	ch, other := s.channelOf("c"), s.channelOf("other")
	keep := s.keep(10)
	res := s.history(t, ch, keep)
	if res.Top.Epoch == "" || res.Top.Offset != 0 || res.Oldest != 1 || len(res.Publications) > 0 {
		t.Errorf("a new channel's history is %+v", res)
	}
	if again := s.history(t, ch, keep); again.Top != res.Top {
		t.Errorf("its position was %v, is %v", res.Top, again.Top)
	}
	if got := s.history(t, other, keep); got.Top.Epoch == res.Top.Epoch {
		t.Errorf("another channel has the same epoch %q", got.Top.Epoch)
	}
	if pub := s.publish(t, text(ch, keep, "x")); pub.Epoch != res.Top.Epoch || pub.Offset != 1 {
		t.Errorf("from %v the first publication is at %v", res.Top, pub)
	}
	after, err := s.ask(t, engine.HistoryRequest{Channel: ch, Retention: keep, Since: &res.Top, Limit: -1})
	if err != nil || !slices.Equal(offsets(after), span(1, 1)) {
		t.Errorf("since the beginning: %+v, %v", after, err)
	}
}

// page is a question about a channel that holds 3 to 10, five bytes each.
type page struct {
	name     string
	since    string // "": nil; "E5": offset 5 of the channel's epoch, "5" of none, "X5" of another
	limit    int
	maxBytes int
	reverse  bool
	from, to uint64 // 0: nothing
	lost     bool   // ErrUnrecoverable
}

func pageTable() []page {
	return []page{
		{name: "all", limit: -1, from: 3, to: 10},
		{name: "position only", limit: 0},
		{name: "limit", limit: 3, from: 3, to: 5},
		{name: "limit beyond", limit: 100, from: 3, to: 10},
		{name: "since", since: "E5", limit: -1, from: 6, to: 10},
		{name: "since, limit", since: "E5", limit: 2, from: 6, to: 7},
		{name: "since, position only", since: "E5"},
		{name: "since the beginning, trimmed", since: "E0", limit: -1, from: 3, to: 10},
		{name: "since just below the oldest", since: "E2", limit: -1, from: 3, to: 10},
		{name: "since the top", since: "E10", limit: -1},
		{name: "since any epoch", since: "9", limit: -1, from: 10, to: 10},
		{name: "above the top", since: "E11", limit: -1, lost: true},
		{name: "above the top in any epoch", since: "11", limit: -1, lost: true},
		{name: "another epoch", since: "X5", limit: -1, lost: true},
		{name: "another epoch, position only", since: "X5", lost: true},
		{name: "another epoch, reverse", since: "X5", limit: -1, reverse: true, lost: true},
		{name: "reverse", limit: -1, reverse: true, from: 10, to: 3},
		{name: "reverse, limit", limit: 2, reverse: true, from: 10, to: 9},
		{name: "reverse, since", since: "E6", limit: -1, reverse: true, from: 5, to: 3},
		{name: "reverse, since, limit", since: "E6", limit: 1, reverse: true, from: 5, to: 5},
		{name: "reverse, since the top", since: "E10", limit: -1, reverse: true, from: 9, to: 3},
		{name: "reverse, since the oldest", since: "E3", limit: -1, reverse: true},
		{name: "reverse, since what is trimmed", since: "E1", limit: -1, reverse: true},
		{name: "reverse, since the beginning", since: "E0", limit: -1, reverse: true},
		{name: "bytes", limit: -1, maxBytes: 14, from: 3, to: 4},
		{name: "bytes exactly", limit: -1, maxBytes: 15, from: 3, to: 5},
		{name: "bytes below one", limit: -1, maxBytes: 1, from: 3, to: 3},
		{name: "bytes, limit", limit: 2, maxBytes: 100, from: 3, to: 4},
		{name: "bytes, reverse", limit: -1, maxBytes: 14, reverse: true, from: 10, to: 9},
		{name: "bytes, since", since: "E8", limit: -1, maxBytes: 5, from: 9, to: 9},
	}
}

func pages(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(8)
	for i := range 10 {
		s.publish(t, text(ch, keep, fmt.Sprintf("%05d", i+1)))
	}
	s.askPages(t, engine.HistoryRequest{Channel: ch, Retention: keep})
	if s.disk() {
		s.reopen(t) // what RAM held must now come from elsewhere
		s.askPages(t, engine.HistoryRequest{Channel: ch, Retention: keep})
	}
}

func (s *stage) askPages(t *testing.T, base engine.HistoryRequest) {
	t.Helper()
	top := s.history(t, base.Channel, base.Retention).Top
	for _, p := range pageTable() {
		req := base
		req.Limit, req.MaxBytes, req.Reverse, req.Since = p.limit, p.maxBytes, p.reverse, position(p.since, top.Epoch)
		res, err := s.ask(t, req)
		switch {
		case p.lost:
			if !errors.Is(err, engine.ErrUnrecoverable) {
				t.Errorf("%s: %v, want %v", p.name, err, engine.ErrUnrecoverable)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", p.name, err)
			continue
		}
		if got := offsets(res); !slices.Equal(got, span(p.from, p.to)) {
			t.Errorf("%s: %v, want %v", p.name, got, span(p.from, p.to))
		}
		if res.Top != top || res.Oldest != 3 {
			t.Errorf("%s: top %v, oldest %d", p.name, res.Top, res.Oldest)
		}
		for _, pub := range res.Publications {
			if string(pub.Data) != fmt.Sprintf("%05d", pub.Offset) {
				t.Errorf("%s: offset %d holds %q", p.name, pub.Offset, pub.Data)
			}
		}
	}
}

// position reads the short form of a page's since.
func position(short, epoch string) *engine.Position {
	if short == "" {
		return nil
	}
	p := &engine.Position{}
	switch short[0] {
	case 'E':
		p.Epoch, short = epoch, short[1:]
	case 'X':
		p.Epoch, short = "another", short[1:]
	}
	if _, err := fmt.Sscan(short, &p.Offset); err != nil {
		panic(err)
	}
	return p
}

// A page that was handed out does not change, whatever happens to the channel or
// to another page.
func pagesStay(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(5)
	s.fill(t, ch, keep, 5)
	first := s.history(t, ch, keep)
	_ = append(first.Publications, nil, nil)
	second := s.history(t, ch, keep)
	s.fill(t, ch, keep, 8)
	s.remove(t, ch, keep)
	if got := offsets(second); !slices.Equal(got, span(1, 5)) {
		t.Errorf("the page has become %v", got)
	}
	for i, p := range second.Publications {
		if string(p.Data) != fmt.Sprint(i+1) {
			t.Errorf("offset %d has become %q", i+1, p.Data)
		}
	}
}

func removeHistory(s *stage) {
	t := s.t
	ch, unknown := s.channelOf("c"), s.channelOf("unknown")
	keep := s.keep(10)
	s.remove(t, unknown, keep)
	last := s.fill(t, ch, keep, 4)
	s.remove(t, ch, keep)
	check := func(when string) {
		t.Helper()
		res := s.history(t, ch, keep)
		if len(res.Publications) > 0 || res.Top != last.Position || res.Oldest != last.Offset+1 {
			t.Errorf("%s: %+v, want nothing at %v", when, res, last.Position)
		}
		for _, reverse := range []bool{false, true} {
			res, err := s.ask(t, engine.HistoryRequest{
				Channel: ch, Retention: keep, Limit: -1, Reverse: reverse, Since: &engine.Position{Epoch: last.Epoch, Offset: 2},
			})
			if err != nil || len(res.Publications) > 0 {
				t.Errorf("%s: since 2: %+v, %v", when, res, err)
			}
		}
	}
	check("after removal")
	s.remove(t, ch, keep)
	check("after the second")
	if s.disk() {
		s.reopen(t)
		s.follow(ch)
		check("after reopening")
	}
	if next := s.publish(t, text(ch, keep, "5")); next.Epoch != last.Epoch || next.Offset != 5 {
		t.Errorf("after %v comes %v", last, next)
	}
	if got := offsets(s.history(t, ch, keep)); !slices.Equal(got, span(5, 5)) {
		t.Errorf("history holds %v", got)
	}
}

func retentionChanges(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	s.fill(t, ch, s.keep(10), 10)
	s.publish(t, text(ch, s.keep(3), "11"))
	if res := s.history(t, ch, s.keep(3)); !slices.Equal(offsets(res), span(9, 11)) || res.Oldest != 9 {
		t.Errorf("with room for 3: %v, oldest %d", offsets(res), res.Oldest)
	}
	s.publish(t, text(ch, s.keep(10), "12"))
	if res := s.history(t, ch, s.keep(10)); !slices.Equal(offsets(res), span(9, 12)) || res.Oldest != 9 {
		t.Errorf("with room for 10 again: %v, oldest %d", offsets(res), res.Oldest)
	}
	s.publish(t, text(ch, s.keep(1), "13"))
	if got := offsets(s.history(t, ch, s.keep(1))); !slices.Equal(got, span(13, 13)) {
		t.Errorf("with room for one: %v", got)
	}
}

// reopened: what was on disk goes on where it stood; what was in RAM is gone,
// and nobody can take the new history for the old.
func reopened(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(5)
	before := s.fill(t, ch, keep, 7)
	req := text(ch, keep, "keyed")
	req.IdempotencyKey = "k"
	keyed := s.publish(t, req)
	s.reopen(t)
	s.follow(ch)
	res := s.history(t, ch, keep)
	if !s.disk() && !s.d.KeepsMemory {
		if res.Top.Epoch == before.Epoch || res.Top.Offset != 0 || len(res.Publications) > 0 {
			t.Errorf("after %v RAM still holds %+v", before, res)
		}
		_, err := s.ask(t, engine.HistoryRequest{Channel: ch, Retention: keep, Limit: -1, Since: &before.Position})
		if !errors.Is(err, engine.ErrUnrecoverable) {
			t.Errorf("the old position: %v", err)
		}
		return
	}
	if res.Top != keyed.Position || !slices.Equal(offsets(res), span(4, 8)) || res.Oldest != 4 {
		t.Errorf("after %v it holds %v at %v", keyed, offsets(res), res.Top)
	}
	if again := s.repeat(t, req); again.Position != keyed.Position || !again.Duplicate {
		t.Errorf("the repeat is at %+v, the first was at %v", again, keyed)
	}
	if next := s.publish(t, text(ch, keep, "9")); next.Epoch != before.Epoch || next.Offset != 9 {
		t.Errorf("after %v comes %v", keyed, next)
	}
}

// repeat publishes what was handed over before, and maybe never will again.
func (s *stage) repeat(t *testing.T, req engine.PublishRequest) engine.PublishResult {
	t.Helper()
	res, err := s.try(t, req)
	if err != nil {
		t.Errorf("publish to %s again: %v", req.Channel, err)
	}
	return res
}

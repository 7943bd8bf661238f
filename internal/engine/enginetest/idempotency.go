package enginetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// keyed is a request to publish a word under an idempotency key.
func keyed(ch channel.ID, r engine.Retention, data, key string) engine.PublishRequest {
	req := text(ch, r, data)
	req.IdempotencyKey = key
	return req
}

func repeatIsStoredOnce(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(10)
	s.fill(t, ch, keep, 2)
	first := s.publish(t, keyed(ch, keep, "first", "k"))
	s.publish(t, keyed(ch, keep, "other", "l"))
	if first.Duplicate || first.Offset != 3 {
		t.Errorf("the first is %+v", first)
	}
	for range 2 {
		again := s.repeat(t, keyed(ch, keep, "again", "k"))
		if !again.Duplicate || again.Position != first.Position {
			t.Errorf("the repeat of %+v is %+v", first, again)
		}
	}
	if next := s.publish(t, text(ch, keep, "5")); next.Offset != 5 {
		t.Errorf("after repeats comes %v", next)
	}
	s.agree(t, ch, keep)
	if res := s.history(t, ch, keep); string(res.Publications[2].Data) != "first" {
		t.Errorf("history holds %q", res.Publications[2].Data)
	}
}

// repeatsAtOnce: one of many is stored, and whoever is answered can rely on it.
func repeatsAtOnce(s *stage) {
	t := s.t
	const n = 50
	ch := s.channelOf("c")
	keep := s.keep(n)
	for round := range 5 {
		key := fmt.Sprint(round)
		var mu sync.Mutex
		var results []engine.PublishResult
		together(n, func(i int) {
			res, err := s.try(t, keyed(ch, keep, fmt.Sprint(i), key))
			if err != nil {
				t.Errorf("publish: %v", err)
				return
			}
			if handed := s.writerSeen().of(ch); len(handed) == 0 || handed[len(handed)-1].pub.Offset < res.Offset {
				t.Errorf("%+v was answered before it was handed over", res)
			}
			mu.Lock()
			defer mu.Unlock()
			results = append(results, res)
		})
		firsts := 0
		for _, res := range results {
			if !res.Duplicate {
				firsts++
			}
			if res.Position != results[0].Position || res.Offset != uint64(round+1) {
				t.Errorf("round %d: %v and %v", round, results[0].Position, res.Position)
			}
		}
		if firsts != 1 {
			t.Errorf("round %d: %d were the first", round, firsts)
		}
	}
	if got := s.writerSeen().of(ch); len(got) != 5 {
		t.Errorf("%d handed over", len(got))
	}
}

func scopeOfKeys(s *stage) {
	t := s.t
	keep := s.keep(10)
	var chs []channel.ID
	for i := range 40 { // some of them meet in whatever an engine divides channels by
		chs = append(chs, channel.ID{App: "a", Name: fmt.Sprint(i)}, channel.ID{App: fmt.Sprint(i), Name: "c"})
	}
	s.follow(chs...)
	together(len(chs), func(i int) {
		for _, key := range []string{"k", "k2", "K", "k\x00", "é"} {
			if res, err := s.try(t, keyed(chs[i], keep, "x", key)); err != nil || res.Duplicate {
				t.Errorf("%s %q is a repeat of another's, or %v", chs[i], key, err)
			}
		}
	})
	long := make([]byte, engine.MaxIdempotencyKey)
	if res := s.publish(t, keyed(chs[0], keep, "x", string(long))); res.Duplicate {
		t.Error("the longest key is a repeat")
	}
	if res := s.repeat(t, keyed(chs[0], keep, "x", string(long))); !res.Duplicate {
		t.Error("the repeat of the longest key is none")
	}
}

// The first one's position is answered though nobody can read it any more.
func keyOutlivesPublication(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(2)
	first := s.publish(t, keyed(ch, keep, "x", "k"))
	s.fill(t, ch, keep, 5)
	if again := s.repeat(t, keyed(ch, keep, "x", "k")); !again.Duplicate || again.Position != first.Position {
		t.Errorf("trimmed: the repeat of %+v is %+v", first, again)
	}
	s.remove(t, ch, keep)
	if again := s.repeat(t, keyed(ch, keep, "x", "k")); !again.Duplicate || again.Position != first.Position {
		t.Errorf("removed: the repeat of %+v is %+v", first, again)
	}
}

func noHistoryRepeat(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	for i := range 3 {
		res := s.repeat(t, keyed(ch, engine.Retention{}, "x", "k"))
		if res.Position != (engine.Position{}) || res.Duplicate != (i > 0) {
			t.Errorf("publish %d: %+v", i+1, res)
		}
	}
	s.repeat(t, text(ch, engine.Retention{}, "last"))
	for _, r := range s.recorders {
		r.until(t, "the last is handed over", func() bool {
			list := r.pubs[ch]
			return len(list) > 0 && string(list[len(list)-1].pub.Data) == "last"
		})
		if n := len(r.of(ch)); n != 2 {
			t.Errorf("%d handed over", n)
		}
	}
}

func windowOfKeys(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(10)
	first := s.publish(t, keyed(ch, keep, "x", "k"))
	s.d.Advance(engine.IdempotencyWindow - time.Second)
	s.publish(t, keyed(ch, keep, "x", "another")) // whose window is a later one
	if again := s.repeat(t, keyed(ch, keep, "x", "k")); !again.Duplicate || again.Position != first.Position {
		t.Errorf("within the window: %+v", again)
	}
	s.d.Advance(2 * time.Second)
	late := s.publish(t, keyed(ch, keep, "x", "k"))
	if late.Duplicate || late.Offset != first.Offset+2 {
		t.Errorf("after the window: %+v", late)
	}
	s.d.Advance(engine.IdempotencyWindow - time.Second)
	if again := s.repeat(t, keyed(ch, keep, "x", "k")); !again.Duplicate || again.Position != late.Position {
		t.Errorf("within the second window: %+v", again)
	}
	if got := offsets(s.history(t, ch, keep)); !slices.Equal(got, span(1, 3)) {
		t.Errorf("history holds %v", got)
	}
}

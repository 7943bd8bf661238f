package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// These tests let every node of a deployment do what one did in the others; with
// one node they ask it the same.

// everyNodePublishes: one order for all, without a gap, however many publish.
func everyNodePublishes(s *stage) {
	t := s.t
	const publishers, each = 6, 40
	ch := s.channelOf("c")
	keep := s.keep(publishers * each)
	var mu sync.Mutex
	acked := map[uint64]string{}
	together(publishers, func(i int) {
		last := uint64(0)
		for n := range each {
			data := fmt.Sprintf("%d-%d", i, n)
			res, err := await(t, func(done func(engine.PublishResult, error)) {
				s.nodes[i%len(s.nodes)].Publish(text(ch, keep, data), done)
			})
			if err != nil || res.Offset <= last {
				t.Errorf("%s is at %v, %v, after %d", data, res, err, last)
			}
			last = res.Offset
			mu.Lock()
			acked[res.Offset] = data
			mu.Unlock()
		}
	})
	for i, r := range s.recorders {
		r.until(t, "everything is handed over", func() bool { return len(r.pubs[ch]) == publishers*each })
		for n, h := range r.of(ch) {
			if offset := uint64(n + 1); h.pub.Offset != offset || string(h.pub.Data) != acked[offset] {
				t.Fatalf("node %d was handed %q at %d, %q was acknowledged at %d", i+1, h.pub.Data, h.pub.Offset, acked[offset], offset)
			}
		}
	}
	s.agree(t, ch, keep)
}

// positionsHoldOnEveryNode: whoever has a position from one node recovers from it
// on any other, at once, though that one may not have heard of it yet.
func positionsHoldOnEveryNode(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(1000)
	for n := range 60 {
		from, to := s.nodes[n%len(s.nodes)], s.nodes[(n+1)%len(s.nodes)]
		res, err := await(t, func(done func(engine.PublishResult, error)) { from.Publish(text(ch, keep, "x"), done) })
		if err != nil {
			t.Fatalf("publish: %v", err)
		}
		got, err := await(t, func(done func(engine.HistoryResult, error)) {
			to.History(engine.HistoryRequest{Channel: ch, Retention: keep, Limit: -1, Since: &res.Position}, done)
		})
		if err != nil || got.Top.Epoch != res.Epoch || got.Top.Offset < res.Offset {
			t.Fatalf("%v was given out, and is answered with %+v, %v", res.Position, got.Top, err)
		}
	}
	beyond := s.history(t, ch, keep).Top
	beyond.Offset += 100
	for _, n := range s.nodes {
		_, err := await(t, func(done func(engine.HistoryResult, error)) {
			n.History(engine.HistoryRequest{Channel: ch, Retention: keep, Limit: -1, Since: &beyond}, done)
		})
		if !errors.Is(err, engine.ErrUnrecoverable) {
			t.Errorf("what was never given out: %v", err)
		}
	}
}

// newChannelOnEveryNode: who is first is chance, but there is one epoch.
func newChannelOnEveryNode(s *stage) {
	t := s.t
	keep := s.keep(10)
	for round := range 5 {
		ch := s.channelOf(fmt.Sprint("c", round))
		epochs := make([]string, 2*len(s.nodes))
		together(len(epochs), func(i int) {
			n := s.nodes[i%len(s.nodes)]
			if i < len(s.nodes) {
				res, err := await(t, func(done func(engine.HistoryResult, error)) {
					n.History(engine.HistoryRequest{Channel: ch, Retention: keep}, done)
				})
				if err != nil {
					t.Errorf("history: %v", err)
				}
				epochs[i] = res.Top.Epoch
				return
			}
			res, err := await(t, func(done func(engine.PublishResult, error)) { n.Publish(text(ch, keep, "x"), done) })
			if err != nil {
				t.Errorf("publish: %v", err)
			}
			epochs[i] = res.Epoch
		})
		if slices.Sort(epochs); epochs[0] == "" || len(slices.Compact(epochs)) != 1 {
			t.Errorf("epochs %q", epochs)
		}
	}
}

// keysHoldOnEveryNode: a repeat is known wherever it comes, also while the first
// is on its way.
func keysHoldOnEveryNode(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(100)
	for round := range 10 {
		results := make([]engine.PublishResult, 2*len(s.nodes))
		together(len(results), func(i int) {
			var err error
			results[i], err = await(t, func(done func(engine.PublishResult, error)) {
				s.nodes[i%len(s.nodes)].Publish(keyed(ch, keep, fmt.Sprint(i), fmt.Sprint(round)), done)
			})
			if err != nil {
				t.Errorf("publish: %v", err)
			}
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
}

// everyNodeRemoves: a removal takes its place among publications.
func everyNodeRemoves(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(100)
	for i, n := range s.nodes {
		s.fill(t, ch, keep, 3)
		_, err := await(t, func(done func(struct{}, error)) {
			n.RemoveHistory(ch, keep, func(err error) { done(struct{}{}, err) })
		})
		if err != nil {
			t.Errorf("remove: %v", err)
		}
		top := uint64(3 * (i + 1))
		for _, other := range s.nodes {
			soon(t, "the history is removed", func() bool {
				res, err := await(t, func(done func(engine.HistoryResult, error)) {
					other.History(engine.HistoryRequest{Channel: ch, Retention: keep, Limit: -1}, done)
				})
				return err == nil && res.Top.Offset == top && res.Oldest == top+1 && len(res.Publications) == 0
			})
		}
	}
}

// everyNodeSeesTheSame asks every node for the same page.
func everyNodeSeesTheSame(s *stage) {
	t := s.t
	chs := []channel.ID{s.channelOf("a"), s.channelOf("b")}
	keep := s.keep(5)
	for _, ch := range chs {
		s.fill(t, ch, keep, 8)
		for i, n := range s.nodes {
			res, err := await(t, func(done func(engine.HistoryResult, error)) {
				n.History(engine.HistoryRequest{Channel: ch, Retention: keep, Limit: -1}, done)
			})
			if err != nil || !slices.Equal(offsets(res), span(4, 8)) || res.Oldest != 4 {
				t.Errorf("node %d: %v of %d, %v", i+1, offsets(res), res.Oldest, err)
			}
		}
	}
}

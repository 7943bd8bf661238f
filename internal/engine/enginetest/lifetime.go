package enginetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

func control(s *stage) {
	t := s.t
	want := []engine.Control{
		{Op: engine.ControlDisconnect, App: "a", User: "u", Client: "s", Except: []string{"t"}, Code: 3503, Reason: "r"},
		{Op: engine.ControlUnsubscribe, App: "a", User: "u", Channel: "c"},
		{
			Op: engine.ControlSubscribe, App: "a", User: "u", Channel: "c",
			Options: engine.SubscribeOptions{Info: []byte("1"), Data: []byte("2"), ExpireAt: 9, Recover: &engine.Position{Epoch: "E", Offset: 1}},
		},
	}
	for i := range want {
		_, err := await(t, func(done func(struct{}, error)) {
			s.writer().Control(want[i], func(err error) { done(struct{}{}, err) })
		})
		if err != nil {
			t.Errorf("control: %v", err)
		}
	}
	_, err := await(t, func(done func(struct{}, error)) {
		c := engine.Control{Op: engine.ControlReceive, Node: "nobody", Client: "s", Data: []byte("x")}
		s.writer().Control(c, func(err error) { done(struct{}{}, err) })
	})
	if !errors.Is(err, engine.ErrUnknownNode) {
		t.Errorf("control of a node that is not there: %v", err)
	}
	for _, r := range s.recorders {
		r.until(t, "every control is told", func() bool { return len(r.control) >= len(want) })
		if got := r.controls(); !reflect.DeepEqual(got, want) {
			t.Errorf("told %+v", got)
		}
	}
	sent(s, len(want))
}

// sent: what one node sends another arrives there alone, in order, and done is called
// before Control returns.
func sent(s *stage, before int) {
	const messages = 100
	t := s.t
	for i := range messages {
		for _, node := range s.writer().Alive() {
			called, c := false, engine.Control{Op: engine.ControlRelay, Node: node, Data: []byte(fmt.Sprint(i))}
			s.writer().Control(c, func(err error) {
				if called = true; err != nil {
					t.Errorf("message %d: %v", i, err)
				}
			})
			if !called {
				t.Fatal("done is called late")
			}
		}
	}
	for _, r := range s.recorders[1:] {
		r.until(t, "every message has come", func() bool { return len(r.control) >= before+messages })
		for i, c := range r.controls()[before:] {
			if string(c.Data) != fmt.Sprint(i) || c.Op != engine.ControlRelay {
				t.Errorf("message %d is %+v", i, c)
			}
		}
	}
	if n := len(s.writerSeen().controls()); n != before {
		t.Errorf("the sender is told %d times", n)
	}
}

// closed: afterwards every question is answered, once, with ErrClosed.
func closed(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	keep := s.keep(10)
	s.fill(t, ch, keep, 1)
	e := s.writer()
	s.close(t)
	req := engine.HistoryRequest{Channel: ch, Retention: keep, Limit: -1}
	ask := func(what string, fn func(done func(any, error))) {
		t.Helper()
		if _, err := await(t, fn); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("%s: %v, want %v", what, err, engine.ErrClosed)
		}
	}
	ask("publish", func(done func(any, error)) {
		e.Publish(text(ch, keep, "x"), func(r engine.PublishResult, err error) { done(r, err) })
	})
	ask("publish without history", func(done func(any, error)) {
		e.Publish(text(ch, engine.Retention{}, "x"), func(r engine.PublishResult, err error) { done(r, err) })
	})
	ask("history", func(done func(any, error)) { e.History(req, func(r engine.HistoryResult, err error) { done(r, err) }) })
	ask("remove", func(done func(any, error)) { e.RemoveHistory(ch, keep, func(err error) { done(nil, err) }) })
	ask("members", func(done func(any, error)) { e.Members(ch, func(m engine.Members, err error) { done(m, err) }) })
	ask("stats", func(done func(any, error)) { e.Stats(ch, func(st engine.PresenceStats, err error) { done(st, err) }) })
	ask("control", func(done func(any, error)) {
		e.Control(engine.Control{Op: engine.ControlDisconnect}, func(err error) { done(nil, err) })
	})
	e.Join(ch, &engine.ClientInfo{Client: "1"}, both)
	e.Leave(ch, &engine.ClientInfo{Client: "1"}, both)
	if handed := s.writerSeen().of(ch); len(handed) != 1 {
		t.Errorf("%d handed over, one was published before", len(handed))
	}
}

// closeAnswers: what is under way while the engine closes is answered once, and
// what is answered without an error on disk is there afterwards.
func closeAnswers(s *stage) {
	t := s.t
	const publishers = 8
	ch := s.channelOf("c")
	keep := s.keep(1_000_000)
	var asked, answered atomic.Int64
	var mu sync.Mutex
	acked := make(map[uint64]string)
	e, begun := s.writer(), make(chan struct{})
	var once sync.Once
	var running sync.WaitGroup
	for i := range publishers {
		running.Go(func() {
			for n, open := 0, true; open; n++ {
				data := fmt.Sprintf("%d-%d", i, n)
				asked.Add(1)
				res, err := await(t, func(done func(engine.PublishResult, error)) { e.Publish(text(ch, keep, data), done) })
				answered.Add(1)
				switch {
				case err == nil:
					mu.Lock()
					acked[res.Offset] = data
					mu.Unlock()
				case !errors.Is(err, engine.ErrClosed):
					t.Errorf("publish: %v", err)
				}
				open = err == nil
				if n == 20 {
					once.Do(func() { close(begun) })
				}
			}
		})
	}
	<-begun
	s.close(t)
	running.Wait()
	if asked.Load() != answered.Load() {
		t.Errorf("%d answers to %d publishes", answered.Load(), asked.Load())
	}
	if !s.disk() {
		return
	}
	s.reopen(t)
	kept := make(map[uint64]string)
	for _, p := range s.history(t, ch, keep).Publications {
		kept[p.Offset] = string(p.Data)
	}
	for offset, data := range acked {
		if kept[offset] != data {
			t.Errorf("offset %d was acknowledged with %q and holds %q", offset, data, kept[offset])
		}
	}
}

// allAtOnce lets everything happen at the same time; readers check that pages are
// dense, and that no offset ever changes what it holds.
func allAtOnce(s *stage) {
	t := s.t
	const workers, rounds = 4, 60
	ch := s.channelOf("c")
	keep := s.keep(20)
	seen := &contents{at: make(map[uint64]string)}
	together(4*workers, func(i int) {
		for n := range rounds {
			switch i % 4 {
			case 0, 1:
				if _, err := s.try(t, text(ch, keep, fmt.Sprintf("%d-%d", i, n))); err != nil {
					t.Errorf("publish: %v", err)
				}
			case 2:
				s.read(t, ch, keep, n%2 == 0, seen)
			case 3:
				s.disturb(t, ch, keep, i, n)
			}
		}
	})
	soon(t, "everything published is counted", func() bool { return s.history(t, ch, keep).Top.Offset >= 2*workers*rounds })
	for _, h := range s.writerSeen().of(ch) {
		if h.pub.Offset > 0 {
			seen.check(t, h.pub)
		}
	}
}

// contents is what offsets were seen to hold.
type contents struct {
	mu sync.Mutex
	at map[uint64]string
}

func (c *contents) check(t *testing.T, p *engine.Publication) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, known := c.at[p.Offset]; known && was != string(p.Data) {
		t.Errorf("offset %d held %q, holds %q", p.Offset, was, p.Data)
	}
	c.at[p.Offset] = string(p.Data)
}

func (s *stage) read(t *testing.T, ch channel.ID, r engine.Retention, reverse bool, seen *contents) {
	t.Helper()
	res, err := s.ask(t, engine.HistoryRequest{Channel: ch, Retention: r, Limit: -1, Reverse: reverse})
	if err != nil {
		t.Errorf("history: %v", err)
		return
	}
	got := offsets(res)
	if len(got) > 0 && !slices.Equal(got, span(got[0], got[len(got)-1])) {
		t.Errorf("a page holds %v", got)
	}
	for _, p := range res.Publications {
		if p.Offset > res.Top.Offset || p.Offset < res.Oldest {
			t.Errorf("offset %d of %d to %d", p.Offset, res.Oldest, res.Top.Offset)
		}
		seen.check(t, p)
	}
}

// disturb does what must not matter to publishers and readers.
func (s *stage) disturb(t *testing.T, ch channel.ID, r engine.Retention, i, n int) {
	t.Helper()
	e := s.writer()
	info := &engine.ClientInfo{User: "u", Client: fmt.Sprint(i)}
	switch n % 6 {
	case 0:
		e.Join(ch, info, both)
	case 1:
		e.Leave(ch, info, both)
	case 2:
		skipped := text(ch, r, "skipped")
		skipped.SkipHistory = true
		s.repeat(t, skipped)
	case 3:
		s.repeat(t, text(ch, engine.Retention{Size: 5, TTL: r.TTL, MetaTTL: r.MetaTTL, Durability: r.Durability}, fmt.Sprintf("d%d-%d", i, n)))
	case 4:
		e.Follow(ch)
		e.Unfollow(ch)
	case 5:
		if n%12 == 5 {
			s.remove(t, ch, r)
		}
	}
}

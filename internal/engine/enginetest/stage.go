package enginetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// stage is an open deployment that a test plays on. It publishes on the first
// node and reads on the last, which may be the same.
type stage struct {
	t          *testing.T
	d          Deployment
	durability channel.Durability
	nodes      []engine.Engine
	recorders  []*recorder
}

func open(t *testing.T, d Deployment, durability channel.Durability) *stage {
	t.Helper()
	d.Nodes = max(d.Nodes, 1)
	s := &stage{t: t, d: d, durability: durability}
	s.reopen(t)
	t.Cleanup(func() { s.close(t) })
	return s
}

// reopen closes the nodes and opens them on the same data, with new recorders.
func (s *stage) reopen(t *testing.T) {
	t.Helper()
	s.close(t)
	s.recorders = nil
	followers := make([]engine.Follower, s.d.Nodes)
	for i := range followers {
		r := newRecorder(t)
		s.recorders = append(s.recorders, r)
		followers[i] = r
	}
	s.nodes = s.d.Open(t, followers)
	if len(s.nodes) != s.d.Nodes {
		t.Fatalf("%d nodes were opened, want %d", len(s.nodes), s.d.Nodes)
	}
}

// close closes every node that is open.
func (s *stage) close(t *testing.T) {
	t.Helper()
	for _, n := range s.nodes {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	s.nodes = nil
}

func (s *stage) writer() engine.Engine    { return s.nodes[0] }
func (s *stage) reader() engine.Engine    { return s.nodes[len(s.nodes)-1] }
func (s *stage) writerSeen() *recorder    { return s.recorders[0] }
func (s *stage) disk() bool               { return s.durability == channel.Disk }
func (s *stage) follow(chs ...channel.ID) { s.each(chs, engine.Engine.Follow) }

func (s *stage) each(chs []channel.ID, do func(engine.Engine, channel.ID)) {
	for _, n := range s.nodes {
		for _, ch := range chs {
			do(n, ch)
		}
	}
}

// keep is the retention of so many publications for a long time.
func (s *stage) keep(size int) engine.Retention {
	return engine.Retention{Size: size, TTL: time.Hour, MetaTTL: 24 * time.Hour, Durability: s.durability}
}

// channelOf is a channel of the test app that every node follows.
func (s *stage) channelOf(name string) channel.ID {
	ch := channel.ID{App: "app", Name: name}
	s.follow(ch)
	return ch
}

// await turns a method with a done function into a call that returns, and faults
// a second answer.
func await[T any](t *testing.T, ask func(done func(T, error))) (T, error) {
	t.Helper()
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	var times atomic.Int32
	ask(func(v T, err error) {
		if times.Add(1) > 1 {
			t.Error("done was called twice")
			return
		}
		answers <- answer{v, err}
	})
	select {
	case a := <-answers:
		return a.value, a.err
	case <-time.After(patience):
		t.Error("done was never called")
		var none T
		return none, errors.New("no answer")
	}
}

// try publishes on the first node.
func (s *stage) try(t *testing.T, req engine.PublishRequest) (engine.PublishResult, error) {
	t.Helper()
	return await(t, func(done func(engine.PublishResult, error)) { s.writer().Publish(req, done) })
}

// publish publishes on the first node and waits until every node was told.
func (s *stage) publish(t *testing.T, req engine.PublishRequest) engine.PublishResult {
	t.Helper()
	res, err := s.try(t, req)
	if err != nil {
		t.Fatalf("publish to %s: %v", req.Channel, err)
	}
	if res.Offset > 0 {
		for _, r := range s.recorders {
			r.until(t, fmt.Sprintf("%s at %v is handed over", req.Channel, res.Position), func() bool {
				last := r.last[req.Channel]
				return last.Epoch == res.Epoch && last.Offset >= res.Offset
			})
		}
	}
	return res
}

// text is a request to publish a word.
func text(ch channel.ID, r engine.Retention, data string) engine.PublishRequest {
	return engine.PublishRequest{Channel: ch, Retention: r, Publication: engine.Publication{Data: []byte(data)}}
}

// fill publishes "1" to "n".
func (s *stage) fill(t *testing.T, ch channel.ID, r engine.Retention, n int) (last engine.PublishResult) {
	t.Helper()
	for i := range n {
		last = s.publish(t, text(ch, r, fmt.Sprint(i+1)))
	}
	return last
}

// ask reads on the last node.
func (s *stage) ask(t *testing.T, req engine.HistoryRequest) (engine.HistoryResult, error) {
	t.Helper()
	return await(t, func(done func(engine.HistoryResult, error)) { s.reader().History(req, done) })
}

// history reads all that is kept.
func (s *stage) history(t *testing.T, ch channel.ID, r engine.Retention) engine.HistoryResult {
	t.Helper()
	res, err := s.ask(t, engine.HistoryRequest{Channel: ch, Retention: r, Limit: -1})
	if err != nil {
		t.Fatalf("history of %s: %v", ch, err)
	}
	return res
}

// remove removes the history of a channel, and waits until it is gone on every
// node.
func (s *stage) remove(t *testing.T, ch channel.ID, r engine.Retention) {
	t.Helper()
	_, err := await(t, func(done func(struct{}, error)) {
		s.writer().RemoveHistory(ch, r, func(err error) { done(struct{}{}, err) })
	})
	if err != nil {
		t.Errorf("remove history of %s: %v", ch, err)
	}
	if len(s.nodes) == 1 || !r.Kept() {
		return
	}
	req := engine.HistoryRequest{Channel: ch, Retention: r}
	left, err := await(t, func(done func(engine.HistoryResult, error)) { s.writer().History(req, done) })
	if err != nil {
		t.Errorf("history of %s: %v", ch, err)
		return
	}
	soon(t, "the history of "+ch.Name+" is removed everywhere", func() bool {
		res, err := s.ask(t, req)
		return err == nil && res.Oldest >= left.Oldest
	})
}

// soon waits for what other nodes see a little later than the one that did it.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// offsets are those of a page.
func offsets(res engine.HistoryResult) []uint64 {
	var list []uint64
	for _, p := range res.Publications {
		list = append(list, p.Offset)
	}
	return list
}

// span is from, …, to; also downwards. 0 to 0 is nothing.
func span(from, to uint64) []uint64 {
	var list []uint64
	switch {
	case from == 0:
	case from <= to:
		for o := from; o <= to; o++ {
			list = append(list, o)
		}
	default:
		for o := from; o >= to; o-- {
			list = append(list, o)
		}
	}
	return list
}

// together runs n functions at the same time and waits for them.
func together(n int, run func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { run(i) })
	}
	wg.Wait()
}

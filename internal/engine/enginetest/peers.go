package enginetest

import (
	"slices"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// Answer makes a recorder an engine.Respondent.
func (*recorder) Answer(question []byte) []byte {
	if len(question) == 0 {
		return nil
	}
	return append([]byte("re: "), question...)
}

// Shared implements engine.Respondent.
func (r *recorder) Shared(keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shared = append(r.shared, keys...)
	close(r.changed)
	r.changed = make(chan struct{})
}

// comes waits for what happens on one node to be known on others.
func comes(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to be that %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// All others answer, each once, and several questions at once do not mix.
func asked(s *stage) {
	t := s.t
	others := len(s.nodes) - 1
	together(8, func(i int) {
		question := []byte{'q', byte('0' + i)}
		answers, err := await(t, func(done func([]engine.Answer, error)) { s.nodes[i%len(s.nodes)].Ask(question, done) })
		if err != nil || len(answers) != others {
			t.Errorf("%d of %d answers, %v", len(answers), others, err)
		}
		from := make(map[string]bool)
		for _, a := range answers {
			from[a.Node] = true
			if string(a.Data) != "re: "+string(question) {
				t.Errorf("%s answers %q", a.Node, a.Data)
			}
		}
		if len(from) != others {
			t.Errorf("answers are of %v", from)
		}
	})
	if others == 0 {
		return
	}
	// What somebody does not understand has no answer.
	if answers, err := await(t, func(done func([]engine.Answer, error)) { s.writer().Ask(nil, done) }); err == nil {
		t.Errorf("%d answers to what nobody understands", len(answers))
	}
}

// What a node has of a key is known on all others, who are told that it is.
func shared(s *stage) {
	t := s.t
	others := len(s.nodes) - 1
	for i, n := range s.nodes {
		n.Count("k", 1+i)
		n.Count("gone", 1)
		n.Count("gone", -1)
		n.Count("never", -1)
	}
	for i, n := range s.nodes {
		want := len(s.nodes)*(len(s.nodes)+1)/2 - 1 - i
		comes(t, "counts are known", func() bool { return n.Others("k") == want })
		comes(t, "nobody has anything of other keys", func() bool { return n.Others("gone") == 0 && n.Others("never") == 0 })
		for key, have := range n.Shared() {
			if key != "k" || have != want {
				t.Errorf("node %d: others have %d of %s", i+1, have, key)
			}
		}
		if others > 0 {
			s.recorders[i].until(t, "the Follower is told", func() bool { return slices.Contains(s.recorders[i].shared, "k") })
		}
	}
	s.writer().Count("k", -1)
	if others > 0 {
		comes(t, "a count falls", func() bool { return s.reader().Others("k") == len(s.nodes)*(len(s.nodes)-1)/2-1 })
	}
}

// All agree on the owner of a key, which is one of them.
func owned(s *stage) {
	t := s.t
	for _, key := range []string{"a", "b", "c", "d"} {
		mine, names := 0, make(map[string]bool)
		for _, n := range s.nodes {
			name, own := n.Owner(key)
			names[name] = true
			if own {
				mine++
			}
		}
		if mine != 1 || len(names) != 1 {
			t.Errorf("%d nodes own %s: %v", mine, key, names)
		}
	}
	for i, n := range s.nodes {
		if alive := n.Alive(); len(alive) != len(s.nodes)-1 {
			t.Errorf("node %d sees %v", i+1, alive)
		}
	}
}

package enginetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

const both = engine.Track | engine.Announce

// expect waits until every node's view of a channel has these sessions and users,
// and every node was told of these joins and leaves.
func (s *stage) expect(t *testing.T, ch channel.ID, clients, users int, joins, leaves []string) {
	t.Helper()
	for _, r := range s.recorders {
		r.until(t, "joins and leaves are announced", func() bool {
			return len(r.joins) >= len(joins) && len(r.leaves) >= len(leaves)
		})
		r.mu.Lock()
		if !slices.Equal(r.joins, joins) || !slices.Equal(r.leaves, leaves) {
			t.Errorf("joins %q and leaves %q, want %q and %q", r.joins, r.leaves, joins, leaves)
		}
		r.mu.Unlock()
	}
	for i, n := range s.nodes {
		see := s.see(t, n, ch)
		for deadline := time.Now().Add(patience); i > 0 && !see.is(clients, users) && time.Now().Before(deadline); {
			<-time.After(time.Millisecond) // what happens on one node is seen on the others a little later
			see = s.see(t, n, ch)
		}
		if !see.is(clients, users) {
			t.Errorf("node %d sees members %v and %+v, want %d and %d", i+1, see.members, see.stats, clients, users)
		}
		for id, info := range see.members {
			if info.Client != id {
				t.Errorf("%s is listed as %s", info.Client, id)
			}
		}
	}
}

// sight is what a node sees of a channel.
type sight struct {
	members engine.Members
	stats   engine.PresenceStats
}

func (s sight) is(clients, users int) bool {
	return len(s.members) == clients && s.stats == (engine.PresenceStats{Clients: clients, Users: users})
}

func (s *stage) see(t *testing.T, n engine.Engine, ch channel.ID) (seen sight) {
	t.Helper()
	var err error
	if seen.members, err = await(t, func(done func(engine.Members, error)) { n.Members(ch, done) }); err != nil {
		t.Errorf("members: %v", err)
	}
	if seen.stats, err = await(t, func(done func(engine.PresenceStats, error)) { n.Stats(ch, done) }); err != nil {
		t.Errorf("stats: %v", err)
	}
	return seen
}

func presence(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	e := s.writer()
	s.expect(t, ch, 0, 0, nil, nil)
	e.Join(ch, &engine.ClientInfo{User: "u", Client: "1"}, both)
	s.expect(t, ch, 1, 1, []string{"app/c 1+"}, nil)
	e.Join(ch, &engine.ClientInfo{User: "u", Client: "1", ChanInfo: []byte(`"new"`)}, both)
	s.expect(t, ch, 1, 1, []string{"app/c 1+"}, nil)
	members, err := await(t, func(done func(engine.Members, error)) { e.Members(ch, done) })
	if err != nil || members["1"] == nil || string(members["1"].ChanInfo) != `"new"` {
		t.Errorf("the second join's info is not shown: %+v, %v", members["1"], err)
	}
	e.Leave(ch, &engine.ClientInfo{User: "u", Client: "1"}, both)
	e.Leave(ch, &engine.ClientInfo{User: "u", Client: "1"}, both)
	s.expect(t, ch, 0, 0, []string{"app/c 1+"}, []string{"app/c 1+"})
	if len(members) != 1 {
		t.Error("a view that was handed out has changed")
	}
	e.Leave(s.channelOf("nobody"), &engine.ClientInfo{Client: "1"}, both)
	e.Join(ch, &engine.ClientInfo{User: "u", Client: "1"}, both)
	s.expect(t, ch, 1, 1, []string{"app/c 1+", "app/c 1+"}, []string{"app/c 1+"})
}

func presenceUsers(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	e := s.writer()
	join := func(user, client string) {
		e.Join(ch, &engine.ClientInfo{User: user, Client: client}, engine.Track)
	}
	join("u", "1")
	join("u", "2")
	join("v", "3")
	join("", "4")
	join("", "5")
	s.expect(t, ch, 5, 3, nil, nil)
	join("v", "2") // a session that has become another user's
	s.expect(t, ch, 5, 3, nil, nil)
	join("v", "1")
	s.expect(t, ch, 5, 2, nil, nil)
	for _, client := range []string{"1", "2", "3"} {
		e.Leave(ch, &engine.ClientInfo{User: "v", Client: client}, engine.Track)
	}
	s.expect(t, ch, 2, 1, nil, nil)
}

// A user is told of as new with the first session, and as gone with the last.
func presenceEdges(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	e := s.writer()
	info := func(user, client string) *engine.ClientInfo { return &engine.ClientInfo{User: user, Client: client} }
	e.Join(ch, info("u", "1"), both)
	e.Join(ch, info("u", "2"), both)
	e.Join(ch, info("", "3"), both)
	e.Join(ch, info("", "4"), both)
	e.Leave(ch, info("other", "1"), both) // what it joined with counts
	e.Leave(ch, info("u", "2"), both)
	e.Leave(ch, info("", "3"), both)
	s.expect(t, ch, 1, 1, []string{"app/c 1+", "app/c 2", "app/c 3+", "app/c 4+"}, []string{"app/c 1", "app/c 2+", "app/c 3+"})
}

// A view of the members is what has been told up to then, no more and no less.
func presenceInLine(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	e, told := s.writer(), s.writerSeen()
	const rounds = 200
	var busy sync.WaitGroup
	for _, client := range []string{"1", "2", "3"} {
		busy.Go(func() {
			for range rounds {
				e.Join(ch, &engine.ClientInfo{User: client, Client: client}, both)
				e.Leave(ch, &engine.ClientInfo{User: client, Client: client}, both)
			}
		})
	}
	for range rounds {
		_, err := await(t, func(done func(struct{}, error)) {
			e.Members(ch, func(view engine.Members, err error) {
				told.mu.Lock()
				defer told.mu.Unlock()
				if n := len(told.joins) - len(told.leaves); n != len(view) {
					t.Errorf("%d members are seen, %d were told", len(view), n)
				}
				done(struct{}{}, err)
			})
		})
		if err != nil {
			t.Error(err)
		}
	}
	busy.Wait()
}

// Announced without being tracked, a session is in no view, and every call is
// announced.
func presenceNotices(s *stage) {
	t := s.t
	ch := s.channelOf("c")
	e := s.writer()
	info := &engine.ClientInfo{User: "u", Client: "1"}
	e.Join(ch, info, engine.Announce)
	e.Leave(ch, info, engine.Announce)
	s.expect(t, ch, 0, 0, []string{"app/c 1+"}, []string{"app/c 1+"})
	e.Join(ch, info, engine.Track)
	e.Leave(ch, info, engine.Track)
	s.expect(t, ch, 0, 0, []string{"app/c 1+"}, []string{"app/c 1+"})
}

func presenceApps(s *stage) {
	t := s.t
	one, two := channel.ID{App: "one", Name: "c"}, channel.ID{App: "two", Name: "c"}
	s.follow(one, two)
	s.writer().Join(one, &engine.ClientInfo{User: "u", Client: "1"}, engine.Track)
	s.writer().Join(two, &engine.ClientInfo{User: "u", Client: "2"}, engine.Track)
	s.writer().Leave(two, &engine.ClientInfo{User: "u", Client: "1"}, engine.Track)
	s.expect(t, one, 1, 1, nil, nil)
	s.expect(t, two, 1, 1, nil, nil)
}

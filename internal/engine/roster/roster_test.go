package roster

import (
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
)

func member(user, client string, node uint32) Member {
	return Member{Info: &engine.ClientInfo{User: user, Client: client}, Node: node}
}

func TestRoster(t *testing.T) {
	r := New()
	for _, step := range []struct {
		what         string
		add          bool
		user, client string
		node         uint32
		told, edge   bool // whether it is new, or was there
		clients      int
		users        int
	}{
		{"the first of a user", true, "u", "1", 0, true, true, 1, 1},
		{"the second, elsewhere", true, "u", "2", 7, true, false, 2, 1},
		{"the second again", true, "u", "2", 7, false, false, 2, 1},
		{"nobody in particular", true, "", "3", 0, true, true, 3, 2},
		{"another nobody", true, "", "4", 0, true, true, 4, 2},
		{"the first leaves", false, "", "1", 0, true, false, 3, 2},
		{"and leaves again", false, "", "1", 0, false, false, 3, 2},
		{"a node speaks of another's session", false, "", "2", 0, false, false, 3, 2},
		{"the last of the user leaves", false, "", "2", 7, true, true, 2, 1},
		{"a nobody leaves", false, "", "3", 0, true, true, 1, 1},
		{"who stays becomes somebody", true, "u", "4", 0, false, true, 1, 1},
		{"and leaves", false, "", "4", 0, true, true, 0, 0},
	} {
		var told, edge bool
		if step.add {
			told, edge = r.Add(member(step.user, step.client, step.node))
		} else {
			_, edge, told = r.Remove(step.client, step.node)
		}
		stats := r.Stats()
		if told != step.told || told && edge != step.edge || stats != (engine.PresenceStats{Clients: step.clients, Users: step.users}) {
			t.Errorf("%s: told %v, edge %v, %+v", step.what, told, edge, stats)
		}
		if n := len(r.Members()); n != step.clients {
			t.Errorf("%s: %d members are seen", step.what, n)
		}
	}
	if !r.Empty() {
		t.Error("somebody is left")
	}
}

package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Clocks of nodes may differ by an hour: all nodes still have the same history, its
// times never go back, and a repeat is known on every node.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	on := newCast(t, 3)
	truth, engines := newTruth(), make([]*Engine, 3)
	for i, off := range []time.Duration{0, time.Hour, -time.Hour} {
		engines[i] = on.open(i, Config{Name: "clocks", Now: func() time.Time { return time.Now().Add(off) }}, newAudience(t, truth))
	}
	t.Cleanup(func() { closeAll(t, engines...) })
	ready(t, engines...)
	disk := keep(1000, channel.Disk)
	disk.TTL, disk.MetaTTL = 24*time.Hour, 48*time.Hour
	for n := range 60 {
		publish(t, engines[n%3], named(0), disk, fmt.Sprint(n))
	}
	keyed := await(t, send(engines[1], named(0), disk, "keyed", "k"))
	if keyed.err != nil {
		t.Fatal(keyed.err)
	}
	for i, e := range engines {
		if again := await(t, send(e, named(0), disk, "again", "k")); again.err != nil || !again.Duplicate || again.Position != keyed.Position {
			t.Errorf("node %d: the repeat of %+v is %+v", i+1, keyed, again)
		}
		eventually(t, fmt.Sprintf("node %d has all", i+1), func() bool {
			return await(t, ask(e, named(0), disk, nil)).Top == keyed.Position
		})
		got := history(t, e, named(0), disk, truth)
		if len(got.Publications) != 61 {
			t.Errorf("node %d has %d publications", i+1, len(got.Publications))
		}
		for j := 1; j < len(got.Publications); j++ {
			if got.Publications[j].Time < got.Publications[j-1].Time {
				t.Errorf("node %d: time goes back at %d", i+1, got.Publications[j].Offset)
			}
		}
	}
}

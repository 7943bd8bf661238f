package bus

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Whatever is lost on the way, in the end every node sees who is there, and what it
// was told adds up to that: nobody comes twice or leaves twice.
func TestPresenceConverges(t *testing.T) {
	nodes := cluster(t, 3, servers(t, 2), func(int) Config {
		return Config{MaxInbound: 64, Beat: 50 * time.Millisecond, Dead: time.Hour}
	})
	for _, n := range nodes {
		for _, ch := range chaosChannels {
			n.Follow(ch)
		}
	}
	truth := disturbAll(t, nodes, false)
	lost := uint64(0)
	for _, n := range nodes {
		for _, ch := range chaosChannels {
			n.comesToSeeAll(t, ch, truth[ch])
			addsUp(t, n, ch, truth[ch])
		}
		lost += n.Counters().Missed
	}
	if lost == 0 {
		t.Error("nothing was lost, so that nothing is shown")
	}
}

// So they do when interest comes and goes.
func TestPresenceConvergesWhoeverListens(t *testing.T) {
	nodes := cluster(t, 3, servers(t, 2), func(int) Config {
		return Config{MaxInbound: 256, Beat: 10 * time.Millisecond, Dead: time.Hour, Linger: time.Nanosecond}
	})
	truth := disturbAll(t, nodes, true)
	for _, n := range nodes {
		for _, ch := range chaosChannels {
			n.comesToSeeAll(t, ch, truth[ch])
		}
	}
}

var chaosChannels = []channel.ID{room, {App: "default", Name: "a"}, {App: "other", Name: "a"}}

func (n *node) comesToSeeAll(t *testing.T, ch channel.ID, truth map[string]string) {
	t.Helper()
	users := slices.Compact(slices.Sorted(maps.Values(truth)))
	n.comesToSee(t, ch, strings.Join(slices.Sorted(maps.Keys(truth)), " "), len(users))
}

// disturbAll disturbs nodes at the same time and yields who is there then: users by
// session.
func disturbAll(t *testing.T, nodes []*node, churn bool) map[channel.ID]map[string]string {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	truth := make(map[channel.ID]map[string]string)
	for _, ch := range chaosChannels {
		truth[ch] = make(map[string]string)
	}
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			present := disturb(n, i, rand.New(rand.NewPCG(seed, uint64(i))), churn)
			mu.Lock()
			defer mu.Unlock()
			for ch, sessions := range present {
				maps.Copy(truth[ch], sessions)
			}
		})
	}
	wg.Wait()
	return truth
}

// disturb lets sessions of a node come and go and yields who is left. Now and then
// the node stands still while others talk, until messages are dropped; with churn
// it follows and unfollows channels.
func disturb(n *node, index int, random *rand.Rand, churn bool) map[channel.ID]map[string]string {
	present := make(map[channel.ID]map[string]string)
	for _, ch := range chaosChannels {
		present[ch] = make(map[string]string)
	}
	for step := range 3000 {
		ch := chaosChannels[random.IntN(len(chaosChannels))]
		number := random.IntN(20)
		client, user := fmt.Sprintf("%d-%d", index, number), fmt.Sprint("user", number%7)
		_, here := present[ch][client]
		switch {
		case step%500 == 100*index:
			n.ear.gate.Lock()
		case step%500 == 100*index+99:
			n.ear.gate.Unlock()
		case step%500/100 == index: // whoever is told waits at the gate
		case churn && step%10 == 0:
			n.Follow(ch)
		case churn && step%10 == 5:
			n.Unfollow(ch)
		case here:
			n.Leave(ch, session(user, client), both)
			delete(present[ch], client)
		default:
			n.Join(ch, session(user, client), both)
			present[ch][client] = user
		}
	}
	return present
}

// addsUp faults what a node was told of a channel unless every session and every
// user came and went in turn, and who is there came last.
func addsUp(t *testing.T, n *node, ch channel.ID, truth map[string]string) {
	t.Helper()
	here, edges := make(map[string]bool), 0
	for _, said := range n.told(ch) {
		what, client, _ := strings.Cut(strings.TrimSuffix(said, "+"), " ")
		joins := what == "join"
		if here[client] == joins {
			t.Errorf("%s was told %q of one for whom that was so", n.cfg.Name, said)
		}
		here[client] = joins
		if strings.HasSuffix(said, "+") {
			edges += map[bool]int{true: 1, false: -1}[joins]
		}
	}
	for client, is := range here {
		if _, should := truth[client]; is != should {
			t.Errorf("%s was told that %s is there: %v", n.cfg.Name, client, is)
		}
	}
	if users := len(slices.Compact(slices.Sorted(maps.Values(truth)))); edges != users {
		t.Errorf("%s was told of %d users more who came than went, there are %d", n.cfg.Name, edges, users)
	}
}

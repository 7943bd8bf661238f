package enginetest

import (
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Deployment is one set of nodes with data of their own.
type Deployment struct {
	// Open opens one node for each Follower, and attaches it. It is called again
	// on the same data after every node was closed. The suite closes them.
	Open func(t *testing.T, followers []engine.Follower) []engine.Engine
	// Advance moves the clock of every node. nil: the deployment lives in real
	// time, and what takes minutes is not asked of it.
	Advance func(d time.Duration)
	Nodes   int // how many Open opens; 0: one
	// KeepsMemory says that what is kept in RAM is kept outside of the nodes, so
	// that it outlives them.
	KeepsMemory bool
}

// Run asks everything of the contract. deploy is called for each test anew;
// durabilities are those that the engine offers.
func Run(t *testing.T, durabilities []channel.Durability, deploy func(t *testing.T) Deployment) {
	t.Helper()
	for _, d := range durabilities {
		t.Run(string(d), func(t *testing.T) {
			for _, tt := range withHistory() {
				t.Run(tt.name, func(t *testing.T) { tt.run(open(t, deploy(t), d)) })
			}
			if deploy(t).Advance == nil {
				return
			}
			for _, tt := range withClock() {
				t.Run(tt.name, func(t *testing.T) { tt.run(open(t, deploy(t), d)) })
			}
		})
	}
	for _, tt := range withoutHistory() {
		t.Run(tt.name, func(t *testing.T) { tt.run(open(t, deploy(t), channel.Memory)) })
	}
}

type test struct {
	name string
	run  func(s *stage)
}

// withHistory are asked for every durability.
func withHistory() []test {
	return []test{
		{"offsets are dense", offsetsAreDense},
		{"order of calls", orderOfCalls},
		{"handed over before the reply", handedOverBeforeReply},
		{"readable before handed over", readableBeforeHandedOver},
		{"content stays whole", contentStaysWhole},
		{"a new channel has a position", newChannelHasPosition},
		{"pages", pages},
		{"pages stay as they were", pagesStay},
		{"remove history", removeHistory},
		{"retention changes", retentionChanges},
		{"skip history", skipHistory},
		{"apps are apart", appsAreApart},
		{"an app has a quota", appHasQuota},
		{"a repeat is stored once", repeatIsStoredOnce},
		{"repeats at once", repeatsAtOnce},
		{"scope of keys", scopeOfKeys},
		{"a key outlives its publication", keyOutlivesPublication},
		{"reopened", reopened},
		{"closed", closed},
		{"close answers what is in flight", closeAnswers},
		{"all at once", allAtOnce},
		{"every node publishes", everyNodePublishes},
		{"positions hold on every node", positionsHoldOnEveryNode},
		{"a new channel on every node", newChannelOnEveryNode},
		{"keys hold on every node", keysHoldOnEveryNode},
		{"every node removes", everyNodeRemoves},
		{"every node sees the same", everyNodeSeesTheSame},
	}
}

// withClock are asked for every durability of a deployment that can move time.
func withClock() []test {
	return []test{
		{"ttl", ttl},
		{"meta ttl", metaTTL},
		{"window of keys", windowOfKeys},
		{"time never falls", timeNeverFalls},
	}
}

// withoutHistory have nothing to do with what is kept.
func withoutHistory() []test {
	return []test{
		{"without history", noHistory},
		{"without history a repeat is told once", noHistoryRepeat},
		{"without history in order", noHistoryOrder},
		{"presence", presence},
		{"presence counts users", presenceUsers},
		{"presence tells users from sessions", presenceEdges},
		{"presence is read in line with what is told", presenceInLine},
		{"presence is announced as told", presenceNotices},
		{"presence is of an app", presenceApps},
		{"control", control},
		{"all nodes are asked", asked},
		{"counts are shared", shared},
		{"a key has one owner", owned},
		{"status", status},
	}
}

package hubtest

import (
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// New makes a hub of so many shards that no engine is behind, and that takes no token;
// change, where it is not nil, has the last word on its Config. Its caller shuts it
// down.
func New(tb testing.TB, newLoop func(*hub.Shard) hub.Loop, shards int, change func(*hub.Config)) *hub.Hub {
	tb.Helper()
	ns, err := channel.NewNamespaces(channel.Options{}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	cfg := hub.Config{Engine: noEngine{}, Namespaces: ns, Auth: nobody{}, NewLoop: newLoop, Shards: shards}
	if change != nil {
		change(&cfg)
	}
	h, err := hub.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// noEngine fulfils of the contract what a hub needs without publications. All else
// panics.
type noEngine struct{ engine.Engine }

func (noEngine) Attach(engine.Follower) {}
func (noEngine) Alive() []string        { return nil }

type nobody struct{}

func (nobody) Connection(string) (*channel.Identity, error) { return nil, channel.ErrTokenInvalid }

func (nobody) Subscription(string) (*channel.SubscriptionGrant, error) {
	return nil, channel.ErrTokenInvalid
}

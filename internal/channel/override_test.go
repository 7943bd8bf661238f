package channel

import (
	"testing"
	"time"
)

func TestOverride(t *testing.T) {
	all := func(c Choice) Override {
		return Override{Presence: c, JoinLeave: c, ForceRecovery: c, ForcePositioning: c, ForcePushJoinLeave: c}
	}
	kept := Options{HistorySize: 10, HistoryTTL: time.Hour}
	full := kept
	full.Presence, full.JoinLeave, full.ForcePushJoinLeave, full.ForcePositioning, full.ForceRecovery = true, true, true, true, true
	lossy := func(o Options) Options { o.SlowConsumer = DropOldest; return o }
	cache := func(o Options) Options { o.ForceRecoveryMode = RecoverCache; return o }
	told := kept
	told.Presence, told.JoinLeave, told.ForcePushJoinLeave = true, true, true
	latest := told
	latest.ForceRecovery = true
	for _, tt := range []struct {
		name    string
		over    Override
		channel string
		options Options
		want    Options
	}{
		{"nothing", Override{}, "a", full, full},
		{"nothing of nothing", Override{}, "a", kept, kept},
		{"everything on", all(On), "a", kept, full},
		{"everything off", all(Off), "a", full, kept},
		{"one", Override{Presence: On}, "a", kept, func() Options { o := kept; o.Presence = true; return o }()},
		{"a presence channel keeps its presence", Override{Presence: Off, JoinLeave: Off}, "presence-a", full, full},
		{"a stream that may lose is not positioned", all(On), "a", lossy(kept), lossy(told)},
		{"a cache that may lose can be recovered", all(On), "a", lossy(cache(kept)), lossy(cache(latest))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.over.Over(tt.options, tt.channel)
			if !same(&got, &tt.want) {
				t.Errorf("%+v\nwant %+v", got, tt.want)
			}
			if err := got.Check(); tt.channel == "a" && err != nil {
				t.Errorf("no namespace may be so: %v", err)
			}
		})
	}
}

// same compares what an Override can change, and what it must not.
func same(a, b *Options) bool {
	return a.Presence == b.Presence && a.JoinLeave == b.JoinLeave && a.ForcePushJoinLeave == b.ForcePushJoinLeave &&
		a.ForcePositioning == b.ForcePositioning && a.ForceRecovery == b.ForceRecovery &&
		a.HistorySize == b.HistorySize && a.SlowConsumer == b.SlowConsumer && a.ForceRecoveryMode == b.ForceRecoveryMode
}

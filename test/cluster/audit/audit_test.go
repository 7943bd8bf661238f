package main

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/audit/crowd"
	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/server"
)

var (
	faults = flag.Int("faults", 4, "how often the cluster is disturbed")
	seed   = flag.Uint64("seed", rand.Uint64(), "what all random decisions come from")
	limits = flag.Bool("limits", true, "judge limits of connections, too")
	only   = flag.String("only", "", "kinds of faults, with commas between; empty: all")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Three nodes keep every promise while they are killed, frozen, stopped, cut off
// and slowed under load.
func TestFaults(t *testing.T) {
	audited(t, config{faults: *faults, seed: *seed, only: kindsOf(*only), limits: *limits})
}

// The same where the network between nodes loses packets, and connections know
// nothing of it; where the machine does not allow that, by proxies.
func TestPartitions(t *testing.T) {
	audited(t, config{faults: partitions, seed: *seed, only: []string{"cut off", "cut link", "one way"}, namespaces: true})
}

const partitions = 1

func audited(t *testing.T, cfg config) {
	t.Helper()
	bin, err := server.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(cfg.faults+1)*perFault)
	defer cancel()
	cfg.bin, cfg.dir, cfg.recordFile = bin, t.TempDir(), filepath.Join(os.TempDir(), "fanfare-cluster-audit.json")
	cfg.progress = func(line string) { t.Log(line) }
	result, err := run(ctx, cfg)
	if errors.Is(err, trio.ErrNamespaces) {
		t.Logf("proxies in their place: %v", err)
		cfg.namespaces = false
		result, err = run(ctx, cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", result.table())
	t.Attr("summary", result.summary())
	if err := crowd.Judge(result.record, cfg.recordFile); err != nil {
		t.Error(err)
	}
	for _, ch := range result.record.Channels {
		if len(ch.Entries) == 0 {
			t.Errorf("%s was never published to", ch.Name)
		}
	}
}

// The same seed draws the same faults, and a round has every kind.
func TestPlan(t *testing.T) {
	say := func(cfg config) (text string, names map[string]int) {
		plan, err := planOf(cfg)
		if err != nil {
			t.Fatal(err)
		}
		names = map[string]int{}
		for _, f := range plan {
			text += f.String() + "\n"
			names[f.name]++
		}
		return text, names
	}
	one, names := say(config{faults: 2 * len(kinds), seed: 7})
	if again, _ := say(config{faults: 2 * len(kinds), seed: 7}); one != again {
		t.Errorf("seed 7 draws\n%s and\n%s", one, again)
	}
	if other, _ := say(config{faults: 2 * len(kinds), seed: 8}); one == other {
		t.Error("all seeds are alike")
	}
	for _, k := range kinds {
		if names[k.name] != 2 {
			t.Errorf("%d times %s in two rounds", names[k.name], k.name)
		}
	}
	if _, names := say(config{faults: 5, seed: 7, only: []string{"kill", "freeze"}}); len(names) != 2 {
		t.Errorf("%v", names)
	}
	if _, err := planOf(config{faults: 1, only: []string{"earthquake"}}); err == nil {
		t.Error("there is no such kind")
	}
}

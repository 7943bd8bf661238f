package main

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/audit/crowd"
	"github.com/fanfare-push/fanfare/test/server"
)

var (
	kills = flag.Int("kills", 20, "how often the server is killed")
	seed  = flag.Uint64("seed", rand.Uint64(), "what all random decisions come from")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Acknowledged publications survive kill -9, once each, in order; subscribers that
// come back with their position are shown exactly the sequence.
func TestKillNine(t *testing.T) {
	bin, err := server.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	result, err := run(ctx, config{bin: bin, dir: t.TempDir(), kills: *kills, seed: *seed, progress: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Attr("summary", result.summary())
	if err := crowd.Judge(&result.record, filepath.Join(os.TempDir(), "fanfare-audit.json")); err != nil {
		t.Error(err)
	}
	for _, ch := range result.record.Channels {
		if len(ch.Entries) == 0 {
			t.Errorf("%s was never published to", ch.Name)
		}
	}
}

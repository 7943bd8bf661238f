package node

import (
	"testing"
	"time"
	_ "unsafe" // for go:linkname
)

//go:linkname randElectionTimeout github.com/nats-io/nats-server/v2/server.randElectionTimeout
func randElectionTimeout() time.Duration

// NATS goes by what this package has set, and not by names that it has given up.
func TestElections(t *testing.T) {
	first, last := time.Hour, time.Duration(0)
	for range 1000 {
		d := randElectionTimeout()
		first, last = min(first, d), max(last, d)
	}
	if first < electsFirst || last > electsLast || last < electsFirst+(electsLast-electsFirst)/2 {
		t.Errorf("elects after %s to %s, want %s to %s", first, last, electsFirst, electsLast)
	}
}

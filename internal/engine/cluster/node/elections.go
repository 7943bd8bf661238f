package node

import (
	"time"
	_ "unsafe" // for go:linkname
)

// How long the followers of a log wait for word of its leader before they elect
// another. NATS waits 4 to 9 s and has no setting for it, which suits servers in
// different parts of the world; core nodes of Fanfare stand near each other, and
// while nobody leads nothing can be published. Raft is as safe with any of these:
// who elects too early elects in vain. docs/adr/0009-early-elections.md has the
// reasons; TestElections fails where NATS goes by others.
const (
	heartbeat   = 600 * time.Millisecond
	electsFirst = 2400 * time.Millisecond
	electsLast  = 4800 * time.Millisecond
)

//go:linkname natsHeartbeat github.com/nats-io/nats-server/v2/server.hbInterval
var natsHeartbeat time.Duration

//go:linkname natsElectsFirst github.com/nats-io/nats-server/v2/server.minElectionTimeout
var natsElectsFirst time.Duration

//go:linkname natsElectsLast github.com/nats-io/nats-server/v2/server.maxElectionTimeout
var natsElectsLast time.Duration

//nolint:gochecknoinits // NATS reads them on goroutines of its own, from the first server on
func init() { natsHeartbeat, natsElectsFirst, natsElectsLast = heartbeat, electsFirst, electsLast }

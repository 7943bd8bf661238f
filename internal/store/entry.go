package store

import (
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// EntryVersion is the newest version of log entries that this program applies.
// Each kind is written in the first version that has it, so that nodes of an older
// version apply what they know until there is something that they do not.
const EntryVersion = 2

// Kind says what a log entry does.
type Kind uint8

// The kinds of log entries.
const (
	Publish Kind = iota + 1 // a publication
	Create                  // a position for a channel that has none
	Remove                  // forget the publications, not the position
	Tick                    // only time passes
	Adopt                   // a piece of a channel of another log; since version 2
)

// version is the first that has the kind.
func (k Kind) version() uint8 {
	if k == Adopt {
		return 2
	}
	return 1
}

// Entry is one entry of the log that everything stored follows from. All that
// decides its effect is in it or in the state before it.
type Entry struct {
	Version   uint8
	Kind      Kind
	Time      int64 // Unix milliseconds at its writer
	Channel   channel.ID
	Retention engine.Retention // of the channel, as its writer knew it
	Key       string           // idempotency key, "": none
	// Pub is what a Publish stores. Apply sets Offset and Time, once, before
	// anybody else sees it.
	Pub      *engine.Publication
	Adoption *Adoption // of an Adopt
}

// Outcome is what applying an entry yields.
type Outcome struct {
	engine.Position
	// Duplicate says that nothing was stored: the idempotency key was seen before
	// and Position is what was stored then.
	Duplicate bool
}

// Log is the state of the log as a whole after some entry.
type Log struct {
	Incarnation uint64 // random, given to the data directory when it was made
	Number      uint64 // of the last entry
	Time        int64  // log time: never falls, Unix milliseconds
	KeyPeriod   int64  // the last period of idempotency keys that was begun
	Mark        Mark   // where the replicated log was then; zero where the log is the store's own
}

// Mark is a message of a replicated log, which holds one or more entries.
type Mark struct {
	Seq    uint64 // its place in the log
	Writer string // who wrote it: a process in one of its runs
	Count  uint64 // and which of the writer's it was, rising
}

// Record is the state of one channel after some entry. The zero Record is a
// channel without a position.
type Record struct {
	ID        uint64 // number of the entry that created it; 0: there is none
	Epoch     string
	Top       uint64 // offset of the newest publication
	Low       uint64 // offset of the oldest kept; Top+1: none is
	Deleted   uint64 // everything below is deleted from disk too
	Size      int
	TTL       time.Duration // 0: for ever
	MetaTTL   time.Duration // 0: for ever
	Last      int64         // log time of its last entry
	Oldest    int64         // the publication at Low is not older than this log time
	KeysUntil int64         // log time until which an idempotency key is remembered
	Due       int64         // log time of its entry in the time index; 0: it has none
	// Sum is what all publications up to Top ever took, and Freed that of those which
	// are deleted from disk, both in bytes as of size.
	Sum, Freed uint64
	// Adopted is down to which offset it has come over from another log, whose epoch
	// it keeps; 0: it is of this log.
	Adopted uint64

	batch uint64 // the last batch that changed it
}

// Exists reports whether the channel has a position.
func (r *Record) Exists() bool { return r.ID != 0 }

// Expired reports whether the channel has been idle for its meta ttl at a log
// time: it then has no position any more.
func (r *Record) Expired(now int64) bool {
	return r.ID != 0 && r.MetaTTL > 0 && now >= r.idleUntil()
}

// idleUntil is when an idle channel loses its position. As long as idempotency
// keys are remembered it stays: their positions mean something in this epoch only.
func (r *Record) idleUntil() int64 {
	return max(r.Last+r.MetaTTL.Milliseconds(), r.KeysUntil)
}

// Horizon is the log time at or before which a publication is too old to be
// read at a log time.
func (r *Record) Horizon(now int64) int64 {
	if r.TTL <= 0 {
		return -1
	}
	return now - r.TTL.Milliseconds()
}

// Position is where the channel stands.
func (r *Record) Position() engine.Position {
	return engine.Position{Epoch: r.Epoch, Offset: r.Top}
}

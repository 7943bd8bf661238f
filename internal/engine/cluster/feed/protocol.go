package feed

// This page is what edge nodes and core nodes say to each other, over core NATS, at
// most once.
//
// Every core node is a feeder, says so in a beat, and numbers what it has applied in
// each shard of channels (bus.Shard) 1, 2, 3 …. An edge node chooses one feeder that is
// ready, subscribes to the shards it follows channels in, and then asks to be fed with
// them, again with every beat: the answer says what the number of each shard is. A
// feeder that is not asked for a while stops sending, but not counting. All that a node
// says goes through one line, so an answer comes after what was applied before it.
//
//	PREFIX.feed.beat       beats of all feeders
//	PREFIX.feed.s.NODE.N   shard N as NODE has applied it
//	PREFIX.feed.n.NODE     for one node: asked of a feeder, or answered to an edge
//
// An edge that hears of a number it has not seen, or has another feeder, compares where
// each channel it follows stands with what it has told its Follower (tops), and looks up
// what is missing (look). Offsets are dense, so what follows the last is told at once
// whatever was missed elsewhere, and what was told is never told again. What was looked
// up does not say whom it is not for (Except): history does not keep that. A feeder that
// is not heard of for Dead, or has left, or does not say that it feeds, is replaced.
//
// Writes (publish, remove) are numbered by the edge, and a feeder takes them in this
// order only, from the lowest that the edge does not know the end of (base): one that
// comes before its predecessor is not looked at, as it will come again; one that was
// taken is not done again, its answer is repeated until base is above it. When the
// feeder changes, what was not answered is sent to the next in the same order, under
// numbers that follow the last: a publication carries an idempotency key in any case, its
// publisher's or one of the edge's own, so that it is stored once however often it is
// sent within engine.IdempotencyWindow. Should the next refuse it, after giveUp, and for
// a removal, the outcome is unknown and so answered.
//
// Every message is a version, its kind, the node that sent it, and then, where numbers
// are unsigned varints and strings begin with their length:
//
//	beat       flags                        1: ready, 2: leaves
//	listen     id n shard…                  all that the edge wants
//	listening  id n (shard number)…
//	item       shard number memory app name epoch offset except publication…
//	call       id op number base body…      number 0: no write
//	answer     id status part last? body…   of a status that is not ok: the error's text
//
//	op                body                                    answer's
//	publish           from_reserve? quota entry               epoch offset duplicate?
//	remove            entry                                   -
//	history, look     entry limit max_bytes reverse? since? (epoch offset)   epoch offset oldest n (offset publication)…
//	tops              app name                                (epoch offset) on disk, in memory; "": none
//
// Entries and publications are those of the store; in history and look a Create entry
// names channel and retention, and it is a string. An answer in several parts says epoch,
// offset and oldest in each. A reader refuses a version that is newer than its own.

const version = 1

type kind uint8

const (
	kindBeat kind = iota + 1
	kindListen
	kindListening
	kindItem
	kindCall
	kindAnswer
	kindUnknown // and all above
)

// The flags of a beat.
const (
	beatReady = 1 << iota
	beatLeaves
)

type op uint8

const (
	opPublish op = iota + 1
	opRemove
	opHistory
	opLook // history as it is: no channel is made by it
	opTops
)

// status says how a call has ended. What has no certain end is not answered.
type status uint8

const (
	statusOK status = iota
	statusBusy
	statusReadOnly
	statusUnrecoverable
	statusFailed
	statusQuota
)

// subjects are those of one PREFIX.
type subjects struct{ beat, shard, node string }

func subjectsOf(prefix string) subjects {
	return subjects{beat: prefix + ".feed.beat", shard: prefix + ".feed.s.", node: prefix + ".feed.n."}
}

package bus

import (
	"strconv"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// This page is what nodes say to each other.
//
// Channels hash to Shards streams. A node publishes what happens on a channel to
// the subject of its stream, numbering what it says in each stream 1, 2, 3 …; it
// listens to a stream while it follows a channel of it, and a while longer. One
// more stream, everyone, is listened to by all. A third kind of subject is a
// node's own. Everything a node publishes goes through one queue and one
// connection, and everything it receives comes through one more queue, so that
// what two nodes say to each other stays in order across subjects: NATS keeps the
// order of a connection, also over the routes between servers.
//
//	PREFIX.s.N     stream N of 0 … Shards-1: publication, join, leave
//	PREFIX.all     stream everyone: beat, ask, query, control, counts
//	PREFIX.n.NODE  for one node: state, shares, answer, ask, control
//	PREFIX.alive   beats without numbers, past all queues: neither what waits to be
//	               sent nor what waits to be looked at makes a node look dead
//	PREFIX.q.NODE  a question for one node's Follower, and
//	PREFIX.a.NODE  an answer for one node: a version, the node that sent it, id understood? what…
//
// A node takes interest in a stream by subscribing and then asking all others for
// their part of it. Who is asked sends state: the sessions it has in that stream,
// as of a number. The question came through the same connection and routes as the
// subscription, so that whoever has answered publishes to a server that knows of
// it: once all have answered, the interest is in force. Since the state is sent in
// line with what else happens on the stream, it is merged when it comes.
//
// A beat every 500 ms says who is alive, and the number of what was last said in
// each stream that was used since the one before, and of some others in turn. A
// receiver that has seen less, or a number that does not follow the one before, has
// missed something: it counts the gap and asks for the state again. A node that is
// not heard of for 2 s is dead: its sessions leave. When it is heard of again it is
// as good as new, and is asked for everything.
//
// Every message is a version, its kind, the node that sent it, and then, where
// numbers are unsigned varints and strings begin with their length:
//
//	publication  number app name except publication…   as in the store, to the end
//	join, leave  number app name notice session        session: user client conn_info chan_info
//	state        stream number part last? n (app name notice session)…
//	beat         name flags n (stream number)…          flags: 1 greets, to be answered with a beat; 2 leaves
//	ask          n stream…
//	query        id app name brief?                     brief: sessions without conn_info and chan_info
//	answer       id part last? n session…
//	control      number op app user client n except… channel code reason info data expires recover? (epoch offset) node data
//	counts       number n (key count)…                  what has changed
//	shares       number part last? n (key count)…       all counts of a node: the state of everyone
//
// A control for one node has number 0. A reader refuses a version that is newer
// than its own.

const shardBits = 8

// Shards is how many streams channels hash to. All nodes must agree on it: it
// belongs to the version of the messages.
const Shards = 1 << shardBits

// everyone is the number of the stream that all listen to.
const everyone = Shards

const version = 1

type kind uint8

const (
	kindPublication kind = iota + 1
	kindJoin
	kindLeave
	kindState
	kindBeat
	kindAsk
	kindQuery
	kindAnswer
	kindControl
	kindCounts
	kindShares
	kindUnknown // and all above
)

// The flags of a beat.
const (
	beatGreets = 1 << iota // all others are asked for a beat, too
	beatLeaves             // there will be no more
)

// The longest id of a node, and the longest name of one, in bytes.
const (
	MaxNode = 64
	MaxName = 255
)

// subjects are those of one PREFIX.
type subjects struct {
	streams [Shards + 1]string
	nodes   string // and the node's id
	alive   string
	// What is asked of a node and what it is answered, and the node's id.
	questions, answers string
}

func subjectsOf(prefix string) *subjects {
	s := &subjects{nodes: prefix + ".n.", alive: prefix + ".alive", questions: prefix + ".q.", answers: prefix + ".a."}
	for i := range Shards {
		s.streams[i] = prefix + ".s." + strconv.Itoa(i)
	}
	s.streams[everyone] = prefix + ".all"
	return s
}

// Shard is the number of the stream that a channel hashes to.
func Shard(ch channel.ID) int { return shardOf(ch) }

// shardOf is the same on every node: FNV-1a, whose bits are then spread by the
// golden ratio, since names differ in their last digits. Whoever finds channels
// that meet in one stream gains no more than that they share it.
func shardOf(ch channel.ID) int {
	const prime, golden = 0x100000001b3, 0x9e3779b97f4a7c15
	h := uint64(0xcbf29ce484222325)
	for _, s := range [...]string{ch.App, "\x00", ch.Name} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
	}
	return int(h * golden >> (64 - shardBits))
}

// IsNode reports whether an id can be part of a subject.
func IsNode(id string) bool { return isNode(id) }

// isNode reports whether an id can be part of a subject.
func isNode(id string) bool {
	if id == "" || len(id) > MaxNode {
		return false
	}
	for _, c := range []byte(id) {
		if !isWord(c) {
			return false
		}
	}
	return true
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_'
}

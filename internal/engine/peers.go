package engine

import "iter"

// Answer is what one node answers to a question.
type Answer struct {
	Node string // its id
	Data []byte
}

// MaxQuestion is the longest question, and MaxAnswer the longest answer, in bytes.
const (
	MaxQuestion = 64 << 10
	MaxAnswer   = 512 << 10
)

// Peers is what this node asks of the others, shares with them, and knows of them.
// A node that is alone has none.
type Peers interface {
	// Ask puts a question to the Respondent of every other node that is alive, and
	// calls done with what each has answered, in no order. It fails with ErrBusy
	// when a node that is alive has not answered within seconds, or too many ask,
	// and with ErrClosed.
	Ask(question []byte, done func([]Answer, error))
	// Count adds by to what this node has of a key; below zero it does not fall.
	// Others learn it within about half a second.
	Count(key string, by int)
	// Others is what all other nodes have of a key, as far as this one has heard; a
	// node that dies has nothing once it is known to be dead.
	Others(key string) int
	// Shared yields every key that another node has something of, and how much all
	// others have, as of one moment.
	Shared() iter.Seq2[string, int]
	// Owner is the id of the node that does what one of all has to do about a key:
	// the same on every node that sees the same others. While they differ there may
	// be two.
	Owner(key string) (node string, mine bool)
	// Alive are the ids of the other nodes that are alive.
	Alive() []string
}

// Respondent is a Follower that other nodes can ask, and that is told when what
// they share is another. An engine finds out by itself whether its Follower is one.
type Respondent interface {
	// Answer answers a question of another node; nil: it is none that this one
	// understands. It is asked one question at a time, and may take its time.
	Answer(question []byte) []byte
	// Shared says that Peers.Others of some keys is another. It must not block.
	Shared(keys []string)
}

// Alone is the Peers of a node that is alone.
type Alone struct{}

var _ Peers = Alone{}

// Ask implements Peers.
func (Alone) Ask(_ []byte, done func([]Answer, error)) { done(nil, nil) }

// Count implements Peers.
func (Alone) Count(string, int) {}

// Others implements Peers.
func (Alone) Others(string) int { return 0 }

// Shared implements Peers.
func (Alone) Shared() iter.Seq2[string, int] { return func(func(string, int) bool) {} }

// Owner implements Peers.
func (Alone) Owner(string) (node string, mine bool) { return "", true }

// Alive implements Peers.
func (Alone) Alive() []string { return nil }

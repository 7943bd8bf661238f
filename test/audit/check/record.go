package check

import "hash/fnv"

// Record is everything a run has seen, from outside.
type Record struct {
	Channels    []Channel    `json:"channels"`
	Copies      []Copy       `json:"copies,omitempty"`
	Publishers  []Publisher  `json:"publishers"`
	Subscribers []Subscriber `json:"subscribers"`
	Reads       []Read       `json:"reads"`
}

// Entry is a publication at its place. ID is unique in the run; Sum stands for the
// whole content.
type Entry struct {
	Offset uint64 `json:"offset"`
	ID     string `json:"id"`
	Sum    uint64 `json:"sum"`
}

// Channel is a channel's history after the run, as it was read, first to last.
type Channel struct {
	Name    string  `json:"name"`
	Epoch   string  `json:"epoch"`
	Top     uint64  `json:"top"`
	Entries []Entry `json:"entries"`
}

// Copy is the same histories as another server gives them.
type Copy struct {
	Name     string    `json:"name"`
	Channels []Channel `json:"channels"`
}

// Publisher is what one publisher was told. It publishes one after the other, and
// each until it is acknowledged.
type Publisher struct {
	Name string `json:"name"`
	Acks []Ack  `json:"acks"` // in the order in which they came
}

// Ack is a reply to a publish: this content is at this position.
type Ack struct {
	Entry
	Channel string `json:"channel"`
	Epoch   string `json:"epoch"`
	Repeat  bool   `json:"repeat,omitempty"` // of a publication that was acknowledged before
	// Somewhere is set when the protocol's reply does not say where.
	Somewhere bool `json:"somewhere,omitempty"`
}

// Subscriber is what one subscriber of a channel was shown, across its connections.
// With Live its protocol has no positions: nothing is promised between two
// connections, and its entries are known by their ids alone. With Live and Moves
// its connections are to several servers, each of which may be behind the one
// before: what an earlier connection saw may come again on the next.
type Subscriber struct {
	Name    string  `json:"name"`
	Live    bool    `json:"live,omitempty"`
	Moves   bool    `json:"moves,omitempty"`
	Channel string  `json:"channel"`
	Events  []Event `json:"events"`
}

// Event is either the reply to a subscribe or a publication.
type Event struct {
	Subscribed *Subscribed `json:"subscribed,omitempty"`
	Entry      *Entry      `json:"entry,omitempty"`
}

// Subscribed is the reply to a subscribe. Offset is where the subscriber stands
// before the next publication; with Live, where the channel stood at some moment
// after the reply: whatever is published later must be shown.
type Subscribed struct {
	Epoch      string `json:"epoch"`
	Offset     uint64 `json:"offset"`
	Recovering bool   `json:"recovering"` // it came with a position
	Recovered  bool   `json:"recovered"`
}

// Read is one page of history, read while the run went on.
type Read struct {
	Channel string  `json:"channel"`
	Epoch   string  `json:"epoch"`
	Entries []Entry `json:"entries"`
}

// Sum is the Sum of a content.
func Sum(content []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(content)
	return h.Sum64()
}

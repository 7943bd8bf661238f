package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Pages of several nodes become one, which ends where something may be missing.
func TestMergePages(t *testing.T) {
	rows := func(names ...string) (list []ChannelInfo) {
		for _, n := range names {
			list = append(list, ChannelInfo{n, 1})
		}
		return list
	}
	for _, tt := range []struct {
		name  string
		pages []channelPage
		want  string
	}{
		{"nothing", nil, "[] false"},
		{"one", []channelPage{{rows("a", "b"), true}}, "[{a 1} {b 1}] true"},
		{"added up", []channelPage{{rows("a", "c"), false}, {rows("a", "b"), false}}, "[{a 2} {b 1} {c 1}] false"},
		{"one goes on", []channelPage{{rows("a", "b"), true}, {rows("a", "b", "c", "d"), false}}, "[{a 2} {b 2}] true"},
		{"both go on", []channelPage{{rows("c", "d"), true}, {rows("a", "b"), true}}, "[{a 1} {b 1}] true"},
		{"one is empty", []channelPage{{nil, false}, {rows("a"), true}}, "[{a 1}] true"},
	} {
		p := mergePages(tt.pages)
		if got := fmt.Sprint(p.Rows, p.More); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// peered is an engine with another node, which says what it is told to.
type peered struct {
	*memEngine

	shares map[string]int // of the other node
	counts map[string]int // of this one
	answer func(question) any
	err    error
}

func (p *peered) Alive() []string          { return []string{"other"} }
func (p *peered) Others(key string) int    { return p.shares[key] }
func (p *peered) Count(key string, by int) { p.counts[key] += by }
func (p *peered) Ask(data []byte, done func([]engine.Answer, error)) {
	var q question
	if err := json.Unmarshal(data, &q); err != nil || p.err != nil {
		done(nil, errors.Join(err, p.err))
		return
	}
	answer, err := json.Marshal(p.answer(q))
	done([]engine.Answer{{Node: "other", Data: answer}}, err)
}

func newPeered(t *testing.T, change func(*Config)) (*house, *peered) {
	t.Helper()
	p := &peered{shares: make(map[string]int), counts: make(map[string]int)}
	h := newHouse(t, func(c *Config) {
		p.memEngine = c.Engine.(*memEngine) //nolint:forcetypeassert // newHouse makes it
		c.Engine, c.Shards = p, 1           // counts are of one goroutine
		if change != nil {
			change(c)
		}
	})
	return h, p
}

// A long list comes in several pages of bounded answers, and an answer that does not
// come is an error, not a shorter list.
func TestChannelsOfAllNodes(t *testing.T) {
	h, p := newPeered(t, nil)
	c := h.connect("", nil)
	h.mustSubscribe(c, "plain:b")
	all := []ChannelInfo{{"plain:a", 1}, {"plain:b", 2}, {"plain:c", 3}, {"plain:d", 4}}
	p.answer = func(q question) any { // two rows at a time
		var page channelPage
		for _, row := range all {
			if row.Name > q.Query.After && len(page.Rows) < 2 {
				page.Rows = append(page.Rows, row)
			}
		}
		page.More = len(page.Rows) > 0 && page.Rows[len(page.Rows)-1] != all[3]
		return page
	}
	rows, more, err := h.Channels(t.Context(), ChannelQuery{App: channel.DefaultApp})
	want := []ChannelInfo{{"plain:a", 1}, {"plain:b", 3}, {"plain:c", 3}, {"plain:d", 4}}
	if err != nil || more || !slices.Equal(rows, want) {
		t.Errorf("%v %v %v", rows, more, err)
	}
	rows, more, err = h.Channels(t.Context(), ChannelQuery{App: channel.DefaultApp, Limit: 3})
	if err != nil || !more || !slices.Equal(rows, want[:3]) {
		t.Errorf("%v %v %v", rows, more, err)
	}
	p.err = ErrBusy
	if rows, _, err := h.Channels(t.Context(), ChannelQuery{App: channel.DefaultApp}); !errors.Is(err, ErrBusy) || len(rows) > 0 {
		t.Errorf("%v %v", rows, err)
	}
	if _, err := h.Nodes(t.Context(), ""); !errors.Is(err, ErrBusy) {
		t.Errorf("nodes: %v", err)
	}
}

// What is answered to others is bounded, whatever there is.
func TestAnswersAreBounded(t *testing.T) {
	h := newHouse(t, nil)
	for i := range 6000 {
		h.topics.join(channel.ID{App: "big", Name: fmt.Sprintf("%0200d", i)}, 0)
	}
	data := h.Answer([]byte(`{"kind":"channels","query":{"App":"big"}}`))
	var page channelPage
	if err := json.Unmarshal(data, &page); err != nil || len(data) > engine.MaxAnswer || !page.More || len(page.Rows) < 1000 {
		t.Errorf("%d bytes with %d rows, more %v, %v", len(data), len(page.Rows), page.More, err)
	}
	for _, q := range []string{``, `{}`, `[]`, `{"kind":"unheard of"}`} {
		if answer := h.Answer([]byte(q)); answer != nil {
			t.Errorf("%q is answered with %s", q, answer)
		}
	}
}

// The sessions of a user and an App on other nodes count, and what this node has is
// given back.
func TestLimitsOfAllNodes(t *testing.T) {
	h, p := newPeered(t, func(c *Config) { c.Limits = Limits{ConnectionsPerUser: 3, ConnectionsPerApp: 10} })
	user, app := shareKey(shareUser, channel.DefaultApp, "ann"), shareKey(shareApp, channel.DefaultApp)
	p.shares[user] = 2
	first := h.connect("ann", nil)
	if p.counts[user] != 1 || p.counts[app] != 1 {
		t.Errorf("counted %v", p.counts)
	}
	try := func(user string) {
		c := h.dial(nil)
		on(c.session, func() { c.session.Connect(ConnectRequest{Token: user}, func(ConnectResult, error) {}) })
		h.settle()
	}
	if try("ann"); p.counts[user] != 1 || p.counts[app] != 1 {
		t.Errorf("a fourth session of the user is counted: %v", p.counts)
	}
	p.shares[app] = 9
	if try("ben"); p.counts[app] != 1 {
		t.Errorf("an eleventh of the App: %v", p.counts)
	}
	on(first.session, func() { first.session.Disconnect(DisconnectForced) })
	h.settle()
	if p.counts[user] != 0 || p.counts[app] != 0 {
		t.Errorf("left behind: %v", p.counts)
	}
}

package api

import (
	"fmt"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// TestHistoryPages walks a history forwards and backwards, and counts.
func TestHistoryPages(t *testing.T) {
	const top, oldest, page = 10, 3, 4
	for _, reverse := range []bool{false, true} {
		f := newFixture(Limits{})
		since, seen := "", 0
		for pages := 1; ; pages++ {
			first := oldest + seen
			if reverse {
				first = top - seen
			}
			f.hub.history = historyOf(first, min(page, top-oldest+1-seen), oldest, top, reverse)
			var res struct {
				Publications []struct{ Offset int }
				HasMore      bool `json:"has_more"`
			}
			unmarshal(t, f.good(t, "history", fmt.Sprintf(`{"channel":"a","limit":%d,"reverse":%t%s}`, page, reverse, since)), &res)
			seen += len(res.Publications)
			if !res.HasMore {
				if pages != 2 || seen != top-oldest+1 {
					t.Errorf("reverse %t: %d publications on %d pages", reverse, seen, pages)
				}
				break
			}
			since = fmt.Sprintf(`,"since":{"offset":%d,"epoch":"x"}`, res.Publications[len(res.Publications)-1].Offset)
		}
	}
}

// historyOf makes n publications from an offset on.
func historyOf(from, n, oldest, top int, reverse bool) engine.HistoryResult {
	res := engine.HistoryResult{Top: engine.Position{Epoch: "x", Offset: uint64(top)}, Oldest: uint64(oldest)}
	for i := range n {
		offset := from + i
		if reverse {
			offset = from - i
		}
		res.Publications = append(res.Publications, &engine.Publication{Offset: uint64(offset), Data: []byte("1")})
	}
	return res
}

func TestHistoryLimits(t *testing.T) {
	f := newFixture(Limits{MaxPage: 100})
	for asked, want := range map[string]int{"0": 0, "1": 1, "100": 100, "101": 100, "-1": 100, "-9223372036854775808": 100, "9223372036854775807": 100} {
		f.good(t, "history", `{"channel":"a","limit":`+asked+`}`)
		if q, ok := f.hub.questions()[0].(askedHistory); !ok || q.query.Limit != want {
			t.Errorf("limit %s: asked for %d, want %d", asked, q.query.Limit, want)
		}
	}
	f.hub.history = historyOf(1, 0, 1, 5, false)
	want := `{"publications":[],"offset":5,"epoch":"x"}`
	if got := f.good(t, "history", `{"channel":"a"}`); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestPresencePages(t *testing.T) {
	f := newFixture(Limits{MaxPage: 4})
	f.hub.members = engine.Members{}
	for i := range 10 {
		id := fmt.Sprintf("c%d", i)
		f.hub.members[id] = &engine.ClientInfo{User: "u", Client: id}
	}
	type result struct {
		Presence   map[string]struct{ Client string }
		NextCursor string `json:"next_cursor"`
	}
	for _, limit := range []int{0, 3, 4, 1000} {
		seen, cursor := map[string]bool{}, ""
		for pages := 0; ; pages++ {
			var res result
			unmarshal(t, f.good(t, "presence", fmt.Sprintf(`{"channel":"a","limit":%d,"cursor":%q}`, limit, cursor)), &res)
			for id, info := range res.Presence {
				if seen[id] || info.Client != id {
					t.Errorf("%s twice, or %q", id, info.Client)
				}
				seen[id] = true
			}
			want := 4
			if limit > 0 && limit < want {
				want = limit
			}
			if len(res.Presence) > want || pages > 10 {
				t.Fatalf("limit %d: %d rows on page %d", limit, len(res.Presence), pages)
			}
			if cursor = res.NextCursor; cursor == "" {
				break
			}
		}
		if len(seen) != 10 {
			t.Errorf("limit %d: %d of 10", limit, len(seen))
		}
	}
}

func TestPresenceOfNobody(t *testing.T) {
	if got := newFixture(Limits{}).good(t, "presence", `{"channel":"a"}`); got != `{"presence":{}}` {
		t.Error(got)
	}
}

func TestChannelPages(t *testing.T) {
	f := newFixture(Limits{MaxPage: 50})
	f.hub.rows, f.hub.more = []hub.ChannelInfo{{Name: "a"}, {Name: "b\""}}, true
	want := `{"channels":{"a":{"num_clients":0},"b\"":{"num_clients":0}},"next_cursor":"b\""}`
	if got := f.good(t, "channels", `{"limit":51}`); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if q, ok := f.hub.questions()[0].(hub.ChannelQuery); !ok || q.Limit != 50 {
		t.Errorf("%+v", q)
	}
	f.hub.rows = nil
	if got := f.good(t, "channels", `{}`); got != `{"channels":{}}` {
		t.Error(got)
	}
}

package sdk

import (
	"slices"
	"testing"

	"github.com/centrifugal/centrifuge-go"
)

// each runs a test in both encodings of the SDK.
func each(t *testing.T, run func(t *testing.T, h *house, encoding string)) {
	t.Helper()
	for _, encoding := range []string{"json", "protobuf"} {
		t.Run(encoding, func(t *testing.T) { run(t, newHouse(t), encoding) })
	}
}

func TestQuestions(t *testing.T) {
	each(t, func(t *testing.T, h *house, encoding string) {
		t.Helper()
		c := h.connect(encoding)
		sub := h.subscribe(c, "room", centrifuge.SubscriptionConfig{})
		if _, err := sub.Publish(t.Context(), []byte(`{"n":1}`)); err != nil {
			t.Fatal(err)
		}
		h.heardAll(sub, 1)
		presence, err := sub.Presence(t.Context())
		if err != nil || len(presence.Clients) != 1 {
			t.Errorf("presence %+v, %v", presence, err)
		}
		stats, err := sub.PresenceStats(t.Context())
		if err != nil || stats.NumClients != 1 {
			t.Errorf("presence stats %+v, %v", stats, err)
		}
		history, err := sub.History(t.Context(), centrifuge.WithHistoryLimit(10))
		if err != nil || history.Offset != 1 || len(history.Publications) != 1 || string(history.Publications[0].Data) != `{"n":1}` {
			t.Errorf("history %+v, %v", history, err)
		}
		if _, err := c.RPC(t.Context(), "anything", []byte(`{}`)); err == nil {
			t.Error("an RPC was answered")
		}
	})
}

// Cut again and again while messages come, and once for so long that what was
// missed needs several pages.
func TestNothingIsLost(t *testing.T) {
	for _, delta := range []centrifuge.DeltaType{centrifuge.DeltaTypeNone, centrifuge.DeltaTypeFossil} {
		t.Run("delta="+string(delta), func(t *testing.T) {
			each(t, func(_ *testing.T, h *house, encoding string) {
				sub := h.subscribe(h.connect(encoding), "news", centrifuge.SubscriptionConfig{Delta: delta})
				n := 0
				more := func(count int) {
					h.publish("news", n+1, n+count)
					n += count
				}
				for range 10 {
					more(50)
					h.network.cut()
					more(50)
					h.heardAll(sub, n)
				}
				h.network.cut()
				for range 50 {
					more(100)
				}
				h.heardAll(sub, n)
				more(10)
				h.heardAll(sub, n)
			})
		})
	}
}

func TestChoiceByTags(t *testing.T) {
	each(t, func(t *testing.T, h *house, encoding string) {
		t.Helper()
		filter := centrifuge.FilterOr(centrifuge.FilterEq("digit", "7"), centrifuge.FilterIn("digit", "1", "2"))
		sub := h.subscribe(h.connect(encoding), "news", centrifuge.SubscriptionConfig{TagsFilter: filter})
		h.publish("news", 1, 10)
		h.until("three", func() bool { return sub.count() >= 3 })
		h.network.cut()
		h.publish("news", 11, 20)
		h.until("six", func() bool { return sub.count() >= 6 })
		sub.mu.Lock()
		defer sub.mu.Unlock()
		if want := []int{1, 2, 7, 11, 12, 17}; !slices.Equal(sub.numbers, want) || sub.lost > 0 {
			t.Errorf("%v, want %v; %d times not recovered", sub.numbers, want, sub.lost)
		}
	})
}

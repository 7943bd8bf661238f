package admin

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
)

func TestChannels(t *testing.T) {
	tooLong := strings.Repeat("x", channel.MaxNameLength+1)
	for _, tt := range []struct {
		query string
		want  hub.ChannelQuery // zero: refused
	}{
		{"", hub.ChannelQuery{Limit: firstChannels}},
		{"?pattern=*ne%3Fs*&after=b&limit=7", hub.ChannelQuery{Pattern: "*ne?s*", After: "b", Limit: 7}},
		{"?limit=1000", hub.ChannelQuery{Limit: maxChannelRows}},
		{"?limit=1001", hub.ChannelQuery{}},
		{"?limit=0", hub.ChannelQuery{}},
		{"?limit=-1", hub.ChannelQuery{}},
		{"?limit=many", hub.ChannelQuery{}},
		{"?pattern=" + tooLong, hub.ChannelQuery{}},
		{"?after=" + tooLong, hub.ChannelQuery{}},
	} {
		f := &fakeHub{rows: []hub.ChannelInfo{{Name: "news", Clients: 2}}}
		w := get(newHandler(Config{Dev: true}, f), local(http.MethodGet, "/admin/channels"+tt.query))
		if tt.want == (hub.ChannelQuery{}) {
			if w.Code != http.StatusBadRequest || f.lists.Load() != 0 {
				t.Errorf("%.40s answers %d %s", tt.query, w.Code, w.Body)
			}
			continue
		}
		tt.want.App = channel.DefaultApp
		if got := f.query.Load(); got != tt.want {
			t.Errorf("%s asks the hub for %+v, want %+v", tt.query, got, tt.want)
		}
		if got := strings.TrimSpace(w.Body.String()); got != `{"channels":[{"channel":"news","subscribers":2}],"more":false}` {
			t.Errorf("%s answers %s", tt.query, got)
		}
	}
}

func TestNoChannelsIsAnEmptyList(t *testing.T) {
	w := get(newHandler(Config{Dev: true}, &fakeHub{}), local(http.MethodGet, "/admin/channels"))
	if got := strings.TrimSpace(w.Body.String()); got != `{"channels":[],"more":false}` {
		t.Errorf("the answer is %s", got)
	}
}

func TestListsAreMadeOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeHub{listTakes: time.Second}
		h := newHandler(Config{Dev: true}, f)
		start := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { get(h, local(http.MethodGet, "/admin/channels")) })
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		synctest.Wait()
		get(h, local(http.MethodGet, "/admin/channels").WithContext(gone))
		all.Wait()
		if took := time.Since(start); took != 3*time.Second || f.lists.Load() != 3 {
			t.Errorf("%d lists of a second each took %s; a request that was given up makes none", f.lists.Load(), took)
		}
	})
}

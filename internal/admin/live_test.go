package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
)

func snapshots(t *testing.T, body []byte) []status {
	t.Helper()
	var list []status
	for line := range bytes.Lines(body) {
		var s status
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatalf("a line of the stream is %q: %v", line, err)
		}
		list = append(list, s)
	}
	return list
}

func TestLiveStreamsEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeHub{rows: []hub.ChannelInfo{{Name: "a", Clients: 4}, {Name: "b", Clients: 3}}, more: true}
		h := newHandler(Config{Dev: true, Version: "v1"}, f)
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		start := time.Now()
		w := watch(ctx, h)
		got := snapshots(t, w.Body.Bytes())
		if len(got) != 4 {
			t.Fatalf("%d snapshots in 3.5 s, want 4: %s", len(got), w.Body)
		}
		want := status{
			Time: start.UnixMilli(), UID: "u1", Name: "node", Version: "v1", Uptime: 90,
			Connections: 3, Users: 2, Channels: 5, Subscriptions: 7, Published: 10, Delivered: 100, Nodes: 1,
		}
		first := got[0]
		list := first.List
		first.List = rows{}
		if a, b := asJSON(t, first), asJSON(t, want); a != b {
			t.Errorf("the first snapshot is\n%s, want\n%s", a, b)
		}
		if a, b := asJSON(t, list), `{"channels":[{"channel":"a","subscribers":4},{"channel":"b","subscribers":3}],"more":true}`; a != b {
			t.Errorf("its list is\n%s, want\n%s", a, b)
		}
		if last := got[3]; last.Time-first.Time != 3000 || last.Published != 40 {
			t.Errorf("the fourth snapshot is of %d ms later and counts %d", last.Time-first.Time, last.Published)
		}
		if w.Header().Get("Content-Type") != "application/x-ndjson" || !w.Flushed {
			t.Errorf("Content-Type %q, flushed %v", w.Header().Get("Content-Type"), w.Flushed)
		}
		if left := w.deadline.Sub(start); left != 3*time.Second+writeWait {
			t.Errorf("the last write may take until %s after the start", left)
		}
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWatchersShareSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeHub{}
		h := newHandler(Config{Dev: true}, f)
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { watch(ctx, h) })
		}
		all.Wait()
		if infos, lists := f.infos.Load(), f.lists.Load(); infos != 3 || lists != 3 {
			t.Errorf("10 watchers of 3 snapshots asked the hub %d times for numbers, %d times for channels", infos, lists)
		}
	})
}

// A list that takes 100 ms may be made every 2 s; the numbers still come every
// second.
func TestSlowListIsMadeLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeHub{listTakes: 100 * time.Millisecond}
		ctx, cancel := context.WithTimeout(t.Context(), 19500*time.Millisecond)
		defer cancel()
		w := watch(ctx, newHandler(Config{Dev: true}, f))
		if n := len(snapshots(t, w.Body.Bytes())); n < 17 {
			t.Errorf("%d snapshots in 19.5 s", n)
		}
		if n := f.lists.Load(); n < 5 || n > 10 {
			t.Errorf("the list was made %d times in 19.5 s, want at most every 2 s", n)
		}
	})
}

func TestWatchersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		h := newHandler(Config{Dev: true, Refused: func(_ *http.Request, r Refusal) {
			if r == RefusedWatchers {
				refused++
			}
		}}, &fakeHub{})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range MaxWatchers {
			all.Go(func() { watch(ctx, h) })
		}
		synctest.Wait()
		w := watch(ctx, h)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || refused != 1 {
			t.Errorf("one watcher too many gets %d, counted %d", w.Code, refused)
		}
		cancel()
		all.Wait()
		again, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		if w := watch(again, h); w.Code != http.StatusOK {
			t.Errorf("once the others have left a watcher gets %d", w.Code)
		}
	})
}

func TestDeadWatcherIsGivenUp(t *testing.T) {
	h := newHandler(Config{Dev: true}, &fakeHub{})
	w := newWire()
	w.fail = errors.New("i/o timeout")
	h.ServeHTTP(w, local(http.MethodGet, "/admin/live")) // returns, or the test never ends
	if n := len(h.watchers); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}

// Over a real connection a line arrives when it is written, and the stream ends
// when the server stops.
func TestLiveOverTheNetwork(t *testing.T) {
	server := httptest.NewUnstartedServer(newHandler(Config{Dev: true}, &fakeHub{}))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	defer server.Close()
	res, err := server.Client().Get(server.URL + "/admin/live")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() {
		t.Fatalf("no line came: %v", lines.Err())
	}
	if got := snapshots(t, lines.Bytes()); len(got) != 1 || got[0].UID != "u1" {
		t.Fatalf("the first line is %s", lines.Bytes())
	}
	stop()
	for lines.Scan() { // ends with the stream
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream broke: %v", err)
	}
}

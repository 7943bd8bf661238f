package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/local"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

func signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func config(log Log, r *receiver) Config {
	return Config{
		Key: "key", Secret: "secret", URLs: []string{"http://backend.example/hook"}, Log: log, Transport: r,
		Subscribers: func(channel.ID) int { return 1 }, IsMember: func(hub.Member) bool { return false }, Metrics: metrics.New(""),
		Debounce: 3 * time.Second, Timeout: 10 * time.Second, RetryFor: 5 * time.Minute, MaxQueue: 1000,
	}
}

func start(t *testing.T, cfg Config) *Dispatcher {
	t.Helper()
	d := New(cfg)
	d.Start()
	return d
}

func ch(name string) channel.ID { return channel.ID{App: channel.DefaultApp, Name: name} }

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{t: t}
		cfg := config(newLog(), r)
		var count atomic.Int64
		count.Store(2)
		cfg.Subscribers = func(channel.ID) int { return int(count.Load()) }
		members := newMembers(&cfg)
		d := start(t, cfg)
		d.Changed(ch("room"))
		synctest.Wait()
		d.Changed(channel.ID{App: "default/online", Name: "ann"})
		d.Changed(ch("#server-to-user-ann"))
		members.set(d, "presence-x", "2", true)
		members.set(d, "presence-x", "ann", true)
		members.set(d, "room", "ann", true)
		d.ClientEvent(channel.ID{App: channel.DefaultApp, Name: "presence-x"}, "client-e", []byte(`{"a":1}`), "1.2", "ann")
		d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: "cache-x"})
		synctest.Wait()
		members.set(d, "presence-x", "ann", false)
		count.Store(0)
		d.Changed(ch("room"))
		time.Sleep(cfg.Debounce)
		synctest.Wait()
		same(
			t, r.events(),
			`{"name":"channel_occupied","channel":"room"}`,
			`{"name":"subscription_count","channel":"room","subscription_count":2}`,
			`{"name":"member_added","channel":"presence-x","user_id":"2"}`,
			`{"name":"member_added","channel":"presence-x","user_id":"ann"}`,
			`{"name":"client_event","channel":"presence-x","user_id":"ann","event":"client-e","data":"{\"a\":1}","socket_id":"1.2"}`,
			`{"name":"cache_miss","channel":"cache-x"}`,
			`{"name":"member_removed","channel":"presence-x","user_id":"ann"}`,
			`{"name":"channel_vacated","channel":"room"}`,
		)
		d.Close(t.Context())
	})
}

// A receiver that fails is asked again, ever more slowly, and then gets everything
// in order.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{t: t, status: http.StatusInternalServerError}
		cfg := config(newLog(), r)
		d := start(t, cfg)
		d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: "cache-1"})
		time.Sleep(time.Minute)
		d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: "cache-2"})
		time.Sleep(time.Minute)
		synctest.Wait()
		calls := r.called()
		if len(calls) < 4 || len(calls) > 12 {
			t.Errorf("%d calls in two minutes", len(calls))
		}
		for i := 2; i < len(calls); i++ {
			if gap := calls[i].Sub(calls[i-1]); gap > lastDelay || gap < firstDelay/2 {
				t.Errorf("call %d came %s after the one before", i, gap)
			}
		}
		r.answer(0)
		time.Sleep(lastDelay)
		synctest.Wait()
		same(t, r.events(), `{"name":"cache_miss","channel":"cache-1"}`, `{"name":"cache_miss","channel":"cache-2"}`)
		if n := cfg.Metrics.WebhookFailed.Value(); n != uint64(len(calls)) {
			t.Errorf("%d failures are counted, %d happened", n, len(calls))
		}
		d.Close(t.Context())
	})
}

func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{t: t, status: http.StatusNotFound}
		cfg := config(newLog(), r)
		d := start(t, cfg)
		d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: "cache-1"})
		time.Sleep(cfg.RetryFor - time.Second)
		d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: "cache-2"})
		time.Sleep(lastDelay + 2*time.Second)
		r.answer(0)
		time.Sleep(lastDelay)
		synctest.Wait()
		same(t, r.events(), `{"name":"cache_miss","channel":"cache-2"}`)
		if n := cfg.Metrics.Drops.Of(metrics.DropWebhookExpired).Value(); n != 1 {
			t.Errorf("%d dropped", n)
		}
		d.Close(t.Context())
	})
}

// What was dropped from a full queue, or never got into it, is counted.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{t: t, status: http.StatusBadGateway}
		log := newLog()
		cfg := config(log, r)
		cfg.MaxQueue = 10
		d := start(t, cfg)
		for i := range 15 {
			d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: fmt.Sprint("cache-", i)})
			synctest.Wait()
		}
		r.answer(0)
		time.Sleep(lastDelay)
		synctest.Wait()
		if got := r.events(); len(got) != 10 || !strings.Contains(got[0], "cache-5") {
			t.Errorf("told %q", got)
		}
		log.mu.Lock()
		log.err = errors.New("no disk")
		log.mu.Unlock()
		d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: "cache-16"})
		synctest.Wait()
		if n := cfg.Metrics.Drops.Of(metrics.DropWebhookQueue).Value(); n != 6 {
			t.Errorf("%d dropped", n)
		}
		d.Close(t.Context())
	})
}

// Where the queue cannot be read at first, telling begins once it can; what the queue
// does not take for a while is told then, in order.
func TestWaitsForTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, r := newLog(), &receiver{t: t}
		log.err = engine.ErrReadOnly
		cfg := config(log, r)
		d := start(t, cfg)
		for i := range 3 {
			d.CacheMiss(ch(fmt.Sprint("cache-", i)))
			time.Sleep(lastAgain)
		}
		log.mu.Lock()
		log.err = nil
		log.mu.Unlock()
		time.Sleep(2 * lastAgain)
		synctest.Wait()
		same(t, r.events(), `{"name":"cache_miss","channel":"cache-0"}`, `{"name":"cache_miss","channel":"cache-1"}`, `{"name":"cache_miss","channel":"cache-2"}`)
		if n := cfg.Metrics.Drops.Of(metrics.DropWebhookQueue).Value(); n != 0 {
			t.Errorf("%d are counted as dropped", n)
		}
		d.Close(t.Context())
	})
}

// What was not told before a stop is told after the next start, and nothing twice.
func TestSurvivesRestart(t *testing.T) {
	r := &receiver{t: t, status: http.StatusServiceUnavailable, news: make(chan struct{}, 1)}
	server := httptest.NewServer(r)
	defer server.Close()
	dir := t.TempDir()
	run := func(during func(d *Dispatcher)) {
		e, err := local.Open(local.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		e.Attach(silent{})
		cfg := config(e, r)
		cfg.URLs, cfg.Transport = []string{server.URL}, nil
		d := start(t, cfg)
		during(d)
		d.Close(t.Context())
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	run(func(d *Dispatcher) {
		for i := range 5 {
			d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: fmt.Sprint("cache-", i)})
		}
		r.until("a call", func() bool { return len(r.called()) > 0 })
	})
	same(t, r.events())
	r.answer(0)
	run(func(*Dispatcher) { r.until("five events", func() bool { return len(r.events()) >= 5 }) })
	run(func(d *Dispatcher) {
		d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: "cache-5"})
		r.until("the sixth event", func() bool { return len(r.events()) >= 6 })
	})
	want := make([]string, 6)
	for i := range want {
		want[i] = fmt.Sprintf(`{"name":"cache_miss","channel":"cache-%d"}`, i)
	}
	same(t, r.events(), want...)
}

// silent is a Follower that does not listen.
type silent struct{}

func (silent) Publication(channel.ID, string, *engine.Publication) {}
func (silent) Join(channel.ID, *engine.ClientInfo, bool)           {}
func (silent) Leave(channel.ID, *engine.ClientInfo, bool)          {}
func (silent) Control(engine.Control)                              {}

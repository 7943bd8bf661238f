package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Whatever has happened, a roster made of a snapshot is the roster.
func TestRosterIsWhatItsEventsMake(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	names := append(Names(), "unheard_of")
	r := newRoster()
	for i := range 5000 {
		client := random.IntN(9)
		r.apply(&entry{Event{
			Name: names[random.IntN(len(names))], Channel: fmt.Sprint("c", random.IntN(7)), UserID: fmt.Sprint("u", random.IntN(5)),
			Client: fmt.Sprint("s", client),
		}, fmt.Sprint("n", client%3)})
		if i%100 > 0 {
			continue
		}
		events := r.events()
		if len(events) != r.size {
			t.Fatalf("after %d: %d events, size %d", i, len(events), r.size)
		}
		again := newRoster()
		for j := range events {
			again.apply(&events[j])
		}
		if got := again.events(); !slices.Equal(got, events) || !maps.Equal(again.of, r.of) {
			t.Fatalf("after %d: %v, want %v", i, got, events)
		}
	}
	for _, node := range sorted(r.of) {
		for _, e := range r.farewells(node) {
			r.apply(&entry{Event: e})
		}
	}
	if len(r.sessions)+len(r.of) != 0 {
		t.Errorf("%d sessions after all have been told to have ended", len(r.sessions))
	}
}

func everything(log Log, r *receiver) Config {
	cfg := config(log, r)
	cfg.Events = Names()
	return cfg
}

func tell(d *Dispatcher, k hub.TellKinds, client, name string) {
	d.Tell(hub.Tell{Kind: k, App: channel.DefaultApp, Client: client, User: "ann", Channel: name})
}

// kill ends a Dispatcher as the end of its process would: nothing gets into the
// queue any more.
func kill(t *testing.T, l *memLog, d *Dispatcher) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	l.err = errors.New("killed")
	l.mu.Unlock()
	d.Close(t.Context())
	l.mu.Lock()
	l.err = nil
	l.mu.Unlock()
}

func TestKilledProcessIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, r := newLog(), &receiver{t: t}
		cfg := everything(log, r)
		members := newMembers(&cfg)
		d := start(t, cfg)
		tell(d, hub.TellConnected, "one", "")
		tell(d, hub.TellConnected, "two", "")
		for _, name := range []string{"presence-a", "b"} {
			tell(d, hub.TellSubscribed, "one", name)
			d.Changed(ch(name))
		}
		members.set(d, "presence-a", "ann", true)
		d.Tell(hub.Tell{Kind: hub.TellDisconnected, App: channel.DefaultApp, Client: "two", Reason: hub.DisconnectSlow})
		kill(t, log, d)
		before := len(r.events())

		d = start(t, cfg)
		synctest.Wait()
		same(
			t, r.events()[before:],
			`{"name":"unsubscribed","channel":"b","client":"one","user":"ann"}`,
			`{"name":"unsubscribed","channel":"presence-a","client":"one","user":"ann"}`,
			`{"name":"disconnected","client":"one","user":"ann","code":3000,"reason":"connection closed"}`,
		)
		told := len(r.events())
		d.Changed(ch("b")) // somebody has come back
		time.Sleep(restartGrace)
		synctest.Wait()
		same(
			t, r.events()[told:],
			`{"name":"subscription_count","channel":"b","subscription_count":1}`,
			`{"name":"member_removed","channel":"presence-a","user_id":"ann"}`,
			`{"name":"channel_vacated","channel":"presence-a"}`,
		)
		told = len(r.events())
		d.Close(t.Context())

		d = start(t, cfg) // after a graceful end nobody is left but who is there: b
		time.Sleep(restartGrace)
		synctest.Wait()
		same(t, r.events()[told:], `{"name":"channel_vacated","channel":"b"}`)
		d.Close(t.Context())
	})
}

// The queue keeps fewer events than have happened since a session came; snapshots
// know of it all the same.
func TestRosterOutlivesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, r := newLog(), &receiver{t: t}
		cfg := everything(log, r)
		cfg.MaxQueue = 100
		d := start(t, cfg)
		tell(d, hub.TellConnected, "old", "")
		for i := range 2*snapshotPart + 500 {
			tell(d, hub.TellConnected, fmt.Sprint("stays-", i), "")
			tell(d, hub.TellConnected, "short", "")
			tell(d, hub.TellDisconnected, "short", "")
			synctest.Wait()
		}
		kill(t, log, d)
		before := len(r.events())
		d = start(t, cfg)
		synctest.Wait()
		gone := make(map[string]int)
		for _, text := range r.events()[before:] {
			var e Event
			if err := json.Unmarshal([]byte(text), &e); err != nil || e.Name != Disconnected {
				t.Fatalf("%s, %v", text, err)
			}
			gone[e.Client]++
		}
		// More than the queue holds cannot be told at once; the newest are.
		if gone["short"] > 0 || len(gone) == 0 {
			t.Errorf("%d are told to have gone, a session that had ended %d times", len(gone), gone["short"])
		}
		d.Close(t.Context())
		left := &term{roster: newRoster()}
		if err := New(cfg).read(t.Context(), left); err != nil || len(left.roster.sessions) != 0 {
			t.Errorf("%d sessions are still here, %v", len(left.roster.sessions), err)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, r := newLog(), &receiver{t: t, status: http.StatusTeapot}
		cfg := everything(log, r)
		cfg.URLs = []string{"http://ann:secret@backend.example/hook"}
		d := start(t, cfg)
		d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: "first"})
		d.CacheMiss(channel.ID{App: channel.DefaultApp, Name: "second"})
		time.Sleep(cfg.RetryFor + lastDelay)
		synctest.Wait()
		letters, err := d.DeadLetters(t.Context(), 10)
		if err != nil || len(letters) != 2 {
			t.Fatalf("%d dead letters, %v", len(letters), err)
		}
		newest := letters[0]
		if string(newest.Event) != `{"name":"cache_miss","channel":"second"}` || !strings.Contains(newest.Error, "418") ||
			newest.Time == 0 || strings.Contains(newest.URL, "secret") {
			t.Errorf("%+v", newest)
		}
		if one, err := d.DeadLetters(t.Context(), 1); err != nil || len(one) != 1 {
			t.Errorf("asked for one: %d, %v", len(one), err)
		}
		d.Close(t.Context())
	})
}

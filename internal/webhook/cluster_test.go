package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// nodes are those of a cluster that are alive, by id; the first of them owns all.
type nodes struct {
	mu   sync.Mutex
	list []string
}

// place is a node's view of a cluster, and its log.
type place struct {
	*memLog

	nodes *nodes
	id    string
	mu    sync.Mutex
	err   error // of what this node publishes
}

func (p *place) Owner(string) (string, bool) {
	p.nodes.mu.Lock()
	defer p.nodes.mu.Unlock()
	return p.nodes.list[0], p.nodes.list[0] == p.id
}

func (p *place) Alive() []string {
	p.nodes.mu.Lock()
	defer p.nodes.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.nodes.list), func(id string) bool { return id == p.id })
}

func (*place) Status() engine.Status { return engine.Status{Ready: true} }

func (p *place) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *place) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	p.mu.Lock()
	err := p.err
	p.mu.Unlock()
	if err != nil {
		done(engine.PublishResult{}, err)
		return
	}
	p.memLog.Publish(req, done)
}

// die leaves the others alone, and lets nothing more of the node into the queue.
func (p *place) die() {
	p.fail(errors.New("killed"))
	p.nodes.mu.Lock()
	defer p.nodes.mu.Unlock()
	p.nodes.list = slices.DeleteFunc(p.nodes.list, func(id string) bool { return id == p.id })
}

// Of three nodes one tells, and when it is killed another goes on: nothing is missing,
// what each node saw comes in order, and the sessions of the dead are told to have
// gone, once.
func TestOneOfThreeTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, all := newLog(), &nodes{list: []string{"n1", "n2", "n3"}}
		r := &receiver{t: t}
		var places []*place
		var told []*Dispatcher
		for _, id := range slices.Clone(all.list) {
			p := &place{memLog: log, nodes: all, id: id}
			cfg := everything(p, r)
			cfg.Node, cfg.Cluster = id, p
			cfg.Everyone = func(occupied func(channel.ID), _ func(hub.Member)) { occupied(ch("room")) }
			places, told = append(places, p), append(told, start(t, cfg))
		}
		number := 0
		happen := func(nodes ...int) {
			for _, i := range nodes {
				number++
				told[i].Tell(hub.Tell{
					Kind: hub.TellPublished, App: channel.DefaultApp, Channel: fmt.Sprint("of-", i), At: engine.Position{Epoch: "e", Offset: uint64(number)},
				})
			}
		}
		for i, d := range told {
			tell(d, hub.TellConnected, fmt.Sprint("s", i), "")
			d.Changed(ch("room")) // all are told that the audience is another
		}
		happen(0, 1, 2) // before anybody tells
		time.Sleep(2 * settling)
		happen(0, 1, 2)
		time.Sleep(lookEvery)
		r.answer(http.StatusServiceUnavailable) // what is under way when the node dies is told again
		happen(1, 2)
		time.Sleep(2 * lookEvery)
		places[0].die()
		happen(1, 2)
		places[2].fail(engine.ErrBusy) // no quorum for a while
		happen(2, 2)
		time.Sleep(2 * lastAgain)
		places[2].fail(nil)
		r.answer(0)
		time.Sleep(time.Minute)
		happen(1, 2)
		time.Sleep(time.Minute)
		synctest.Wait()

		last, seen := map[string]uint64{}, map[string]int{}
		for _, text := range r.events() {
			seen[text]++
			var offset uint64
			var of int
			if n, _ := fmt.Sscanf(text, `{"name":"published","channel":"of-%d","epoch":"e","offset":%d}`, &of, &offset); n == 2 {
				name := fmt.Sprint(of)
				if offset <= last[name] {
					t.Errorf("%s comes after %d", text, last[name])
				}
				last[name] = offset
			}
		}
		published := 0
		for text, times := range seen {
			if times > 1 && !strings.Contains(text, SubscriptionCount) { // who tells anew says how many there are
				t.Errorf("told %d times: %s", times, text)
			}
			if strings.Contains(text, `"published"`) {
				published++
			}
		}
		if published != number {
			t.Errorf("%d of %d publications are told", published, number)
		}
		if n := seen[`{"name":"disconnected","client":"s0","user":"ann","code":3000,"reason":"connection closed"}`]; n != 1 {
			t.Errorf("the end of the dead node's session is told %d times: %v", n, seen)
		}
		if seen[`{"name":"channel_occupied","channel":"room"}`] != 1 {
			t.Errorf("the room is told to be occupied: %v", seen)
		}
		for i := range 3 {
			if seen[fmt.Sprintf(`{"name":"connected","client":"s%d","user":"ann"}`, i)] != 1 {
				t.Errorf("session %d is not told to have come", i)
			}
		}
		places[0].fail(nil)
		for _, d := range told {
			d.Close(t.Context())
		}
	})
}

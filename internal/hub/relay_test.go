package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// slowPeers answers a question when it is told to.
type slowPeers struct {
	*peered

	asked chan func(err error)
	names atomic.Int64 // in the questions
}

func (p *slowPeers) Ask(data []byte, done func([]engine.Answer, error)) {
	var q question
	if err := json.Unmarshal(data, &q); err != nil || len(data) > engine.MaxQuestion {
		done(nil, errors.Join(err, fmt.Errorf("%d bytes", len(data))))
		return
	}
	p.names.Add(int64(len(q.Names)))
	p.asked <- func(err error) {
		var odd []string
		for _, name := range q.Names {
			if name[len(name)-1]&1 == 1 {
				odd = append(odd, name)
			}
		}
		answer, _ := json.Marshal(odd)
		done([]engine.Answer{{Node: "n2", Data: answer}, {Node: "n1", Data: answer}, {Node: "n0", Data: []byte("null")}}, err)
	}
}

// Those who look for sessions at once share questions, one of which is under way.
func TestLocate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &slowPeers{asked: make(chan func(error), 64)}
		h := newHouse(t, func(c *Config) {
			p.peered = &peered{memEngine: c.Engine.(*memEngine), shares: map[string]int{}, counts: map[string]int{}} //nolint:forcetypeassert // newHouse makes it
			c.Engine, c.Shards = p, 1
		})
		const searches = 600
		results := make(chan error, searches)
		name := func(i int) string { return fmt.Sprintf("%030d", i) }
		for i := range searches {
			go func() {
				node, err := h.Locate(t.Context(), name(i))
				switch {
				case i%2 == 1 && (err != nil || node != "n1"), i%2 == 0 && !errors.Is(err, ErrUnknownSession):
					results <- fmt.Errorf("session %d is at %q, %w", i, node, err)
				default:
					results <- nil
				}
			}()
		}
		questions := 0
		for done := 0; done < searches; {
			synctest.Wait()
			if len(p.asked) != 1 {
				t.Fatalf("%d questions are under way", len(p.asked))
			}
			(<-p.asked)(nil)
			questions++
			synctest.Wait()
			for ; len(results) > 0; done++ {
				if err := <-results; err != nil {
					t.Error(err)
				}
			}
		}
		if questions > searches/searchesAtOnce+2 || p.names.Load() != searches {
			t.Errorf("%d questions with %d names", questions, p.names.Load())
		}
		// What cannot be answered is told to all, and the next question is asked again.
		go func() {
			_, err := h.Locate(t.Context(), name(1))
			results <- err
		}()
		(<-p.asked)(ErrBusy)
		if err := <-results; !errors.Is(err, ErrBusy) {
			t.Errorf("%v", err)
		}
		// Names that take a lot of room share fewer questions, and nobody else's.
		for range searchesAtOnce {
			go func() {
				_, err := h.Locate(t.Context(), strings.Repeat("\x01", MaxSessionName))
				results <- err
			}()
		}
		for range searchesAtOnce {
			synctest.Wait()
			if len(p.asked) > 0 {
				(<-p.asked)(nil)
			}
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.Locate(t.Context(), strings.Repeat("x", MaxSessionName+1)); !errors.Is(err, ErrUnknownSession) {
			t.Errorf("a name that is too long: %v", err)
		}
		// Nobody makes a node remember more than this.
		for range maxSearches + 2 {
			go func() {
				_, err := h.Locate(t.Context(), name(1))
				results <- err
			}()
			synctest.Wait()
		}
		if err := <-results; !errors.Is(err, ErrBusy) || h.count.searchFull.Value() != 1 {
			t.Errorf("%v, %d are counted", err, h.count.searchFull.Value())
		}
		for range maxSearches + 1 {
			synctest.Wait()
			if len(p.asked) > 0 {
				(<-p.asked)(nil)
			}
			<-results
		}
	})
}

// visits is a Guest that goes when it is told to.
type visits struct {
	place Place
	told  atomic.Int64
}

func (v *visits) Dismiss() {
	v.told.Add(1)
	v.place.Post(func() { v.place.Unseat(v) })
}

// Guests are connections that keep a drain waiting, are dismissed by it, and come
// until the end.
func TestGuests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.MaxSessions = 3 })
		enter := func() *visits {
			place, err := h.EnterGuest(netip.Addr{})
			if err != nil {
				t.Fatal(err)
			}
			v := &visits{place: place}
			place.Post(func() { place.Seat(v) })
			return v
		}
		list := []*visits{enter(), enter(), enter()}
		synctest.Wait()
		if _, err := h.EnterGuest(netip.Addr{}); !errors.Is(err, ErrLimitExceeded) {
			t.Errorf("one too many: %v", err)
		}
		if n, clients := h.Connections(), h.Info().Clients; n != 3 || clients != 0 {
			t.Errorf("%d connections, %d clients", n, clients)
		}
		if err := h.Drain(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			if n := v.told.Load(); n != 1 {
				t.Errorf("dismissed %d times", n)
			}
		}
		late := enter()
		if err := h.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := late.told.Load(); n != 1 {
			t.Errorf("who came later is dismissed %d times", n)
		}
		if _, err := h.EnterGuest(netip.Addr{}); !errors.Is(err, ErrShutdown) {
			t.Errorf("after the end: %v", err)
		}
	})
}

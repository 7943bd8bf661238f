package hub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// walked is what Use should say of an App, by a look at everything there is. What
// no walk can find is taken from said.
func (h *house) walked(said AppUse) AppUse {
	use := AppUse{App: said.App, Published: said.Published}
	h.topics.each(func(id channel.ID, n int) {
		if id.App == said.App {
			use.Channels++
			use.Subscriptions += n
		}
	})
	h.users.mu.Lock()
	for key := range h.users.m {
		if key.app == said.App {
			use.Users++
		}
	}
	h.users.mu.Unlock()
	for _, sh := range h.shards {
		done := make(chan int)
		sh.Post(func() {
			n := 0
			for _, s := range sh.sessions {
				if s.tenant.name == said.App && s.connected && !s.ended {
					n++
				}
			}
			done <- n
		})
		use.Sessions += <-done
	}
	return use
}

// restless does at random what moves the counts of an App, and leaves some of its
// sessions behind.
func (h *house) restless(app string, r *rand.Rand) {
	var all []*Session
	for i := range 400 {
		if len(all) == 0 || r.IntN(4) == 0 {
			s := h.dialApp(app, nil).session
			on(s, func() {
				s.Connect(ConnectRequest{Token: []string{"", "ann", "ben", "cid"}[r.IntN(4)]}, func(ConnectResult, error) {})
			})
			all = append(all, s)
			continue
		}
		at := r.IntN(len(all))
		s, name := all[at], fmt.Sprintf("plain:%d", r.IntN(20))
		on(s, func() {
			switch r.IntN(8) {
			case 0:
				s.Disconnect(DisconnectForced)
				all = slices.Delete(all, at, at+1)
			case 1:
				_ = s.SignIn("dan", nil)
			case 2:
				s.Watch([]string{"ann", "dan"}, func([]string) {})
			case 3:
				s.Unsubscribe(name)
			default:
				s.Subscribe(SubscribeRequest{Channel: name}, func(SubscribeResult, error) {})
			}
		})
		if i%50 == 0 {
			h.Use()
		}
	}
}

// What Apps use is counted as it comes and goes, and is what a walk finds.
func TestUseIsExact(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 4 })
	names := []string{channel.DefaultApp, "shop", "news"}
	for _, name := range names[1:] {
		h.SetApp(App{Name: name, Namespaces: h.cfg.Namespaces, Auth: appAuth{name}, AllowAnonymous: true})
	}
	var busy sync.WaitGroup
	for i := range 6 {
		busy.Go(func() { h.restless(names[i%3], rand.New(rand.NewPCG(uint64(i), 0))) })
	}
	busy.Wait()
	h.settle()
	compare := func(when string, all []AppUse) {
		t.Helper()
		var sum channelUse
		for _, use := range all {
			if want := h.walked(use); use != want {
				t.Errorf("%s: %+v, a walk finds %+v", when, use, want)
			}
			if one := h.useOf(use.App); !slices.Equal(one, []AppUse{use}) {
				t.Errorf("%s: alone %+v, among all %+v", when, one, use)
			}
			sum.add(use.Channels, use.Subscriptions)
		}
		if got := h.topics.totals(); got != sum {
			t.Errorf("%s: %+v in all, the Apps have %+v", when, got, sum)
		}
	}
	all := h.Use()
	for _, use := range all {
		if use.Sessions == 0 || use.Users == 0 || use.Channels == 0 || use.Subscriptions == 0 {
			t.Errorf("the load left nothing to compare: %+v", use)
		}
	}
	compare("under load", all)
	h.RemoveApp("news")
	h.settle()
	if compare("without an App", h.Use()); len(h.Use()) != 2 || len(h.useOf("news")) != 0 {
		t.Errorf("an App that was removed is counted: %+v", h.Use())
	}
	h.RemoveApp("shop")
	h.RemoveApp(channel.DefaultApp)
	h.settle()
	for i := range h.topics.stripes {
		if st := &h.topics.stripes[i]; len(st.apps) != 0 || st.all != (channelUse{}) {
			t.Fatalf("nobody is left, but counted: %v %v", st.apps, st.all)
		}
	}
	if len(h.users.apps) != 0 {
		t.Errorf("no user is left, but counted: %v", h.users.apps)
	}
}

// An App that is changed and removed while clients connect leaves no session behind,
// whatever came first.
func TestRemoveAppWhileClientsConnect(t *testing.T) {
	h := newHouse(t, nil)
	shop := App{Name: "shop", Namespaces: h.cfg.Namespaces, Auth: appAuth{"shop"}}
	h.SetApp(shop)
	was := h.tenant("shop")
	var clients sync.WaitGroup
	var mu sync.Mutex
	var all []*fakeConn
	for range 8 {
		clients.Go(func() {
			for {
				place, err := h.Enter("shop", netip.Addr{})
				if errors.Is(err, ErrUnknownApp) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				c := &fakeConn{shard: place.Shard}
				opened := make(chan struct{})
				place.Post(func() {
					defer close(opened)
					if c.session = place.Open(c, h.enc, nil); c.session.Alive() {
						c.session.Connect(ConnectRequest{Token: "ann"}, func(ConnectResult, error) {})
					}
				})
				<-opened
				mu.Lock()
				all = append(all, c)
				mu.Unlock()
			}
		})
	}
	for range 50 {
		h.SetApp(shop)
		h.dialApp("shop", nil)
	}
	h.RemoveApp("shop")
	clients.Wait()
	for _, c := range all {
		on(c.session, func() {
			if c.session.Alive() {
				t.Error("a session of it lives on")
			}
		})
	}
	if n := was.sessions.Load(); n != 0 {
		t.Errorf("%d sessions are counted", n)
	}
	if users := h.users.sessions("shop", "ann"); len(users) != 0 {
		t.Errorf("%d sessions of its user are found", len(users))
	}
}

package hub

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
)

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
